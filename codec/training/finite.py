"""A guard for every training: a step whose loss or gradient is not a number changes nothing, is named and counted."""

import logging
from typing import Any

import lightning
import torch
from torch import Tensor

from codec.errors import CodecError

LOG = logging.getLogger(__name__)
PREFIX = "train/"  # of the terms that a training logs


class FiniteSteps(lightning.Callback):
    """Skips steps that are not finite, and stops a run that has no other.

    It looks at the terms that the module has logged as `train/…` in this step, and at the gradients once they are summed over
    processes, so that all of these decide alike. A skipped step moves no weight and no moment of the optimiser; the schedule and
    the stream of batches go on. Logs `train/skipped_steps`. For float32 and bfloat16: with float16, infinities are the scaler's trade.

    Args:
        most_in_a_row: steps that may be skipped one after another; the next one raises.

    Raises:
        CodecError: names the terms and the step.
    """

    def __init__(self, most_in_a_row: int = 3) -> None:
        self.most_in_a_row = most_in_a_row
        self.skipped, self.in_a_row = 0, 0

    def on_before_optimizer_step(
        self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """After the backward pass, before gradients are clipped."""
        terms = {name: value for name, value in trainer.callback_metrics.items() if name.startswith(PREFIX)}
        if trainer.strategy.reduce_boolean_decision(not _finite(terms, optimizer), all=False):
            optimizer.zero_grad(set_to_none=True)  # a weight without a gradient stays as it is
            self.skipped, self.in_a_row = self.skipped + 1, self.in_a_row + 1
            self._report(f"step {trainer.global_step}: {_cause(terms)}")
        else:
            self.in_a_row = 0
        pl_module.log("train/skipped_steps", float(self.skipped))

    def _report(self, what: str) -> None:
        if self.in_a_row > self.most_in_a_row:
            raise CodecError(
                f"training stops at {what}, {self.in_a_row} steps in a row; lower the learning rate or look at the data"
            )
        LOG.warning("%s; it is skipped, %d in a row of at most %d", what, self.in_a_row, self.most_in_a_row)

    def state_dict(self) -> dict[str, Any]:
        """The counts, for a run that is continued."""
        return {"skipped": self.skipped, "in_a_row": self.in_a_row}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue counting."""
        self.skipped, self.in_a_row = state_dict["skipped"], state_dict["in_a_row"]


def _finite(terms: dict[str, Tensor], optimizer: torch.optim.Optimizer) -> bool:
    """One look at all numbers at once, as each costs a wait for the device."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    norm = torch.nn.utils.get_total_norm([weight.grad for weight in weights if weight.grad is not None])
    numbers = [norm, *terms.values()]
    return bool(torch.stack([number.to(norm.device).float() for number in numbers]).isfinite().all())


def _cause(terms: dict[str, Tensor]) -> str:
    """Which terms are to blame; another process may know more."""
    found = [f"{name.removeprefix(PREFIX)} is {float(value)}" for name, value in terms.items() if not value.isfinite()]
    return ", ".join(found) or "the gradient is not finite, though every logged term of this process is"
