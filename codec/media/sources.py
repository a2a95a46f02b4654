"""Where media come from: a path, bytes or a stream, with names for errors and failures of the system as a `MediaError`."""

import io
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO

from codec.errors import MediaError

Source = str | Path | bytes | BinaryIO


def name_of(source: Source, kind: str = "picture") -> str:
    """How errors name a source."""
    if isinstance(source, str | Path):
        return str(source)
    name = getattr(source, "name", None)  # of a stream; a number where it was opened by one
    return name if isinstance(name, str) else f"the {kind}"


def open_stream(source: Source) -> AbstractContextManager[BinaryIO]:
    """The source as a binary stream; only a file that is opened here is closed at the end."""
    if isinstance(source, str | Path):
        return Path(source).open("rb")
    return nullcontext(io.BytesIO(source) if isinstance(source, bytes) else source)


@contextmanager
def system_errors(name: str) -> Iterator[None]:
    """Failures to open or read, and a path or number that cannot be, as one sentence."""
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise MediaError(f"cannot read {name}: {getattr(error, 'strerror', None) or error}") from error


def damaged(name: str, error: Exception | str) -> MediaError:
    """The failure of a decoder."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return MediaError(f"cannot read {name}: damaged or truncated ({reason})")


def empty(name: str) -> MediaError:
    """No byte at all."""
    return MediaError(f"cannot read {name}: it is empty")
