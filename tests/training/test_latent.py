"""Training of a latent codec: real steps lower the loss, resume continues exactly, what is exported writes files."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from codec.media import read_image
from codec.models import Encoding, load
from codec.models.rate import decibels
from tests.conftest import synthetic_picture

SMALL = [
    "model.latent_dim=24", "model.analysis.latent_dim=24", "+model.analysis.width=16", "+model.analysis.depth=1",
    "+model.synthesis.width=16", "+model.synthesis.depth=1", "model.prior.groups=[8,16]", "model.prior.hyper_channels=4",
    "model.prior.hyper_width=16", "model.prior.features=8", "model.prior.width=16", "data.crop=64", "data.batch_size=4",
    "+training.start_batches=4", "training.optimisation.warmup_steps=5", "trainer.limit_val_batches=1",
    "trainer.val_check_interval=20", "trainer.log_every_n_steps=5", "trainer.precision=32-true", "trainer.accelerator=cpu",
    "callbacks.resume.every_n_train_steps=10",
]  # fmt: skip


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(4):
        Image.fromarray(synthetic_picture(256, 256, i).permute(1, 2, 0).numpy()).save(folder / f"{i:05}_a.png")
    return folder


def train(pictures: Path, output: Path, *overrides: str) -> None:
    places = [f"data.root={pictures}", f"data.val_root={pictures}", f"output={output}", f"data.cache={pictures}/cache"]
    run("train.py", "--config-name", "train_latent", *places, *SMALL, *overrides)


def run(*arguments: str | Path) -> None:
    """A script in a fresh process."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_resume_continues_exactly_and_the_export_writes_files(pictures: Path, tmp_path: Path) -> None:
    """The run passes from noise to rounding on its way."""
    once, twice = tmp_path / "once", tmp_path / "twice"
    train(pictures, once, "total_steps=20")
    train(pictures, twice, "total_steps=20", "trainer.max_steps=10")
    train(pictures, twice, "total_steps=20", "resume=last")
    first, second = (
        torch.load(output / "last.ckpt", weights_only=True)["current_model_state"] for output in (once, twice)
    )
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
    model, media = load(once / "image-latent"), read_image(pictures / "00001_a.png")
    coarse, fine = (model.compress(media, Encoding(quality=quality)) for quality in (10, 90))
    assert len(coarse) < len(fine)
    assert 20 < decibels(media, model.decompress(coarse)) < decibels(media, model.decompress(fine))


def test_a_run_that_was_stopped_is_exported_as_it_would_have_been(pictures: Path, tmp_path: Path) -> None:
    train(pictures, tmp_path / "run", "total_steps=10")
    places = [f"data.root={pictures}", f"data.val_root={pictures}", f"data.cache={pictures}/cache"]
    overrides = ["--config-name", "train_latent", "--overrides", *places, *SMALL, "total_steps=10"]
    run("tools/export_checkpoint.py", tmp_path / "run" / "last.ckpt", tmp_path / "image-latent", *overrides)
    own, exported = (
        load_file(folder / "image-latent" / "model.safetensors") for folder in (tmp_path / "run", tmp_path)
    )
    assert own.keys() == exported.keys()
    assert [name for name in own if not torch.equal(own[name], exported[name])] == []
    assert "- steps: 10" in (tmp_path / "image-latent" / "card.md").read_text()
