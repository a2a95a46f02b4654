"""What a training run leaves: the step that follows the last one, whatever is trained."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning


@dataclass(frozen=True)
class Outcome:
    """What a run came to.

    Attributes:
        steps: of the optimiser.
        metrics: the last value of each.
    """

    steps: int
    metrics: Mapping[str, float]

    def card(self, name: str, note: str, *facts: str) -> str:
        """The text of a card: name, first line, facts, then the metrics."""
        found = [f"{metric}: {value:.4f}" for metric, value in sorted(self.metrics.items())]
        lines = [f"- {fact}" for fact in (f"steps: {self.steps}", *facts, *found)]
        return "\n".join([f"# {name}", "", note, "", *lines]) + "\n"


class Export(lightning.Callback):
    """Writes a checkpoint when training ends; `tools/export_checkpoint.py` calls `write` for a run that was stopped early.

    Args:
        folder: of the checkpoint.
        note: first line of the card.
    """

    def __init__(self, folder: str, note: str = "") -> None:
        self.folder, self.note = Path(folder), note

    def on_fit_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Averaged weights are in place by now."""
        if trainer.is_global_zero:
            metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
            self.write(pl_module, trainer.datamodule, Outcome(trainer.global_step, metrics))  # type: ignore[attr-defined]

    @abstractmethod
    def write(self, module: Any, data: Any, outcome: Outcome) -> None:
        """Save what was trained.

        Args:
            module: with the weights that are wanted.
            data: the data module of the run.
            outcome: of the run.
        """
