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
from codec.entropy.static import StaticTokenPrior

__all__ = [
    "FIXED_POINT",
    "CodedStreams",
    "EntropyModel",
    "Frequencies",
    "GivenCodes",
    "Known",
    "Layout",
    "RoundedLatent",
    "Rows",
    "Sampler",
    "StaticTokenPrior",
    "Step",
    "decode_chunk",
    "encode_chunk",
    "ideal_bits",
    "table_bits",
    "walk",
]
