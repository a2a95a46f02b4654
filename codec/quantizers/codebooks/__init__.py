"""How the points of a codebook are learned: one rule per file."""

from codec.quantizers.codebooks.alternating import AlternatingCodebook
from codec.quantizers.codebooks.anchored import AnchoredCodebook
from codec.quantizers.codebooks.anchors import ClosestAnchor, ProbableAnchor, RandomAnchor
from codec.quantizers.codebooks.base import Codebook
from codec.quantizers.codebooks.bridge import Bridge
from codec.quantizers.codebooks.ema import EMACodebook
from codec.quantizers.codebooks.gradient import GradientCodebook
from codec.quantizers.codebooks.kmeans import kmeans
from codec.quantizers.codebooks.linear import SharedLinear
from codec.quantizers.codebooks.parameterisation import Affine, Parameterisation

__all__ = [
    "Affine",
    "AlternatingCodebook",
    "AnchoredCodebook",
    "Bridge",
    "ClosestAnchor",
    "Codebook",
    "EMACodebook",
    "GradientCodebook",
    "Parameterisation",
    "ProbableAnchor",
    "RandomAnchor",
    "SharedLinear",
    "kmeans",
]
