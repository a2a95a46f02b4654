"""Pictures of a video as PNG files of a folder, which appears whole or not at all."""

import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image

from codec.errors import MediaError
from codec.media.video import VideoFrame

FRAME_NAME = re.compile(r"\d{8,}\.png")


class PngWriter:
    """Writes `00000001.png` and so on.

    Args:
        folder: is there, and empty.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._done = folder, 0

    def write(self, frame: VideoFrame) -> None:
        """Append a picture; its time is not kept."""
        self._done += 1
        rows = np.ascontiguousarray(frame.pixels.transpose(1, 2, 0))
        Image.fromarray(rows).save(self._folder / f"{self._done:08}.png")

    def close(self) -> None:
        """Nothing is left to write."""


@contextmanager
def whole_folder(target: Path) -> Iterator[Path]:
    """A new folder for files, which takes the name of `target` when the block ends well and is removed when it raises.

    A folder of that name is replaced if there is nothing in it but pictures as `PngWriter` names them.

    Raises:
        MediaError: the target is a file or a folder of other things, or an `OSError` met on the way, inside the block too.
    """
    real = Path(os.path.realpath(target))
    partial = real.with_name(f".codec-{secrets.token_hex(8)}.partial")
    try:
        _refuse(real, target)
        partial.mkdir()
        try:
            yield partial
            _put(partial, real)
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
    except OSError as error:
        raise MediaError(f"cannot write {target}: {error.strerror or error}") from error


def _refuse(real: Path, target: Path) -> None:
    if not real.exists():
        return
    if not real.is_dir():
        raise MediaError(f"cannot write {target}: it is a file, and a folder of pictures was asked for")
    if not all(FRAME_NAME.fullmatch(name) for name in os.listdir(real)):
        raise MediaError(f"cannot write {target}: the folder holds other things than numbered pictures; name a new one")


def _put(partial: Path, real: Path) -> None:
    """Give the folder its name; the one that had it stays until then."""
    if not real.exists():
        os.rename(partial, real)
        return
    old = partial.with_suffix(".old")
    os.rename(real, old)
    try:
        os.rename(partial, real)
    except OSError:
        os.rename(old, real)
        raise
    shutil.rmtree(old, ignore_errors=True)
