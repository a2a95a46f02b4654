"""Quantizers that need a grid or several features: one idea per file."""

from codec.quantizers.grid.cross_scale import CrossScale
from codec.quantizers.grid.enlarge import Enlarge
from codec.quantizers.grid.granularity import DynamicGranularity
from codec.quantizers.grid.multiscale import MultiScale
from codec.quantizers.grid.patch_entropy import PatchEntropy
from codec.quantizers.grid.routers import LearnedRouter
from codec.quantizers.grid.two_level import TwoLevel

__all__ = [
    "CrossScale",
    "DynamicGranularity",
    "Enlarge",
    "LearnedRouter",
    "MultiScale",
    "PatchEntropy",
    "TwoLevel",
]
