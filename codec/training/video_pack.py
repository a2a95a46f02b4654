"""Decode a collection of video once into one memory-mapped array, as `pack.py` does for pictures, and cut clips from it."""

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from codec.errors import MediaError, UsageError
from codec.media.files import whole_file
from codec.training.packed import is_packed, pack_folder, read_index, write_index

PIXELS = "pixels.u8"


@dataclass(frozen=True)
class VideoPack:
    """RGB clips of any size and length in one flat array.

    Attributes:
        pixels: uint8, all frames one after another, each `(H, W, 3)` in C order.
        index: int64 `(N, 4)`: offset into `pixels`, frames, height, width.
        names: of the files they came from.
    """

    pixels: NDArray[np.uint8]
    index: NDArray[np.int64]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, i: int) -> NDArray[np.uint8]:
        """Clip i, `(T, H, W, 3)`, a view."""
        offset, frames, height, width = (int(value) for value in self.index[i])
        return self.pixels[offset : offset + 3 * frames * height * width].reshape(frames, height, width, 3)


def open_video_pack(root: Path, cache: Path) -> VideoPack:
    """The pack of a tar, or of a folder of videos, decoded on the first call and memory-mapped from then on."""
    if not root.exists():
        raise UsageError(f"{root} is no tar and no folder of videos")
    files = [root] if root.is_file() else sorted(file for file in root.rglob("*") if file.is_file())
    folder = pack_folder(cache, "video", files)
    if not is_packed(folder):
        _write_pack(folder, root)
    pixels = np.memmap(folder / PIXELS, dtype=np.uint8, mode="r")
    return VideoPack(pixels, *read_index(folder))


def _write_pack(folder: Path, root: Path) -> None:
    from codec.media.video import open_video

    folder.mkdir(parents=True, exist_ok=True)
    rows, names, offset = [], [], 0
    with whole_file(folder / PIXELS) as file:
        for name, data in _members(root):
            with open_video(data) as video:
                frames, size = 0, (video.format.height, video.format.width)
                for frame in video.pictures():
                    file.write(np.ascontiguousarray(frame.pixels.transpose(1, 2, 0)).tobytes())
                    frames += 1
            rows.append((offset, frames, *size))
            names.append(name)
            offset += 3 * frames * size[0] * size[1]
    if not rows:
        raise UsageError(f"{root} holds no videos")
    write_index(folder, rows, names)


def _members(root: Path) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of every video."""
    from codec.media.video import VIDEO_SUFFIXES

    if root.is_dir():
        for path in sorted(root.rglob("*")):
            if path.suffix.lower() in VIDEO_SUFFIXES:
                yield path.name, path.read_bytes()
        return
    try:
        with tarfile.open(root) as tar:
            for member in tar:
                content = tar.extractfile(member) if Path(member.name).suffix.lower() in VIDEO_SUFFIXES else None
                if content is not None:
                    yield member.name, content.read()
    except tarfile.TarError as error:
        raise MediaError(f"cannot read {root}: {error}") from error
