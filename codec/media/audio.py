"""Sound: files and pipes to float32 samples and back, as a stream or at once.

WAVE of plain numbers is read here, so that a pipe gives what a file gives; libsndfile reads FLAC, Ogg, MP3, AIFF and more, and PyAV
what it cannot: the sound of MP4, WebM and Matroska files, AAC.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from codec.errors import MediaError, UsageError
from codec.media.files import whole_file
from codec.media.plain import check_wav, plain_reader, wav_reader
from codec.media.sound import BLOCK, SoundFormat, SoundReader
from codec.media.sound_writing import sound_writer
from codec.media.sources import Source, empty, name_of, open_stream, system_errors
from codec.media.wav import MAGICS, START_BYTES, read_fully, read_wav_head

if TYPE_CHECKING:  # whoever reads block by block needs no torch
    from torch import Tensor

    from codec.types import Media

AUDIO_SUFFIXES = frozenset(
    {".wav", ".w64", ".rf64", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".m4a", ".aac", ".aif", ".aiff", ".au", ".caf"}
)
"""Lower-case suffixes of the files that a folder walk takes as sound."""


@contextmanager
def open_sound(source: Source, *, name: str | None = None) -> Iterator[SoundReader]:
    """Open a sound for reading from front to back; of a video file its best sound track.

    Args:
        source: a file's path, its bytes, or an open binary stream, read from its start; a pipe is read as `open_pipe` does.
        name: how errors name it; by default its path.

    Raises:
        MediaError: with one sentence that names the file and the reason; from `SoundReader.blocks` too.
    """
    named = name or name_of(source, "sound")
    with ExitStack() as stack:
        with system_errors(named):
            file = stack.enter_context(open_stream(source))
            opened = _from_file(file, named) if file.seekable() else open_pipe(file, name=named)
            reader = stack.enter_context(opened)
        yield reader


@contextmanager
def open_pipe(stream: BinaryIO, raw: SoundFormat | None = None, *, name: str | None = None) -> Iterator[SoundReader]:
    """Open a sound that comes through a stream that cannot seek.

    WAVE of plain numbers is read as it comes, its length known or not; of other formats a copy is made in a temporary file first.

    Args:
        stream: stands at the first byte.
        raw: rate and channels of bare samples, little-endian integers of 16 bits, that have no header.
        name: how errors name it.
    """
    named = name or name_of(stream, "sound")
    with ExitStack() as stack:
        with system_errors(named):
            reader = plain_reader(stream, raw, name=named) if raw else stack.enter_context(_from_pipe(stream, named))
        yield reader


def read_sound(source: Source, *, name: str | None = None) -> "Media":
    """A whole sound: float32 `(C, N)`, full scale 1; the metadata has its `encoding` and its `tags` (JSON)."""
    with open_sound(source, name=name) as reader:
        return reader.read()


def write_sound(media: "Media", target: Path | BinaryIO, suffix: str | None = None) -> None:
    """Write a sound with its tags, in its own encoding where the format has it.

    Args:
        media: kind `"audio"`.
        target: a file, which appears whole or not at all, or an open binary stream.
        suffix: chooses the format; the target's own by default.

    Raises:
        UsageError: the format is not known, or cannot hold such a sound.
        MediaError: a sample is not a number, or the target cannot be written.
    """
    if media.kind != "audio":
        raise UsageError(f"cannot write {media.kind} as sound")
    chosen = suffix if suffix is not None else (target.suffix if isinstance(target, Path) else "")
    if isinstance(target, Path):
        with whole_file(target) as file:
            _write(media, file, chosen, str(target))
        return
    try:
        _write(media, target, chosen, None)
    except OSError as error:
        raise MediaError(f"cannot write the sound: {error.strerror or error}") from error


def read_mono(source: Source, name: str, rate_hz: int) -> "Tensor":
    """One channel at one rate: float32 `(T,)`, full scale 1.

    Channels are averaged; see `codec.media.resampling` for the rate.

    Args:
        source: a file's path, its bytes, or an open binary stream, read from its start.
        name: how errors name the source.
        rate_hz: of the result.

    Raises:
        MediaError: with one sentence that names the file and the reason.
    """
    import torch

    from codec.media.resampling import Resampler

    with open_sound(source, name=name) as reader:
        mono = (block.mean(1, keepdims=True) for block in reader.blocks(BLOCK))
        samples = np.concatenate(list(Resampler(reader.format.rate, rate_hz).blocks(mono)))
    return torch.from_numpy(samples[:, 0])


def _write(media: "Media", file: BinaryIO, suffix: str, name: str | None) -> None:
    sound = SoundReader.of(media)
    with sound_writer(file, sound.format, suffix, frames=sound.frames, name=name) as writer:
        for block in sound.pieces(BLOCK):
            writer.write(block)


@contextmanager
def _from_file(file: BinaryIO, name: str) -> Iterator[SoundReader]:
    """A reader of a file that seeks, by whoever knows its format."""
    file.seek(0)
    start = file.read(START_BYTES)
    if not start:
        raise empty(name)
    with ExitStack() as stack:
        reader: SoundReader | None = None
        if len(start) == START_BYTES and start[:4] in MAGICS and start[8:] == b"WAVE":
            head = read_wav_head(file, start)
            if head.stored is not None:
                head.format()
                check_wav(file, head, name)
                reader = wav_reader(file, head, name)
        if reader is None:
            from codec.media.sndfile import open_sndfile

            reader = stack.enter_context(open_sndfile(file, name))
        if reader is None:
            from codec.media.av_sound import open_av

            reader = stack.enter_context(open_av(file, name))
        yield reader


@contextmanager
def _from_pipe(stream: BinaryIO, name: str) -> Iterator[SoundReader]:
    start = read_fully(stream.read, START_BYTES)
    if not start:
        raise empty(name)
    if len(start) == START_BYTES and start[:4] in MAGICS:
        head = read_wav_head(stream, start)
        if head.stored is None:
            raise ValueError(f"WAVE samples of format {head.number} cannot be read from a pipe; name the file instead")
        yield wav_reader(stream, head, name)
        return
    with tempfile.TemporaryFile() as copy:
        copy.write(start)
        shutil.copyfileobj(stream, copy)
        with _from_file(copy, name) as reader:
            yield reader
