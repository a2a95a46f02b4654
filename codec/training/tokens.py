"""Tokens of whole pictures, made once and kept in a cache: what a token prior is trained on."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from codec.models import TokenCodec
from codec.models.tokenizer import Tokenizer
from codec.training.datamodule import ImageData
from codec.training.endless import Endless
from codec.training.pack import ImagePack

ROW_STEP, COLUMN_STEP = 5, 11  # pixels by which each further view moves on, modulo the stride
Grids = list[Tensor]  # int64 (Q, rows, columns) of each picture; of sound, rows are packets and columns their frames


class TokenSource(Protocol):
    """A data module of tokens.

    Attributes:
        held_out: what validation measures, for the card.
    """

    held_out: str

    def grids(self, tokenizer: Any) -> tuple[Grids, Grids]:
        """Training and validation grids."""

    def calibration(self, tokenizer: Any) -> list[Tensor]:
        """Training tokens on which the integers of a prior are calibrated: int64 `(B, *grid)` for each plane."""


class TokenData(lightning.LightningDataModule):
    """Token grids of the pictures of an `ImageData`, plain and mirrored; the training part in random batches.

    Args:
        images: where the pictures are; its crops are not used.
        pictures: token grids a step.
        views: of each picture: plain; mirrored and moved by half a stride; then in turn plain and mirrored, each moved elsewhere.
        seed: of the order.
    """

    held_out = "held-out pictures"

    def __init__(self, images: ImageData, *, pictures: int = 4, views: int = 2, seed: int = 0) -> None:
        super().__init__()
        self.images, self.pictures, self.views, self.seed = images, pictures, views, seed
        self._grids: tuple[Grids, Grids] | None = None

    def grids(self, tokenizer: TokenCodec) -> tuple[Grids, Grids]:
        """Training and validation grids, tokenised on first use and cached by the tokenizer's coding hash."""
        if self._grids is None:
            train, val = self.images.packs()
            cache = Path(self.images.cache)
            self._grids = cached_grids(tokenizer, train, self.views, cache), cached_grids(tokenizer, val, 1, cache)
        return self._grids

    def calibration(self, tokenizer: TokenCodec, number: int = 64, side: int = 24) -> list[Tensor]:
        """Crops of the first training pictures, `(number, side, side)` for each plane."""
        return list(crops(self.grids(tokenizer)[0], number, side).unbind(1))

    def train_dataloader(self) -> DataLoader[Grids]:
        """Batches from where the trainer stands."""
        assert self._grids is not None
        assert self.trainer is not None
        batches = EndlessGrids(self._grids[0], self.pictures, self.seed, self.trainer.global_step)
        return DataLoader(batches, batch_size=None)

    def val_dataloader(self) -> DataLoader[Grids]:
        """One picture a batch."""
        assert self._grids is not None
        return DataLoader(self._grids[1], batch_size=None)  # type: ignore[arg-type]


class EndlessGrids(Endless[Grids]):
    """Batches of pictures.

    Args:
        grids: to draw from.
        pictures: a batch.
        seed: of the whole stream.
        first_batch: as of `Endless`.
    """

    def __init__(self, grids: Grids, pictures: int, seed: int, first_batch: int = 0) -> None:
        super().__init__(first_batch)
        self._grids, self._pictures, self._seed = grids, pictures, seed

    def batch(self, number: int) -> Grids:
        """Pictures drawn evenly."""
        chosen = np.random.default_rng([self._seed, number]).integers(len(self._grids), size=self._pictures)
        return [self._grids[i] for i in chosen]


def cached_grids(tokenizer: TokenCodec, pack: ImagePack, views: int, cache: Path) -> Grids:
    """`tokenise`, kept in a file of the cache."""
    facts = f"{views} {pack.names} {pack.index.tolist()}"
    return stored_grids(tokenizer, facts, cache, lambda: tokenise(tokenizer, pack, views))


def stored_grids(tokenizer: Tokenizer[Any], facts: str, cache: Path, make: Callable[[], Grids]) -> Grids:
    """What `make` gives of a tokenizer, made once for all facts that it follows from."""
    named = f"{tokenizer.coding_hash().hex()} {facts}"
    file = cache / f"tokens-{hashlib.sha256(named.encode()).hexdigest()[:16]}.npz"
    if not file.is_file():
        made = make()
        part = file.with_name("part-" + file.name)
        np.savez(part, *(grid.numpy().astype(np.int32) for grid in made))
        part.replace(file)
    with np.load(file) as stored:
        return [torch.from_numpy(stored[name].astype(np.int64)) for name in stored.files]


@torch.inference_mode()
def tokenise(tokenizer: TokenCodec, pack: ImagePack, views: int) -> Grids:
    """Tokens of every picture; every other view is mirrored, and all but the first begin later, the second half a stride."""
    grids, stride = [], tokenizer.stride
    for i in range(len(pack)):
        pixels = torch.from_numpy(pack[i].copy()).permute(2, 0, 1)[None]
        for view in range(views):
            down, right = (stride // 2,) * 2 if view == 1 else (ROW_STEP * view % stride, COLUMN_STEP * view % stride)
            moved = (pixels.flip(-1) if view % 2 else pixels)[..., down:, right:]
            grids.append(torch.cat([plane.codes for plane in tokenizer.encode(moved).planes]).clone())
    return grids


def count(grids: Sequence[Tensor], sizes: Sequence[int]) -> list[Tensor]:
    """Hits of every code: int64 `(K,)` for each plane."""
    return [
        torch.bincount(torch.cat([grid[q].flatten() for grid in grids]), minlength=size) for q, size in enumerate(sizes)
    ]


def crops(grids: Grids, number: int, side: int) -> Tensor:
    """int64 `(number, Q, side, side)` from the first grids that are large enough; smaller ones set the side."""
    side = min(side, *(min(grid.shape[1:]) for grid in grids[:number]))
    return torch.stack([grid[:, :side, :side] for grid in grids[:number]])
