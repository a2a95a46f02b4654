"""The encoders of libsndfile and FFmpeg as writers of blocks, to files and to pipes."""

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

from codec.errors import MediaError
from codec.media.samples import to_integers
from codec.media.sndfile import OGG_ORDER
from codec.media.sound import Encoding, Samples, SoundFormat

PIECE = 1 << 13  # samples; libvorbis keeps all that it is given at once on its stack, which a long block would break
FLAC_ENCODINGS: dict[Encoding, str] = {"PCM_U8": "PCM_S8", "PCM_16": "PCM_16"}  # all others: PCM_24
LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1"}
TAG_NAMES = {"tracknumber": "track"}


@contextmanager
def encoder_errors(failure: str) -> Iterator[None]:
    """What an encoder complains of as one sentence."""
    try:
        yield
    except soundfile.LibsndfileError as error:
        raise MediaError(f"{failure}: {error.error_string}") from error
    except av.FFmpegError as error:
        raise MediaError(f"{failure}: {error.strerror}") from error


class Sink:
    """A file or a pipe as libsndfile wants it.

    In a pipe it may go back too, as if to correct a header, which then has no effect. A failure of the system waits here, as no
    exception passes through the library.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._seeks, self._place, self._end = file, file.seekable(), 0, 0
        self.error: OSError | None = None

    def tell(self) -> int:
        """Where the next byte goes."""
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Go there."""
        self._place = offset + (0, self._place, self._end)[whence]
        if self._seeks:
            with self._kept():
                self._file.seek(self._place)
        return self._place

    def read(self, size: int) -> bytes:
        """Nothing: libsndfile asks for the method, and does not read what it writes."""
        return b""

    def write(self, data: bytes) -> int:
        """Take all of it."""
        if self._seeks or self._place == self._end:
            with self._kept():
                self._file.write(data)
        self._place += len(data)
        self._end = max(self._end, self._place)
        return len(data)

    @contextmanager
    def _kept(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.error = self.error or error

    def check(self) -> None:
        """Raise what happened."""
        if self.error is not None:
            raise self.error


class SndfileWriter:
    """Writes with libsndfile; integers stay as they are.

    Args:
        file: open for writing.
        format: of the sound.
        names: of format and encoding, the latter empty for FLAC.
        options: of the encoder.
        failure: how errors begin.
    """

    def __init__(
        self, file: BinaryIO, format: SoundFormat, names: tuple[str, str], *, options: Mapping[str, Any], failure: str
    ) -> None:
        self._failure, self._sink = failure, Sink(file)
        subtype = names[1] or FLAC_ENCODINGS.get(format.encoding, "PCM_24")
        self._bits = 0 if names[1] else int(subtype.removeprefix("PCM_").removeprefix("S"))
        order = OGG_ORDER.get(format.channels) if names[0] == "OGG" else None
        self._order = None if order is None else np.argsort(order)
        with encoder_errors(failure):
            self._sound = soundfile.SoundFile(
                self._sink, "w", format.rate, format.channels, subtype, format=names[0], **options
            )
            for tag, text in format.tags.items():
                setattr(self._sound, tag, text)

    def write(self, block: Samples) -> None:
        """Append `(n, C)` samples."""
        for start in range(0, len(block), PIECE):
            with encoder_errors(self._failure):
                self._sound.write(self._prepared(block[start : start + PIECE]))
            self._sink.check()

    def close(self) -> None:
        """Make the file complete."""
        with encoder_errors(self._failure):
            self._sound.close()
        self._sink.check()

    def _prepared(self, piece: Samples) -> Samples | NDArray[np.int32]:
        if self._bits:
            return to_integers(piece, self._bits) << (32 - self._bits)
        return np.ascontiguousarray(piece if self._order is None else piece[:, self._order])


class AvWriter:
    """Writes with FFmpeg: AAC to MP4 or as bare frames, and what the measures of sound compare with.

    Args:
        file: open for writing.
        format: of the sound.
        names: of container and encoder.
        options: `bit_rate`, bits a second and channel; all others are of the encoder itself.
        failure: how errors begin.
    """

    def __init__(
        self, file: BinaryIO, format: SoundFormat, names: tuple[str, str], *, options: Mapping[str, Any], failure: str
    ) -> None:
        self._layout, self._rate, self._done, self._failure = LAYOUTS[format.channels], format.rate, 0, failure
        with encoder_errors(failure):
            # an MP4 counts its length in these units, by default milliseconds
            exact = {"movie_timescale": str(format.rate)} if names[0] == "ipod" else {}
            self._container = av.open(file, "w", format=names[0], options=exact)
            self._container.metadata.update({TAG_NAMES.get(tag, tag): text for tag, text in format.tags.items()})
            track = self._container.add_stream(names[1], rate=format.rate, layout=self._layout)
            assert isinstance(track, av.AudioStream)
            track.bit_rate = options["bit_rate"] * format.channels
            track.codec_context.options = {name: str(value) for name, value in options.items() if name != "bit_rate"}
            self._track = track

    def write(self, block: Samples) -> None:
        """Append `(n, C)` samples."""
        for start in range(0, len(block), PIECE):
            planes = np.ascontiguousarray(block[start : start + PIECE].T, np.float32)
            frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=self._layout)
            frame.sample_rate, frame.pts = self._rate, self._done
            self._done += planes.shape[1]
            with encoder_errors(self._failure):
                self._container.mux(self._track.encode(frame))

    def close(self) -> None:
        """Make the file complete."""
        with encoder_errors(self._failure):
            self._container.mux(self._track.encode(None))
            self._container.close()
