"""One open file that several readers share, each with a place of its own."""

import io
from threading import Lock
from typing import BinaryIO, cast


class SharedFile:
    """Lends an open file that seeks.

    Args:
        file: must not be read by anybody else meanwhile.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._lock = file, Lock()

    def reader(self) -> BinaryIO:
        """Another reader, at the file's start; any number of them may be used in any order, and by several threads."""
        return cast(BinaryIO, io.BufferedReader(_View(self)))

    def read_at(self, place: int, size: int) -> bytes:
        """At most `size` bytes from a place on."""
        with self._lock:
            self._file.seek(place)
            return self._file.read(size)

    def end(self) -> int:
        """The length in bytes."""
        with self._lock:
            return self._file.seek(0, io.SEEK_END)


class _View(io.RawIOBase):
    """A place in a shared file."""

    def __init__(self, shared: SharedFile) -> None:
        super().__init__()
        self._shared, self._place = shared, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        data = self._shared.read_at(self._place, len(buffer))
        buffer[: len(data)] = data
        self._place += len(data)
        return len(data)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        begin = {io.SEEK_SET: 0, io.SEEK_CUR: self._place}
        self._place = offset + (begin[whence] if whence in begin else self._shared.end())
        return self._place

    def tell(self) -> int:
        return self._place
