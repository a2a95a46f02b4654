"""Vectors to integers and back: one idea per file, channel-last, blind to modality."""

from codec.quantizers.base import Quantized, Quantizer, pass_gradient
from codec.quantizers.codebooks import Codebook, EMACodebook, GradientCodebook, kmeans
from codec.quantizers.distances import Cosine, Euclidean, RateDistortion
from codec.quantizers.estimators import Rotation, StraightThrough
from codec.quantizers.fsq import FSQ
from codec.quantizers.projected import Projected
from codec.quantizers.residual import Residual
from codec.quantizers.search import nearest
from codec.quantizers.vq import VectorQuantizer

__all__ = [
    "FSQ",
    "Codebook",
    "Cosine",
    "EMACodebook",
    "Euclidean",
    "GradientCodebook",
    "Projected",
    "Quantized",
    "Quantizer",
    "RateDistortion",
    "Residual",
    "Rotation",
    "StraightThrough",
    "VectorQuantizer",
    "kmeans",
    "nearest",
    "pass_gradient",
]
