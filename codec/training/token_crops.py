"""Stored tokens, or those of a pack, as batches of crops: what generative models are trained on."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from codec.errors import ModelMismatchError
from codec.generation import EMPTY, TokenDataset
from codec.training.endless import Endless
from codec.training.tokens import Grids


class CropBatch(NamedTuple):
    """Crops of one size.

    Attributes:
        codes: int64 `(B, Q, rows, columns)`.
        labels: int64 `(B,)`, `EMPTY` where there is none.
    """

    codes: Tensor
    labels: Tensor


class GridSource(Protocol):
    """Something that has grids: `TokenData`, `SoundTokens` or `ShardTokens`."""

    def grids(self, tokenizer: Any) -> tuple[Grids, Grids]:
        """Training and validation grids `(Q, rows, columns)`, or `(Q, frames)`."""


class ShardTokens:
    """Grids of what `codec tokenize` wrote.

    Args:
        train: folders of shards.
        val: folders of other shards, for validation.
        planes: only so many first planes; all if None.
    """

    def __init__(self, train: str | Sequence[str], val: str | Sequence[str], *, planes: int | None = None) -> None:
        self.sets = TokenDataset(train, planes=planes), TokenDataset(val, planes=planes)

    def grids(self, tokenizer: Any) -> tuple[Grids, Grids]:
        """All of them; an error if another tokenizer made them."""
        expected = tokenizer.coding_hash("static").hex()
        for part in self.sets:
            if part.source.coding_hash != expected:
                raise ModelMismatchError(f"these tokens are those of {part.source.model}, another model")
        train, val = ([torch.from_numpy(self._codes(part, i)) for i in range(len(part))] for part in self.sets)
        return train, val

    def labels(self) -> tuple[list[int], list[int]]:
        """Of all grids, `EMPTY` where there is none."""
        found = []
        for part in self.sets:
            labels = (part.record(i).label for i in range(len(part)))
            found.append([EMPTY if label is None else label for label in labels])
        return found[0], found[1]

    def _codes(self, part: TokenDataset, i: int) -> Any:
        return part.record(i).codes[: part.planes].astype("int64")


class TokenCrops(lightning.LightningDataModule):
    """Random crops for training; for validation those of a regular grid.

    Args:
        tokens: where the grids come from.
        crop: rows and columns; `[1, 256]` for sound.
        batch_size: crops a step.
        val_batches: of as many crops, at most.
        seed: of the order.
    """

    def __init__(
        self,
        tokens: GridSource,
        *,
        crop: Sequence[int] = (16, 16),
        batch_size: int = 16,
        val_batches: int = 16,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.tokens, self.crop, self.batch_size = tokens, (crop[0], crop[1]), batch_size
        self.val_batches, self.seed = val_batches, seed
        self._train: _Grids | None = None
        self._val: list[CropBatch] = []

    def prepare(self, tokenizer: Any, planes: int) -> Grids:
        """Read all grids; returns those of training, cut to so many planes."""
        train, val = ([_framed(grid)[:planes] for grid in part] for part in self.tokens.grids(tokenizer))
        none = [EMPTY] * len(train), [EMPTY] * len(val)
        labels = self.tokens.labels() if isinstance(self.tokens, ShardTokens) else none
        self._train = _Grids(train, labels[0], self.crop)
        self._val = list(_Grids(val, labels[1], self.crop).regular(self.batch_size))[: self.val_batches]
        return train

    def train_dataloader(self) -> DataLoader[CropBatch]:
        """Batches from where the trainer stands."""
        assert self._train is not None
        assert self.trainer is not None
        batches = EndlessTokenCrops(self._train, self.batch_size, self.seed, self.trainer.global_step)
        return DataLoader(batches, batch_size=None)

    def val_dataloader(self) -> DataLoader[CropBatch]:
        """The same batches every time."""
        return DataLoader(self._val, batch_size=None)  # type: ignore[arg-type]


class _Grids:
    """Grids at least as large as a crop, and their labels."""

    def __init__(self, grids: Grids, labels: Sequence[int], crop: tuple[int, int]) -> None:
        large = [i for i, grid in enumerate(grids) if grid.shape[1] >= crop[0] and grid.shape[2] >= crop[1]]
        if not large:
            raise ValueError(f"no grid of tokens has {crop[0]}x{crop[1]} positions")
        self.grids, self.labels, self.crop = [grids[i] for i in large], [labels[i] for i in large], crop
        places = [(grid.shape[1] - crop[0] + 1) * (grid.shape[2] - crop[1] + 1) for grid in self.grids]
        self.ends = np.cumsum(places)

    def at(self, place: int) -> tuple[Tensor, int]:
        """One of all possible crops, and its label."""
        i = int(np.searchsorted(self.ends, place, side="right"))
        place -= int(self.ends[i - 1]) if i else 0
        row, column = divmod(place, self.grids[i].shape[2] - self.crop[1] + 1)
        return self.grids[i][:, row : row + self.crop[0], column : column + self.crop[1]], self.labels[i]

    def regular(self, batch_size: int) -> "list[CropBatch]":
        """Crops beside each other, a picture's spread over the batches."""
        rows, columns = self.crop
        found = [
            (grid[:, r : r + rows, c : c + columns], label)
            for grid, label in zip(self.grids, self.labels, strict=True)
            for r in range(0, grid.shape[1] - rows + 1, rows)
            for c in range(0, grid.shape[2] - columns + 1, columns)
        ]
        count = max(1, len(found) // batch_size)
        return [_batch(found[i::count]) for i in range(count)]


class EndlessTokenCrops(Endless[CropBatch]):
    """Batches of crops; every place is as likely.

    Args:
        grids: to draw from.
        batch_size: crops a batch.
        seed: of the whole stream.
        first_batch: as of `Endless`.
    """

    def __init__(self, grids: _Grids, batch_size: int, seed: int, first_batch: int = 0) -> None:
        super().__init__(first_batch)
        self._grids, self._batch_size, self._seed = grids, batch_size, seed

    def batch(self, number: int) -> CropBatch:
        """As of `Endless`."""
        random = np.random.default_rng([self._seed, number])
        places = random.integers(self._grids.ends[-1], size=self._batch_size)
        return _batch([self._grids.at(int(place)) for place in places])


def _batch(crops: Sequence[tuple[Tensor, int]]) -> CropBatch:
    return CropBatch(torch.stack([codes for codes, _ in crops]), torch.tensor([label for _, label in crops]))


def _framed(grid: Tensor) -> Tensor:
    """`(Q, frames)` as one row of them."""
    return grid[:, None] if grid.ndim == 2 else grid
