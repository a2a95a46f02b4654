"""Backbones for video: causal ones for tokens, a frame given its prediction, and what makes that prediction."""

from codec.nn.video.causal import BlockBasis, CausalDecoder, CausalEncoder, block_basis
from codec.nn.video.conditional import ConditionalAnalysis, ConditionalSynthesis
from codec.nn.video.haar import grouped
from codec.nn.video.motion import find_motion, motion_grid, predict

__all__ = [
    "BlockBasis",
    "CausalDecoder",
    "CausalEncoder",
    "ConditionalAnalysis",
    "ConditionalSynthesis",
    "block_basis",
    "find_motion",
    "grouped",
    "motion_grid",
    "predict",
]
