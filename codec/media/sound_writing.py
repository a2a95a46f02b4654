"""Writing sound, block by block, to files and to pipes: WAV, FLAC, Ogg Vorbis, Opus, MP3 and AAC."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal, Protocol

from codec.errors import UsageError
from codec.media.sound import Samples, SoundFormat, refuse_infinite
from codec.media.sources import name_of
from codec.media.wav_writing import WavWriter

OPUS_RATES = (8_000, 12_000, 16_000, 24_000, 48_000)
MPEG_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
AAC_RATES = (*MPEG_RATES, 64_000, 88_200, 96_000)


@dataclass(frozen=True)
class Kind:
    """What a format can hold, and how it is asked for.

    Attributes:
        library: that writes it.
        names: of container and encoding there.
        channels: at most.
        rates: that it has.
        options: of the encoder. A decoded sound should lose little more, so that lossy ones are near their finest setting.
    """

    library: Literal["libsndfile", "FFmpeg"]
    names: tuple[str, str]
    channels: int
    rates: tuple[int, ...] | range
    options: Mapping[str, Any]


KINDS = {
    ".flac": Kind("libsndfile", ("FLAC", ""), 8, range(1_000, 655_351), {}),
    ".ogg": Kind("libsndfile", ("OGG", "VORBIS"), 8, range(8_000, 192_001), {"compression_level": 0.1}),
    ".opus": Kind("libsndfile", ("OGG", "OPUS"), 8, OPUS_RATES, {"compression_level": 0.3}),
    ".mp3": Kind("libsndfile", ("MP3", "MPEG_LAYER_III"), 2, MPEG_RATES, {"compression_level": 0.0}),
    ".m4a": Kind("FFmpeg", ("ipod", "aac"), 6, AAC_RATES, {"bit_rate": 128_000}),
    ".aac": Kind("FFmpeg", ("adts", "aac"), 6, AAC_RATES, {"bit_rate": 128_000}),
}
WRITABLE = (".wav", *KINDS)
"""Suffixes of the files that can be written."""

NEEDS_SEEKING = (".m4a",)


class SoundWriter:
    """Takes a sound from front to back; made by `sound_writer`."""

    def __init__(self, encoder: "Encoder", format: SoundFormat, failure: str) -> None:
        self._encoder, self.format, self._failure = encoder, format, failure
        self.frames = 0

    def write(self, block: Samples) -> None:
        """Append float32 `(n, C)` samples; beyond full scale they are clipped, where the encoding is of integers."""
        if block.ndim != 2 or block.shape[1] != self.format.channels:
            raise ValueError(f"a block has the shape (n, {self.format.channels}), got {block.shape}")
        refuse_infinite(block, self.frames, self.format.rate, self._failure)
        self._encoder.write(block)
        self.frames += len(block)


class Encoder(Protocol):
    """Turns samples into a file."""

    def write(self, block: Samples) -> None:
        """Append float32 `(n, C)` samples."""

    def close(self) -> None:
        """Make the file complete."""


@contextmanager
def sound_writer(
    file: BinaryIO, format: SoundFormat, suffix: str, *, frames: int | None = None, name: str | None = None
) -> Iterator[SoundWriter]:
    """Write a sound into an open file or pipe; it is complete when the block ends well.

    Args:
        file: open for writing; where it can seek, a header's lengths are put right at the end, else they stay open.
        format: of the sound. Its encoding is kept where the file's format has it (FLAC has at most 24 bits), its tags too.
        suffix: one of `WRITABLE`.
        frames: how many samples a channel will be written, where that is known: the header of a WAV is right at once then.
        name: how errors name it.

    Raises:
        UsageError: the format is not known, or cannot hold such a sound.
        MediaError: a sample is not a number, or the encoder fails. What the system says of the file is an `OSError`.
    """
    key = "." + suffix.lower().removeprefix(".")
    failure = f"cannot write {name or name_of(file, 'sound')}"
    _refuse(key, format, file)
    encoder = _encoder(key, format, file, frames, failure)
    writer = SoundWriter(encoder, format, failure)
    try:
        yield writer
    except BaseException:
        with suppress(Exception):  # what was raised says more
            encoder.close()
        raise
    encoder.close()
    if frames not in (None, writer.frames):
        raise ValueError(f"{frames} samples were announced, {writer.frames} were written")


def _refuse(key: str, format: SoundFormat, file: BinaryIO) -> None:
    """Raise for what a format cannot hold."""
    if key not in WRITABLE:
        raise UsageError(f"cannot write sound as {key.removeprefix('.')!r}; the formats are {', '.join(WRITABLE)}")
    if key == ".wav":
        return
    kind = KINDS[key]
    if format.channels > kind.channels:
        raise UsageError(f"{key} holds up to {kind.channels} channels, this sound has {format.channels}; use .wav")
    if format.rate not in kind.rates:
        rates = kind.rates
        known = (
            f"{rates[0]:,} to {rates[-1]:,}" if isinstance(rates, range) else ", ".join(f"{rate:,}" for rate in rates)
        )
        raise UsageError(f"{key} cannot hold {format.rate:,} samples a second, only {known}; use .wav or .flac")
    if key in NEEDS_SEEKING and not file.seekable():
        raise UsageError(f"{key} cannot be written to a pipe; name a file, or use .aac")


def _encoder(key: str, format: SoundFormat, file: BinaryIO, frames: int | None, failure: str) -> Encoder:
    if key == ".wav":
        return WavWriter(file, format, frames)
    from codec.media.sound_encoders import AvWriter, SndfileWriter  # here: WAV needs no library

    kind = KINDS[key]
    writer = SndfileWriter if kind.library == "libsndfile" else AvWriter
    return writer(file, format, kind.names, options=kind.options, failure=failure)
