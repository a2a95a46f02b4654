"""Tiny trainings of sound tokenizers, in this process: archives of synthetic sound, and configs cut down to a few numbers."""

import io
import os
import tarfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning
import numpy as np
import soundfile
import torch
from hydra import compose, initialize_config_dir
from numpy.typing import NDArray
from omegaconf import DictConfig, ListConfig

import train

CONFIGS = Path(__file__).parents[2] / "configs"
RATE_HZ = 16_000
SMALL = {"codebook_size": 16, "kmeans_iterations": 2, "width": 32, "depth": 1}  # wherever a config has such a number
TINY = [
    "data.batch_size=2", "data.crop=3200", "data.val_clips=1", "training.start_batches=3", "training.pesq=false",
    "trainer.val_check_interval=1000", "trainer.log_every_n_steps=1", "trainer.accelerator=cpu",
    "trainer.precision=32-true", "callbacks.resume.every_n_train_steps=1",
]  # fmt: skip
TINY_PRIOR = [
    "data.val_clips=1", "trainer.val_check_interval=1000", "trainer.accelerator=cpu", "trainer.log_every_n_steps=5",
    "callbacks.average.decay=0.5", "tokens.frames=8", "tokens.packets=4", "prior.width=16", "prior.embedding_dim=8",
    "prior.key_dim=8", f"prior.digits=[[64]{',[4,4]' * 12}]",
]  # fmt: skip


def voice(seconds: float, seed: int) -> NDArray[np.float32]:
    """Tones that come and go over a little noise, `(T,)`."""
    random = np.random.default_rng(seed)
    time = np.arange(round(RATE_HZ * seconds)) / RATE_HZ
    pitch = random.uniform(90, 250)
    tones = sum(np.sin(2 * np.pi * pitch * n * time + random.uniform(0, 6)) / n for n in range(1, 12))
    loudness = np.clip(np.sin(2 * np.pi * random.uniform(2, 5) * time), 0, 1)
    return (0.1 * tones * loudness + random.normal(0, 0.002, len(time))).astype(np.float32)


def write_archives(root: Path) -> Path:
    """The three archives that the configs name, with a few clips of each kind."""
    for archive, kinds in (("audio-train", ("speech", "music44", "music24", "sound")), ("speech-train", ("speech",))):
        _write(
            root / f"{archive}.tar", {f"{kind}/{i}.wav": voice(1.0 + 0.1 * i, i) for kind in kinds for i in range(3)}
        )
    _write(root / "audio-val.tar", {f"{kind}/v.wav": voice(0.7, 9) for kind in ("speech", "music44", "sound")})
    return root


def run(name: str, root: Path, output: Path, *overrides: str) -> None:
    """Train as `train.py --config-name NAME OVERRIDES` does."""
    config = shrunk(name, root, output, *overrides)
    with _left_as_it_was():
        train.fit(config)


def shrunk(name: str, root: Path, output: Path, *overrides: str) -> Any:
    """A config with everything small."""
    where = [f"data.root={root}", f"data.cache={root / 'cache'}", f"output={output}"]
    tiny = TINY_PRIOR if "prior" in name else TINY
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = compose(name, [*where, *tiny, *overrides])
    if "model" in config:
        _shrink(config.model)
    return config


def weights(output: Path, part: str = "current_model_state") -> dict[str, torch.Tensor]:
    """Of the last checkpoint of a run."""
    return torch.load(output / "last.ckpt", weights_only=True)[part]


def _write(path: Path, clips: dict[str, NDArray[np.float32]]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, samples in clips.items():
            file = io.BytesIO()
            soundfile.write(file, samples, RATE_HZ, format="WAV", subtype="PCM_16")
            header = tarfile.TarInfo(name)
            header.size = file.tell()
            file.seek(0)
            tar.addfile(header, file)


def _shrink(node: Any) -> None:
    for key in node if isinstance(node, DictConfig) else range(len(node)):
        if key in SMALL and isinstance(node[key], int):
            node[key] = SMALL[key]
        elif isinstance(node[key], DictConfig | ListConfig):
            _shrink(node[key])


@contextmanager
def _left_as_it_was() -> Iterator[None]:
    """A training sets seeds, the precision of products and the environment; Lightning warns of what is meant here."""
    precision, environment = torch.get_float32_matmul_precision(), dict(os.environ)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        torch.set_float32_matmul_precision(precision)
        os.environ.clear()
        os.environ.update(environment)
        lightning.seed_everything(0, verbose=False)
        os.environ.pop("PL_GLOBAL_SEED", None)
        os.environ.pop("PL_SEED_WORKERS", None)
