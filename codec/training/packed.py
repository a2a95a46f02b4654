"""What packs of pictures, sound and video share: a folder of the cache for each collection, whole once its index is there."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codec.media.files import whole_file

INDEX, NAMES = "index.npy", "names.json"


def pack_folder(cache: str | Path, kind: str, files: Sequence[Path], *options: Any) -> Path:
    """The folder of a pack: another one if the files changed since, or the options.

    Args:
        cache: folder for decoded packs.
        kind: first part of the name.
        files: what is packed, by name, size and time.
        options: of the decoding, JSON.
    """
    stamp = [(str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    return Path(cache) / f"{kind}-{hashlib.sha256(json.dumps([stamp, *options]).encode()).hexdigest()[:16]}"


def is_packed(folder: Path) -> bool:
    """Whether a pack is there as a whole."""
    return (folder / INDEX).is_file()


def write_index(folder: Path, rows: Sequence[Sequence[int]], names: Sequence[str]) -> None:
    """Finish a pack, the index last, so that what is there is whole; several processes may want the same one at once."""
    with whole_file(folder / NAMES) as file:
        file.write(json.dumps(list(names)).encode())
    with whole_file(folder / INDEX) as file:
        np.save(file, np.array(rows, dtype=np.int64))


def read_index(folder: Path) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """The rows and the names of a pack."""
    return np.load(folder / INDEX), tuple(json.loads((folder / NAMES).read_text()))
