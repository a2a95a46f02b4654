"""Codes to probabilities: differentiable bits for training, integer tables for coding."""

from codec.entropy.base import FIXED_POINT, EntropyModel, Frequencies, Known, Layout, Numbering, Rows, Step
from codec.entropy.classic import MeanScaleHyperprior, ScaleHyperprior
from codec.entropy.contexts import ChannelContext, Context, ContextChoice, NeighbourContext, Place, Seen
from codec.entropy.driver import (
    CodedStreams,
    CodeLength,
    GivenCodes,
    RoundedLatent,
    Sampler,
    StreamWriter,
    batch_bits,
    decode_chunk,
    encode_chunk,
    ideal_bits,
    percent_more,
    source_of,
    walk,
)
from codec.entropy.exact import IntegerNetwork
from codec.entropy.factorised import ChannelTables, FactorisedLatentPrior
from codec.entropy.flags import FlagPrior
from codec.entropy.gaussian import FactorisedDensity, gaussian_bits, lower_bound
from codec.entropy.latent import CodedLatent, GroupedLatentPrior
from codec.entropy.lattice import LatticeTokenPrior
from codec.entropy.layers import LEAKY_SLOPE, SummedEmbedding, leaky_sequential
from codec.entropy.levels import FINEST, LevelTable
from codec.entropy.likelihood import GaussianLikelihood, Likelihood
from codec.entropy.mixture import MixtureLikelihood
from codec.entropy.motion import MotionPrior
from codec.entropy.multi_codebook import MultiCodebookPrior
from codec.entropy.multi_reference import (
    ChannelAttentionContext,
    GlobalInterContext,
    GlobalIntraContext,
    WindowContext,
)
from codec.entropy.neighbour import NeighbourTokenPrior
from codec.entropy.numbering import principal_order
from codec.entropy.packets import decode_packets, encode_packets, packet_bits
from codec.entropy.past import Past, PastPath, float_planes
from codec.entropy.plane_prior import CodeDigits, CodeEmbedding
from codec.entropy.reduced import ReducedPrior
from codec.entropy.reweighting import ReweightedContext
from codec.entropy.schedule import LatticePass, lattice_passes
from codec.entropy.static import StaticTokenPrior
from codec.entropy.tables import StoredTables, frequencies_from_logits, nearest_row, row_of_scale, scale_tables
from codec.entropy.video_lattice import VideoTokenPrior

__all__ = [
    "FINEST",
    "FIXED_POINT",
    "LEAKY_SLOPE",
    "ChannelAttentionContext",
    "ChannelContext",
    "ChannelTables",
    "CodeDigits",
    "CodeEmbedding",
    "CodeLength",
    "CodedLatent",
    "CodedStreams",
    "Context",
    "ContextChoice",
    "EntropyModel",
    "FactorisedDensity",
    "FactorisedLatentPrior",
    "FlagPrior",
    "Frequencies",
    "GaussianLikelihood",
    "GivenCodes",
    "GlobalInterContext",
    "GlobalIntraContext",
    "GroupedLatentPrior",
    "IntegerNetwork",
    "Known",
    "LatticePass",
    "LatticeTokenPrior",
    "Layout",
    "LevelTable",
    "Likelihood",
    "MeanScaleHyperprior",
    "MixtureLikelihood",
    "MotionPrior",
    "MultiCodebookPrior",
    "NeighbourContext",
    "NeighbourTokenPrior",
    "Numbering",
    "Past",
    "PastPath",
    "Place",
    "ReducedPrior",
    "ReweightedContext",
    "RoundedLatent",
    "Rows",
    "Sampler",
    "ScaleHyperprior",
    "Seen",
    "StaticTokenPrior",
    "Step",
    "StoredTables",
    "StreamWriter",
    "SummedEmbedding",
    "VideoTokenPrior",
    "WindowContext",
    "batch_bits",
    "decode_chunk",
    "decode_packets",
    "encode_chunk",
    "encode_packets",
    "float_planes",
    "frequencies_from_logits",
    "gaussian_bits",
    "ideal_bits",
    "lattice_passes",
    "leaky_sequential",
    "lower_bound",
    "nearest_row",
    "packet_bits",
    "percent_more",
    "principal_order",
    "row_of_scale",
    "scale_tables",
    "source_of",
    "walk",
]
