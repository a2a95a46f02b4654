"""What stands for lost frames: the vectors on both sides, fading into each other and, in longer gaps, to silence."""

import torch
from torch import Tensor

FADE = 0.9  # of a frame to the next


def bridge(before: Tensor, after: Tensor, count: int) -> Tensor:
    """Vectors `(C, count, D)` between the last `(C, D)` before a gap and the first after it."""
    steps = torch.arange(1, count + 1, dtype=before.dtype, device=before.device)
    share = steps / (count + 1)
    held = (1 - share) * FADE**steps, share * FADE ** (count + 1 - steps)
    return held[0][:, None] * before[:, None] + held[1][:, None] * after[:, None]
