"""Learning-rate factor over a run: warm-up, constant, a fall."""

import math


def warm_constant_fall(
    step: int,
    *,
    warmup_steps: int,
    constant_until: float,
    total_steps: int,
    fall: str = "cosine",
    start: float = 0.0,
    end: float = 0.0,
) -> float:
    """Factor in [0, 1] at a step.

    Args:
        step: number of optimiser steps taken.
        warmup_steps: linear rise from `start`.
        constant_until: fraction of the run after which the fall begins.
        total_steps: length of the run, where the factor reaches `end`.
        fall: `cosine` or `linear`.
    """
    warm = start + (1 - start) * min(1.0, (step + 1) / max(1, warmup_steps))
    begin = constant_until * total_steps
    if step <= begin:
        return warm
    progress = min(1.0, (step - begin) / max(1.0, total_steps - begin))
    left = 0.5 * (1 + math.cos(math.pi * progress)) if fall == "cosine" else 1 - progress
    return warm * (end + (1 - end) * left)
