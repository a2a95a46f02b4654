"""Pipes whose first bytes were looked at."""

import io
from typing import BinaryIO


class Replayed(io.RawIOBase):
    """Gives the first bytes again, then the rest; cannot seek.

    Args:
        start: what was read from the stream already.
        stream: stands behind that.
    """

    def __init__(self, start: bytes, stream: BinaryIO) -> None:
        super().__init__()
        self._start, self._stream = start, stream

    def readable(self) -> bool:
        """It is."""
        return True

    def read(self, size: int = -1) -> bytes:
        """At most so many bytes, all if negative; fewer only at the end of either part."""
        if size < 0:
            start, self._start = self._start, b""
            return start + self._stream.read()
        if not self._start:
            return self._stream.read(size)
        piece, self._start = self._start[:size], self._start[size:]
        return piece


class Recorded:
    """Keeps what is read from a stream.

    Args:
        stream: read from here.

    Attributes:
        taken: all bytes so far.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.taken = b""

    def read(self, size: int) -> bytes:
        """At most so many bytes."""
        piece = self._stream.read(size)
        self.taken += piece
        return piece
