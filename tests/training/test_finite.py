"""Steps that are not finite change nothing, are named and counted, and stop a run that has no other."""

import logging
from pathlib import Path
from typing import Any

import lightning
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from codec.errors import CodecError
from codec.training import FiniteSteps

# Of lightning itself: a name that torch will drop, and advice on workers.
pytestmark = pytest.mark.filterwarnings("ignore:.isinstance.treespec", "ignore:.*does not have many workers")


class Numbers(Dataset[Tensor]):
    """Rows of ones, and of what spoils a step at some places."""

    def __init__(self, spoiled: dict[int, float], length: int = 12) -> None:
        self.spoiled, self.length = spoiled, length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, i: int) -> Tensor:
        return torch.full((3,), self.spoiled.get(i, 1.0))


class Tiny(lightning.LightningModule):
    """Two terms; keeps the weights and moments that each step leaves."""

    def __init__(self, root: bool = False) -> None:
        super().__init__()
        self.layer, self.root = nn.Linear(3, 1), root
        self.history: list[Tensor] = []

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        found = self.layer(batch)
        terms = {"mel": found.square().mean(), "waveform": self.layer.weight.square().sum()}
        self.log_dict({f"train/{name}": value.detach() for name, value in terms.items()})
        hidden = (self.layer.bias - self.layer.bias.detach()).abs().sqrt().sum() if self.root else 0.0
        return terms["mel"] + terms["waveform"] + hidden

    def on_train_batch_end(self, *_: Any) -> None:
        state = self.optimizers().optimizer.state_dict()["state"]  # type: ignore[union-attr]
        moments = [value.flatten() for row in state.values() for value in row.values()]
        self.history.append(torch.cat([*(weight.detach().flatten() for weight in self.parameters()), *moments]).clone())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.AdamW(self.parameters(), lr=0.1, weight_decay=0.1, foreach=True)


def fit(model: Tiny, spoiled: dict[int, float], folder: Path, **more: Any) -> FiniteSteps:
    guard = FiniteSteps(most_in_a_row=2)
    trainer = lightning.Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_progress_bar=False, enable_model_summary=False,
        gradient_clip_val=1.0, callbacks=[guard], default_root_dir=folder, log_every_n_steps=1, **more,
    )  # fmt: skip
    trainer.fit(model, DataLoader(Numbers(spoiled), batch_size=1))
    return guard


def test_a_step_is_skipped_named_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = Tiny()
    with caplog.at_level(logging.WARNING, "codec.training.finite"):
        guard = fit(model, {3: torch.nan, 7: torch.inf, 8: torch.inf}, tmp_path)
    assert guard.skipped == 3
    assert guard.in_a_row == 0
    assert [record.getMessage() for record in caplog.records] == [
        "step 3: mel is nan; it is skipped, 1 in a row of at most 2",
        "step 7: mel is inf; it is skipped, 1 in a row of at most 2",
        "step 8: mel is inf; it is skipped, 2 in a row of at most 2",
    ]
    equal = [torch.equal(*pair) for pair in zip(model.history, model.history[1:], strict=False)]
    assert [i + 1 for i, same in enumerate(equal) if same] == [3, 7, 8]
    assert model.history[-1].isfinite().all()
    other = FiniteSteps()
    other.load_state_dict(guard.state_dict())
    assert other.skipped == 3


def test_a_run_of_them_stops(tmp_path: Path) -> None:
    with pytest.raises(CodecError, match=r"stops at step 6: mel is nan, 3 steps in a row; lower the learning rate"):
        fit(Tiny(), {4: torch.nan, 5: torch.nan, 6: torch.nan}, tmp_path)


def test_a_gradient_alone_is_enough(tmp_path: Path) -> None:
    """The derivative of a root at zero."""
    with pytest.raises(CodecError, match="the gradient is not finite, though every logged term"):
        fit(Tiny(root=True), {}, tmp_path)


def test_without_trouble_nothing_changes(tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = Tiny()
    assert fit(model, {}, tmp_path).skipped == 0
    torch.manual_seed(1)
    plain = Tiny()
    trainer = lightning.Trainer(
        accelerator="cpu", max_epochs=1, logger=False, enable_progress_bar=False, enable_model_summary=False,
        gradient_clip_val=1.0, default_root_dir=tmp_path, enable_checkpointing=False,
    )  # fmt: skip
    trainer.fit(plain, DataLoader(Numbers({}), batch_size=1))
    assert torch.equal(model.history[-1], plain.history[-1])
