"""How the points of a codebook are learned: one rule per file."""

from codec.quantizers.codebooks.base import Codebook
from codec.quantizers.codebooks.ema import EMACodebook
from codec.quantizers.codebooks.gradient import GradientCodebook
from codec.quantizers.codebooks.kmeans import kmeans

__all__ = ["Codebook", "EMACodebook", "GradientCodebook", "kmeans"]
