"""Decode a picture collection once into one memory-mapped array, so that loading never slows a training step."""

import io
import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from codec.errors import MediaError, UsageError
from codec.media import IMAGE_SUFFIXES, read_image
from codec.media.files import whole_file
from codec.training.packed import is_packed, pack_folder, read_index, write_index

PIXELS = "pixels.u8"


@dataclass(frozen=True)
class ImagePack:
    """RGB pictures of any size in one flat array.

    Attributes:
        pixels: uint8, all pictures one after another, each `(H, W, 3)` in C order.
        index: int64 `(N, 3)`: offset into `pixels`, height, width.
        names: of the files they came from.
    """

    pixels: NDArray[np.uint8]
    index: NDArray[np.int64]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, i: int) -> NDArray[np.uint8]:
        """Picture i, `(H, W, 3)`, a view."""
        offset, height, width = (int(value) for value in self.index[i])
        return self.pixels[offset : offset + 3 * height * width].reshape(height, width, 3)


def open_pack(root: str, cache: str | Path, sources: Sequence[str] | None = None) -> ImagePack:
    """The pack of a collection, decoded on the first call and memory-mapped from then on.

    Args:
        root: a folder (pictures and tars below it), a tar, or WebDataset shards as `name-{000..011}.tar` or a glob.
        cache: folder for decoded packs.
        sources: keep only files whose key ends in `_<source>`, to train on some licences only; None keeps all.
    """
    files = _files(root)
    folder = pack_folder(cache, "images", files, sorted(sources) if sources else None)
    if not is_packed(folder):
        _write_pack(folder, files, sources)
    pixels = np.memmap(folder / PIXELS, dtype=np.uint8, mode="r")
    return ImagePack(pixels, *read_index(folder))


def _files(root: str) -> list[Path]:
    """Pictures and tars that a root names, sorted."""
    path = Path(root)
    if path.is_dir():
        found = [file for file in path.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES | {".tar"}]
    elif path.is_file():
        found = [path]
    else:
        found = [file for pattern in _expand(root) for file in Path(path.anchor or ".").glob(pattern)]
    if not found:
        raise UsageError(
            f"data.root={root!r} names no pictures: give a folder, a tar, or shards as name-{{000..011}}.tar"
        )
    return sorted(found)


def _expand(pattern: str) -> list[str]:
    """`a-{08..11}.tar` to its four names, relative to the anchor so that they can be globbed."""
    pattern = pattern.removeprefix(Path(pattern).anchor)
    match = re.search(r"\{(\d+)\.\.(\d+)\}", pattern)
    if not match:
        return [pattern]
    first, last = match.groups()
    numbers = range(int(first), int(last) + 1)
    return [pattern[: match.start()] + str(i).zfill(len(first)) + pattern[match.end() :] for i in numbers]


def _pictures(files: Sequence[Path]) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of every picture, those inside tars too."""
    for file in files:
        if file.suffix.lower() != ".tar":
            yield file.name, file.read_bytes()
            continue
        with tarfile.open(file) as archive:
            for member in archive:
                content = archive.extractfile(member) if Path(member.name).suffix.lower() in IMAGE_SUFFIXES else None
                if content is not None:
                    yield member.name, content.read()


def _wanted(name: str, sources: Sequence[str] | None) -> bool:
    key = Path(name).name.split(".")[0]
    return sources is None or key.rpartition("_")[2] in sources


def _write_pack(folder: Path, files: Sequence[Path], sources: Sequence[str] | None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    rows, names, offset = [], [], 0
    with whole_file(folder / PIXELS) as out:  # several processes may want the same pack at once
        for name, data in _pictures(files):
            if not _wanted(name, sources):
                continue
            try:
                samples = read_image(io.BytesIO(data)).samples
            except MediaError as error:
                raise MediaError(f"{name}: {error}; remove it or repair it") from error
            rgb = samples.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy()
            out.write(rgb.tobytes())
            rows.append((offset, rgb.shape[0], rgb.shape[1]))
            names.append(name)
            offset += rgb.size
    if not rows:
        raise UsageError(f"no picture left with data.sources={list(sources or ())}")
    write_index(folder, rows, names)
