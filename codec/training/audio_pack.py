"""Decode a sound collection once into one memory-mapped array, as `pack.py` does for pictures, and cut crops from it."""

import io
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codec.errors import MediaError, UsageError
from codec.media.files import whole_file
from codec.training.packed import is_packed, pack_folder, read_index, write_index

SAMPLES = "samples.i16"
FULL_SCALE = 32767


@dataclass(frozen=True)
class AudioPack:
    """Mono clips of any length and one rate in one flat array.

    Attributes:
        samples: int16, all clips one after another; 32767 is full scale.
        index: int64 `(N, 2)`: offset into `samples`, length.
        names: of the files they came from.
        rate_hz: of all clips.
    """

    samples: NDArray[np.int16]
    index: NDArray[np.int64]
    names: tuple[str, ...]
    rate_hz: int

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, i: int) -> NDArray[np.int16]:
        """Clip i, `(T,)`, a view."""
        offset, length = (int(value) for value in self.index[i])
        return self.samples[offset : offset + length]


class AudioCrops:
    """Batches of random crops, in which batch n is a function of the seed and n alone.

    Every moment of the collection is as likely as any other to be where a crop begins, but none begins so late that its clip
    ends before it; clips shorter than a crop are followed by silence.

    Args:
        pack: the clips.
        batch_size: crops a batch.
        crop: length in samples.
        seed: of the whole stream.
    """

    def __init__(self, pack: AudioPack, *, batch_size: int, crop: int, seed: int) -> None:
        if len(pack) == 0:
            raise ValueError("the pack holds no clips")
        self.pack, self.batch_size, self.crop, self.seed = pack, batch_size, crop, seed
        self._starts = np.cumsum(np.maximum(1, pack.index[:, 1] - crop + 1))  # of the clips up to each

    def batch(self, number: int) -> Tensor:
        """The batch of a number, int16 `(batch_size, crop)`, the same on every call."""
        random = np.random.default_rng([self.seed, number])
        crops = np.zeros((self.batch_size, self.crop), dtype=np.int16)
        for crop, place in zip(crops, random.integers(self._starts[-1], size=self.batch_size), strict=True):
            clip = int(np.searchsorted(self._starts, place, side="right"))
            first = int(place - (self._starts[clip - 1] if clip else 0))
            excerpt = self.pack[clip][first : first + self.crop]
            crop[: len(excerpt)] = excerpt
        return torch.from_numpy(crops)


def open_audio_pack(archive: Path, cache: Path, *, rate_hz: int, kind: str = "") -> AudioPack:
    """The pack of a tar, decoded on the first call and memory-mapped from then on.

    Args:
        archive: an uncompressed tar of files that `codec.media.audio` reads.
        cache: folder for decoded packs.
        rate_hz: all clips are converted to this rate.
        kind: keep only members of this folder of the tar, e.g. `speech`; all if empty.
    """
    if not archive.is_file():
        raise UsageError(f"{archive} is no tar of sound files")
    folder = pack_folder(cache, "audio", [archive], rate_hz, kind)
    if not is_packed(folder):
        _write_pack(folder, archive, rate_hz, kind)
    samples = np.memmap(folder / SAMPLES, dtype=np.int16, mode="r")
    return AudioPack(samples, *read_index(folder), rate_hz)


def _write_pack(folder: Path, archive: Path, rate_hz: int, kind: str) -> None:
    from codec.media.audio import read_mono

    folder.mkdir(parents=True, exist_ok=True)
    rows, names, offset = [], [], 0
    with whole_file(folder / SAMPLES) as file:
        for name, data in _members(archive, kind):
            clip = read_mono(io.BytesIO(data), name, rate_hz).clamp(-1, 1)
            file.write((clip * FULL_SCALE).round().to(torch.int16).numpy().tobytes())
            rows.append((offset, len(clip)))
            names.append(name)
            offset += len(clip)
    if not rows:
        raise UsageError(f"{archive} holds no sound files{f' under {kind}/' if kind else ''}")
    write_index(folder, rows, names)


def _members(archive: Path, kind: str) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of every sound file of a kind."""
    from codec.media.audio import AUDIO_SUFFIXES

    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                path = Path(member.name)
                if path.suffix.lower() in AUDIO_SUFFIXES and (not kind or path.parts[0] == kind):
                    content = tar.extractfile(member)
                    if content is not None:
                        yield member.name, content.read()
    except tarfile.TarError as error:
        raise MediaError(f"cannot read {archive}: {error}") from error
