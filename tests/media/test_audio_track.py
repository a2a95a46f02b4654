"""Sound in containers of video, and AAC: what FFmpeg decodes."""

import io
from typing import Any

import av
import numpy as np
import pytest

from codec.errors import MediaError
from codec.media import open_sound, read_sound
from codec.media.sound import Samples
from tests.media.test_audio import pitches, read, tones, written

RATE = 48_000
LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1", 8: "7.1"}


def movie(format: str, codec: str | None, *, picture: bool = False, channels: int = 2, seconds: float = 1.0) -> bytes:
    """A file of tones, with a picture if wanted; without a codec no sound."""
    file = io.BytesIO()
    with av.open(file, "w", format=format) as container:
        tracks: list[tuple[Any, Any]] = []
        if picture:
            video = container.add_stream("mpeg4" if format != "webm" else "libvpx", rate=25, width=64, height=48)
            tracks.append((video, av.VideoFrame.from_ndarray(np.full((48, 64, 3), 90, np.uint8), format="rgb24")))
        if codec is not None:
            samples = tones(int(RATE * seconds), channels, RATE).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(samples, format="flt", layout=LAYOUTS[channels])
            frame.sample_rate, frame.pts = RATE, 0
            tracks.append((container.add_stream(codec, rate=RATE, layout=LAYOUTS[channels]), frame))
        for track, content in tracks:
            container.mux(track.encode(content))
            container.mux(track.encode(None))
    return file.getvalue()


def decoded_by_ffmpeg(data: bytes) -> Samples:
    """`(n, C)`, as FFmpeg orders channels."""
    with av.open(io.BytesIO(data), "r") as container:
        return np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], 1).T


@pytest.mark.parametrize("picture", [False, True])
@pytest.mark.parametrize(
    ("format", "codec"), [("mp4", "aac"), ("matroska", "aac"), ("webm", "libopus"), ("matroska", "flac")]
)
def test_the_sound_of_a_movie(format: str, codec: str, picture: bool) -> None:
    data = movie(format, codec, picture=picture)
    with open_sound(data) as reader:
        assert (reader.format.rate, reader.format.channels, reader.format.encoding) == (RATE, 2, "PCM_16")
    samples = read(data)
    assert len(samples) == RATE or (format, codec) == ("matroska", "aac")
    assert pitches(samples[2000:42_000], RATE) == [300, 400]


def test_a_movie_without_sound() -> None:
    with pytest.raises(MediaError, match="cannot read the sound: it has no sound track"):
        read_sound(movie("mp4", None, picture=True))


@pytest.mark.parametrize(("codec", "channels"), [("aac", 6), ("libopus", 8), ("flac", 8)])
def test_surround(codec: str, channels: int) -> None:
    data = movie("matroska", codec, channels=channels)
    samples = read(data)
    assert samples.shape[1] == channels
    heard = [place for place in range(channels) if place != 3]  # but for low frequencies
    assert np.array(pitches(samples[2000:42_000], RATE))[heard].tolist() == [300 + 100 * place for place in heard]


@pytest.mark.parametrize("size", [1, 480, 5000])
def test_blocks_of_a_movie(size: int) -> None:
    data = movie("mp4", "aac", picture=True, seconds=0.1)
    assert np.array_equal(read(data, size), read(data, 1 << 20))


@pytest.mark.parametrize(("format", "codec"), [("mp4", "aac"), ("matroska", "flac"), ("webm", "libopus")])
def test_a_cut_movie_is_refused(format: str, codec: str) -> None:
    data = movie(format, codec, seconds=2)
    with pytest.raises(MediaError, match="damaged"):
        read_sound(data[: len(data) // 2])


def test_a_cut_m4a_is_refused() -> None:
    data = written(tones(24_000, 1, 24_000), ".m4a")
    for part in (0.1, 0.5, 0.9):
        with pytest.raises(MediaError, match="damaged"):
            read_sound(data[: int(len(data) * part)])
