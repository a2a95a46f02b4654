"""Learning-rate factor over a run: warm-up, constant, cosine to zero."""

import math


def warm_constant_cosine(step: int, *, warmup_steps: int, constant_until: float, total_steps: int) -> float:
    """Factor in [0, 1] at a step.

    Args:
        step: number of optimiser steps taken.
        warmup_steps: linear rise from zero.
        constant_until: fraction of the run after which the cosine begins.
        total_steps: length of the run, where the factor reaches zero.
    """
    warm = min(1.0, (step + 1) / max(1, warmup_steps))
    begin = constant_until * total_steps
    if step <= begin:
        return warm
    progress = min(1.0, (step - begin) / max(1.0, total_steps - begin))
    return warm * 0.5 * (1 + math.cos(math.pi * progress))
