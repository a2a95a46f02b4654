"""AdamW and its schedule: warm-up, constant, a fall to zero or near it."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn

from codec.training.schedule import warm_constant_fall


@dataclass(frozen=True)
class Optimisation:
    """AdamW and its schedule.

    Attributes:
        learning_rate: peak.
        weight_decay: decoupled.
        warmup_steps: linear rise.
        constant_until: fraction of the run before the fall.
        fall: `cosine` or `linear`.
        start: share of the peak where the rise begins.
        end: share of the peak where the fall ends.
    """

    learning_rate: float = 1e-3
    weight_decay: float = 0.0
    warmup_steps: int = 200
    constant_until: float = 0.4
    fall: str = "cosine"
    start: float = 0.0
    end: float = 0.0

    def __post_init__(self) -> None:
        if self.fall not in ("cosine", "linear"):
            raise ValueError(f"fall must be cosine or linear, got {self.fall!r}")


def adamw(
    parameters: Iterable[nn.Parameter] | list[dict[str, Any]], choice: Optimisation, total_steps: int
) -> dict[str, Any]:
    """Optimiser and schedule as Lightning takes them."""
    optimizer = torch.optim.AdamW(parameters, lr=choice.learning_rate, weight_decay=choice.weight_decay, foreach=True)
    factor = partial(
        warm_constant_fall,
        warmup_steps=choice.warmup_steps,
        constant_until=choice.constant_until,
        total_steps=total_steps,
        fall=choice.fall,
        start=choice.start,
        end=choice.end,
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
    return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
