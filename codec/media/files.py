"""Files that appear whole or not at all."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from codec.errors import MediaError


@contextmanager
def whole_file(target: Path) -> Iterator[BinaryIO]:
    """Open `target` for writing, so that other readers see its old content or all of the new one.

    The bytes go to a hidden file in the same folder, which takes the name of `target` when the block ends well and is
    removed when it raises. A symbolic link stays a link and its file is replaced; a pipe or a device such as
    `/dev/null`, which has no content to keep, is written directly.

    Raises:
        MediaError: an `OSError` met on the way, inside the block too, with `target` and the reason in its text.
    """
    try:
        real = Path(os.path.realpath(target))
        if real.is_dir():
            raise MediaError(f"cannot write {target}: it is a folder")
        if real.exists() and not real.is_file():
            with real.open("wb") as file:
                yield file
            return
        partial = real.with_name(f".codec-{secrets.token_hex(8)}.partial")
        try:
            # mode "x" rather than `tempfile`, whose files only their owner may read
            with partial.open("xb") as file:
                yield file
            os.replace(partial, real)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise MediaError(f"cannot write {target}: {error.strerror or error}") from error
