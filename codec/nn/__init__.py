"""Backbones and blocks, with no opinion on codecs: an encoder and its decoder per file."""

from codec.nn.allocation import WidthOption, allocate
from codec.nn.blocks import ChannelNorm, ConvBlock, channels_last
from codec.nn.bounds import lower_bound
from codec.nn.classic import ClassicAnalysis, ClassicSynthesis
from codec.nn.gdn import GDN
from codec.nn.low_bit import LowBit
from codec.nn.patch import PatchBasis, PatchDecoder, PatchEncoder, principal_basis
from codec.nn.pyramid import PyramidAnalysis, PyramidSynthesis, level_features, spread_of
from codec.nn.raster import RasterTransformer
from codec.nn.region import RegionAnalysis, RegionSynthesis
from codec.nn.residual import ResidualAnalysis, ResidualSynthesis
from codec.nn.sound import (
    BandPyramid,
    DacDecoder,
    DacEncoder,
    EscDecoder,
    EscEncoder,
    LappedBasis,
    LappedDecoder,
    LappedEncoder,
    SeanetDecoder,
    SeanetEncoder,
    VocosDecoder,
    VocosEncoder,
    fold_weight_norm,
    lapped_basis,
    mdct_basis,
    pad_to_frames,
    spectral_basis,
)
from codec.nn.swin import SwinAnalysis, SwinSynthesis
from codec.nn.transformer import Block, Cache, GridTransformer, SequenceTransformer
from codec.nn.video import (
    BlockBasis,
    CausalDecoder,
    CausalEncoder,
    ConditionalAnalysis,
    ConditionalSynthesis,
    FrameDecoder,
    FrameEncoder,
    block_basis,
    find_motion,
    grouped,
    motion_grid,
    predict,
)

__all__ = [
    "GDN",
    "BandPyramid",
    "Block",
    "BlockBasis",
    "Cache",
    "CausalDecoder",
    "CausalEncoder",
    "ChannelNorm",
    "ClassicAnalysis",
    "ClassicSynthesis",
    "ConditionalAnalysis",
    "ConditionalSynthesis",
    "ConvBlock",
    "DacDecoder",
    "DacEncoder",
    "EscDecoder",
    "EscEncoder",
    "FrameDecoder",
    "FrameEncoder",
    "GridTransformer",
    "LappedBasis",
    "LappedDecoder",
    "LappedEncoder",
    "LowBit",
    "PatchBasis",
    "PatchDecoder",
    "PatchEncoder",
    "PyramidAnalysis",
    "PyramidSynthesis",
    "RasterTransformer",
    "RegionAnalysis",
    "RegionSynthesis",
    "ResidualAnalysis",
    "ResidualSynthesis",
    "SeanetDecoder",
    "SeanetEncoder",
    "SequenceTransformer",
    "SwinAnalysis",
    "SwinSynthesis",
    "VocosDecoder",
    "VocosEncoder",
    "WidthOption",
    "allocate",
    "block_basis",
    "channels_last",
    "find_motion",
    "fold_weight_norm",
    "grouped",
    "lapped_basis",
    "level_features",
    "lower_bound",
    "mdct_basis",
    "motion_grid",
    "pad_to_frames",
    "predict",
    "principal_basis",
    "spectral_basis",
    "spread_of",
]
