"""Codes to probabilities: differentiable bits for training, integer tables for coding."""

from codec.entropy.base import FIXED_POINT, EntropyModel, Frequencies, Known, Layout, Numbering, Rows, Step
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
from codec.entropy.gaussian import FactorisedDensity, gaussian_bits, lower_bound
from codec.entropy.hyperprior import TwoSliceHyperprior
from codec.entropy.lattice import LatticeTokenPrior
from codec.entropy.layers import LEAKY_SLOPE, SummedEmbedding, leaky_sequential
from codec.entropy.neighbour import NeighbourTokenPrior
from codec.entropy.residual_time import ResidualTimePrior
from codec.entropy.static import StaticTokenPrior
from codec.entropy.tables import StoredTables, frequencies_from_logits, nearest_row, scale_tables

__all__ = [
    "FIXED_POINT",
    "LEAKY_SLOPE",
    "CodeLength",
    "CodedStreams",
    "EntropyModel",
    "FactorisedDensity",
    "Frequencies",
    "GivenCodes",
    "IntegerNetwork",
    "Known",
    "LatticeTokenPrior",
    "Layout",
    "NeighbourTokenPrior",
    "Numbering",
    "ResidualTimePrior",
    "RoundedLatent",
    "Rows",
    "Sampler",
    "StaticTokenPrior",
    "Step",
    "StoredTables",
    "StreamWriter",
    "SummedEmbedding",
    "TwoSliceHyperprior",
    "batch_bits",
    "decode_chunk",
    "encode_chunk",
    "frequencies_from_logits",
    "gaussian_bits",
    "ideal_bits",
    "leaky_sequential",
    "lower_bound",
    "nearest_row",
    "percent_more",
    "scale_tables",
    "source_of",
    "walk",
]
