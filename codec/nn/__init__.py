"""Backbones and blocks, with no opinion on codecs: an encoder and its decoder per file."""

from codec.nn.allocation import WidthOption, allocate
from codec.nn.blocks import ChannelNorm, ConvBlock, channels_last
from codec.nn.bounds import lower_bound
from codec.nn.classic import ClassicAnalysis, ClassicSynthesis
from codec.nn.gdn import GDN
from codec.nn.low_bit import LowBit
from codec.nn.patch import PatchBasis, PatchDecoder, PatchEncoder, principal_basis
from codec.nn.pyramid import PyramidAnalysis, PyramidSynthesis, level_features, spread_of
from codec.nn.region import RegionAnalysis, RegionSynthesis
from codec.nn.residual import ResidualAnalysis, ResidualSynthesis
from codec.nn.swin import SwinAnalysis, SwinSynthesis

__all__ = [
    "GDN",
    "ChannelNorm",
    "ClassicAnalysis",
    "ClassicSynthesis",
    "ConvBlock",
    "LowBit",
    "PatchBasis",
    "PatchDecoder",
    "PatchEncoder",
    "PyramidAnalysis",
    "PyramidSynthesis",
    "RegionAnalysis",
    "RegionSynthesis",
    "ResidualAnalysis",
    "ResidualSynthesis",
    "SwinAnalysis",
    "SwinSynthesis",
    "WidthOption",
    "allocate",
    "channels_last",
    "level_features",
    "lower_bound",
    "principal_basis",
    "spread_of",
]
