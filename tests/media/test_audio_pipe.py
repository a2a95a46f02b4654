"""Sound through pipes: what a file gives, whatever its header knows of the length."""

import os
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest

from codec.errors import MediaError, UsageError
from codec.media import open_pipe, open_sound, sound_writer
from codec.media.sound import ENCODINGS, Encoding, Samples, SoundFormat
from codec.media.sound_writing import WRITABLE
from tests.media.test_audio import noise, pitches, read, tones, written
from tests.media.test_audio_damage import saved


@contextmanager
def pipe(data: bytes, portion: int = 1 << 16) -> Iterator[BinaryIO]:
    """The reading end of a pipe into which a thread puts the data, so many bytes at once."""
    reading, writing = os.pipe()

    def feed() -> None:
        with os.fdopen(writing, "wb", buffering=0) as sink:
            try:
                for start in range(0, len(data), portion):
                    sink.write(data[start : start + portion])
            except BrokenPipeError:
                return  # the reader has had enough

    thread = threading.Thread(target=feed)
    thread.start()
    with os.fdopen(reading, "rb", buffering=0) as source:
        yield source
    thread.join()


def read_pipe(data: bytes, size: int = 1000, portion: int = 1 << 16, raw: SoundFormat | None = None) -> Samples:
    with pipe(data, portion) as stream, open_pipe(stream, raw, name="stdin") as reader:
        return np.concatenate(list(reader.blocks(size)))


def with_length(data: bytes, riff: int, length: int) -> bytes:
    """The header's two lengths replaced."""
    place = data.index(b"data") + 4
    return data[:4] + struct.pack("<I", riff) + data[8:place] + struct.pack("<I", length) + data[place + 4 :]


def piped(samples: Samples, suffix: str, encoding: Encoding = "PCM_16", frames: int | None = None) -> bytes:
    """What a writer puts into a pipe."""
    reading, writing = os.pipe()
    found: list[bytes] = []

    def drain() -> None:
        with os.fdopen(reading, "rb") as source:
            found.append(source.read())

    thread = threading.Thread(target=drain)
    thread.start()
    try:
        with os.fdopen(writing, "wb") as sink:
            format = SoundFormat(24_000, samples.shape[1], encoding)
            with sound_writer(sink, format, suffix, frames=frames, name="stdout") as writer:
                for start in range(0, len(samples), 700):
                    writer.write(samples[start : start + 700])
    finally:
        thread.join()
    return found[0]


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_pipe_gives_what_a_file_gives(encoding: Encoding, channels: int) -> None:
    data = written(noise(3000, channels), encoding=encoding)
    whole = read(data)
    for lengths in ((len(data) - 8, int.from_bytes(data[data.index(b"data") + 4 :][:4], "little")), (0, 0),
                    (0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0), (0x7FFFF024, 0x7FFFF000)):  # fmt: skip
        assert np.array_equal(read_pipe(with_length(data, *lengths)), whole)
    for size, portion in ((1, 1000), (480, 7), (10_000, 1)):
        assert np.array_equal(read_pipe(data, size, portion), whole)


@pytest.mark.parametrize(
    ("format", "subtype"), [("FLAC", None), ("OGG", "OPUS"), ("WAVEX", "PCM_24"), ("RF64", "PCM_16")]
)
def test_other_formats_through_a_pipe(format: str, subtype: str | None) -> None:
    data = saved(noise(3000, 2), format, subtype)
    assert np.array_equal(read_pipe(data), read(data))


def test_bare_samples() -> None:
    data = np.arange(-500, 500, dtype="<i2").tobytes()
    samples = read_pipe(data + b"\1", raw=SoundFormat(16_000, 2))  # a byte of a sample that is not there
    assert np.array_equal(samples, (np.arange(-500, 500, dtype=np.float32) / 32768).reshape(500, 2))


def test_a_pipe_or_a_fifo_where_a_file_is_expected(tmp_path: Path) -> None:
    data = written(noise(300))
    with pipe(data) as stream, open_sound(stream) as reader:
        assert len(next(reader.blocks(1000))) == 300
    os.mkfifo(tmp_path / "fifo")
    thread = threading.Thread(target=(tmp_path / "fifo").write_bytes, args=(data,))
    thread.start()
    assert len(read(tmp_path / "fifo")) == 300
    thread.join()


def test_what_is_there_is_given_before_the_rest_comes() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb", buffering=0) as sink, os.fdopen(reading, "rb") as source:
        sink.write(with_length(written(noise(1000)), 0, 0))
        with open_pipe(source) as reader:
            blocks = reader.blocks(480)
            assert [len(next(blocks)), len(next(blocks))] == [480, 480]


def test_bad_pipes() -> None:
    data = written(noise(1000))
    for bad, message in (
        (b"", "it is empty"),
        (b"text\n" * 100, "no sound"),
        (data[:30], "ends before its first sample"),
        (data[:-10], r"it claims 1,000 samples \(0.042 s\) and holds 995"),
        (with_length(data, 0, 0)[:-2000], "it holds no samples"),
        (saved(noise(100), "WAV", "ULAW"), "format 7 cannot be read from a pipe; name the file"),
    ):
        with pytest.raises(MediaError, match=f"cannot read stdin: .*{message}"):
            read_pipe(bad)
    with pytest.raises(MediaError, match="it holds no samples"):
        read_pipe(b"", raw=SoundFormat(16_000, 1))


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_wav_written_to_a_pipe(encoding: Encoding) -> None:
    samples = read(written(noise(2000, 2), encoding=encoding))
    unknown, known = piped(samples, ".wav", encoding), piped(samples, ".wav", encoding, frames=2000)
    assert unknown[unknown.index(b"data") + 4 :][:4] == b"\xff" * 4
    assert int.from_bytes(known[4:8], "little") == len(known) - 8
    for data in (unknown, known):
        assert np.array_equal(read(data), samples)
        assert np.array_equal(read_pipe(data), samples)


@pytest.mark.parametrize("suffix", [suffix for suffix in WRITABLE if suffix != ".m4a"])
def test_every_format_is_written_to_a_pipe(suffix: str) -> None:
    samples = tones(24_000, 2, 24_000)
    again = read(piped(samples, suffix))
    assert len(again) == pytest.approx(24_000, abs=3 * 1152)
    assert pitches(again[1000:20_000], 24_000) == [300, 400]


def test_mp4_needs_a_file() -> None:
    with pytest.raises(UsageError, match=r"\.m4a cannot be written to a pipe; name a file, or use \.aac"):
        piped(noise(100), ".m4a")
