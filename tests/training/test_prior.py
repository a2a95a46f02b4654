"""A learned prior is trained for a shipped tokenizer, exported in integers, and its files are read back."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from codec.errors import ModelMismatchError, UsageError
from codec.media import read_image
from codec.models import Encoding, find, load
from codec.training.datamodule import ImageData
from codec.training.tokens import EndlessGrids, TokenData
from tests.conftest import synthetic_picture

TINY = Path(__file__).parents[1] / "golden" / "tiny"
SMALL = [
    "data.cache=cache", "trainer.limit_val_batches=1", "trainer.val_check_interval=10", "trainer.accelerator=cpu",
    "trainer.log_every_n_steps=5", "callbacks.resume.every_n_train_steps=5", "prior.period=4", "prior.neighbours=6",
    "prior.embedding_dim=8", "prior.width=16", "prior.key_dim=8", "prior.digits=[[8,8]]", "name=with-prior",
]  # fmt: skip


def train(folder: Path, output: str, *overrides: str) -> None:
    command = [sys.executable, "-W", "ignore", str(Path.cwd() / "train.py"), "--config-name", "train_prior"]
    command += [f"tokenizer={TINY}", "data.root=pictures", f"output={output}", *SMALL, *overrides]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=folder)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prior")
    (folder / "pictures").mkdir()
    for i in range(6):
        picture = synthetic_picture(96, 128, i).permute(1, 2, 0).numpy()
        Image.fromarray(picture).save(folder / "pictures" / f"{i:05}.png")
    train(folder, "once", "total_steps=20")
    return folder


def test_the_exported_model_writes_smaller_files_that_it_reads(folder: Path) -> None:
    model, tiny = load(folder / "once" / "with-prior"), load(TINY)
    assert model.coding_hash("static") == tiny.coding_hash("static")
    media = read_image(folder / "pictures" / "00000.png")
    learned, static = model.compress(media), model.compress(media, Encoding(prior="static"))
    assert static == tiny.compress(media)
    assert learned[5:13] == model.coding_hash("learned")[:8]
    assert torch.equal(model.decompress(learned).samples, tiny.decompress(static).samples)
    with pytest.raises(ModelMismatchError, match="needs model"):
        tiny.decompress(learned)
    with pytest.raises(UsageError, match="no learned prior"):
        tiny.compress(media, Encoding(prior="learned"))
    assert set(find(folder / "once" / "with-prior").coding_hashes) == {"static", "learned"}
    assert "integers cost" in (folder / "once" / "with-prior" / "card.md").read_text()


def test_resume_continues_exactly(folder: Path) -> None:
    train(folder, "twice", "total_steps=20", "trainer.max_steps=10")
    train(folder, "twice", "total_steps=20", "resume=last")
    once, twice = (
        torch.load(folder / name / "last.ckpt", weights_only=True)["current_model_state"] for name in ("once", "twice")
    )
    assert once.keys() == twice.keys()
    assert not [name for name in once if not torch.equal(once[name], twice[name])]


def test_tokens_are_cached_and_mirrored(folder: Path, tmp_path: Path) -> None:
    images = ImageData(str(folder / "pictures"), cache=str(tmp_path))
    model = load(TINY)
    train_grids, val_grids = TokenData(images, views=2).grids(model)
    again, _ = TokenData(images, views=2).grids(model)
    assert len(train_grids) == 2 * len(images.packs()[0])
    assert len(val_grids) == len(images.packs()[1])
    assert all(torch.equal(one, two) for one, two in zip(train_grids, again, strict=True))
    assert len(list(tmp_path.glob("tokens-*.npz"))) == 2
    first, second = (next(iter(EndlessGrids(train_grids, 3, seed=1, first_batch=n))) for n in (0, 0))
    assert all(torch.equal(one, two) for one, two in zip(first, second, strict=True))
