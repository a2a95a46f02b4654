"""Crops of tokens from shards and packs: every place is drawn, validation is regular, nothing is seen twice in two processes."""

from pathlib import Path

import hydra
import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from PIL import Image

from codec.models import load
from codec.training import TokenCrops
from codec.training.token_crops import EndlessTokenCrops
from codec.training.tokens import Grids
from tests.conftest import synthetic_picture


class Given:
    """Grids that are there."""

    def __init__(self, train: Grids, val: Grids) -> None:
        self._both = train, val

    def grids(self, _tokenizer: object) -> tuple[Grids, Grids]:
        return self._both


def numbered(rows: int, columns: int) -> torch.Tensor:
    return torch.arange(2 * rows * columns).view(2, rows, columns)


def test_crops_are_parts_of_grids_and_every_place_is_drawn() -> None:
    grids = [numbered(5, 7), 1000 + numbered(4, 4), numbered(3, 9)]
    data = TokenCrops(Given(grids, grids), crop=(4, 4), batch_size=16, val_batches=9)
    data.prepare(None, 1)
    assert data._train is not None
    batches = EndlessTokenCrops(data._train, 16, seed=0)
    firsts = torch.cat([batches.batch(i).codes for i in range(20)])[:, :, 0, 0]
    assert firsts.shape == (320, 1)
    assert set(firsts.flatten().tolist()) == {0, 1, 2, 3, 7, 8, 9, 10, 1000}
    assert torch.equal(batches.batch(3).codes, batches.batch(3).codes)
    (val,) = data.val_dataloader()
    assert val.codes.shape == (2, 1, 4, 4)
    assert (val.labels == -1).all()


def test_grids_that_are_too_small() -> None:
    data = TokenCrops(Given([numbered(3, 9)], [numbered(3, 9)]), crop=(4, 4))
    with pytest.raises(ValueError, match="no grid of tokens has 4x4"):
        data.prepare(None, 2)


def test_rows_of_frames() -> None:
    sound = torch.arange(2 * 30).view(2, 30)
    data = TokenCrops(Given([sound], [numbered(3, 8)]), crop=(1, 8), batch_size=2)
    assert data.prepare(None, 2)[0].shape == (2, 1, 30)
    assert sum(len(batch.codes) for batch in data.val_dataloader()) == 3


def test_packs_by_config(tmp_path: Path) -> None:
    for i in range(3):
        pixels = synthetic_picture(64, 72, i).permute(1, 2, 0).numpy()
        Image.fromarray(np.ascontiguousarray(pixels)).save(tmp_path / f"{i}.png")
    with hydra.initialize_config_dir(str(Path("configs").resolve()), version_base="1.3"):
        shared = ["tokenizer=tiny", "generator=maskgit"]
        root = [f"data.tokens.images.root={tmp_path}", f"data.tokens.images.cache={tmp_path}/cache", "data.crop=[4,4]"]
        pictures = hydra.compose("train_generator", [*shared, "data=picture_tokens", *root])
        sounds = hydra.compose("train_generator", [*shared, "data=sound_tokens", "data.tokens.sounds.root=nowhere"])
    data = instantiate(pictures.data)
    grids = data.prepare(load("tests/golden/tiny"), 1)
    assert len(grids) == 4 * 2
    assert {tuple(grid.shape) for grid in grids} == {(1, 8, 9)}
    assert not torch.equal(grids[0], grids[2])
    assert instantiate(sounds.data).crop == (1, 64)
