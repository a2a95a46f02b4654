"""Codes as the words of generative models: interleaving patterns, whole and as a stream."""

from codec.generation.patterns import (
    EMPTY,
    CoarseFirst,
    Delay,
    Flatten,
    Grid,
    Parallel,
    Pattern,
    Places,
    Scales,
    deinterleave,
    interleave,
)
from codec.generation.streams import FrameSteps, StepFrames

__all__ = [
    "EMPTY",
    "CoarseFirst",
    "Delay",
    "Flatten",
    "FrameSteps",
    "Grid",
    "Parallel",
    "Pattern",
    "Places",
    "Scales",
    "StepFrames",
    "deinterleave",
    "interleave",
]
