"""Codes to probabilities: differentiable bits for training, integer tables for coding."""

from codec.entropy.base import FIXED_POINT, EntropyModel, Frequencies, Known, Layout, Rows, Step, table_bits
from codec.entropy.driver import (
    CodedStreams,
    GivenCodes,
    RoundedLatent,
    Sampler,
    decode_chunk,
    encode_chunk,
    ideal_bits,
    walk,
)
from codec.entropy.exact import IntegerNetwork
from codec.entropy.hyperprior import TwoSliceHyperprior
from codec.entropy.neighbour import NeighbourTokenPrior
from codec.entropy.residual_time import ResidualTimePrior
from codec.entropy.static import StaticTokenPrior
from codec.entropy.tables import frequencies_from_logits, nearest_row

__all__ = [
    "FIXED_POINT",
    "CodedStreams",
    "EntropyModel",
    "Frequencies",
    "GivenCodes",
    "IntegerNetwork",
    "Known",
    "Layout",
    "NeighbourTokenPrior",
    "ResidualTimePrior",
    "RoundedLatent",
    "Rows",
    "Sampler",
    "StaticTokenPrior",
    "Step",
    "TwoSliceHyperprior",
    "decode_chunk",
    "encode_chunk",
    "frequencies_from_logits",
    "ideal_bits",
    "nearest_row",
    "table_bits",
    "walk",
]
