"""Backbones for video: causal ones for tokens, a frame given its prediction, and what makes that prediction."""

from codec.nn.video.block_basis import BlockBasis, block_basis
from codec.nn.video.causal import CausalDecoder, CausalEncoder
from codec.nn.video.conditional import ConditionalAnalysis, ConditionalSynthesis
from codec.nn.video.haar import grouped
from codec.nn.video.motion import find_motion, motion_grid, predict
from codec.nn.video.vit import FrameDecoder, FrameEncoder

__all__ = [
    "BlockBasis",
    "CausalDecoder",
    "CausalEncoder",
    "ConditionalAnalysis",
    "ConditionalSynthesis",
    "FrameDecoder",
    "FrameEncoder",
    "block_basis",
    "find_motion",
    "grouped",
    "motion_grid",
    "predict",
]
