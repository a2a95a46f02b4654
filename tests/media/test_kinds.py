"""Which kind of media a file is; a container is what is in it."""

import io
import os
from pathlib import Path
from typing import Any

import av
import pytest
from av.stream import Disposition

from codec.errors import MediaError
from codec.media import VIDEO_SUFFIXES, kind_of
from tests.media.test_audio import noise, tones, written
from tests.media.test_video import from_rgb, movie, read, waves


def cover(format: str) -> bytes:
    """Sound with a picture for its cover."""
    file = io.BytesIO()
    with av.open(file, "w", format=format) as container:
        sound = container.add_stream("aac" if format == "mp4" else "mp3", rate=48_000, layout="mono")
        picture: Any = container.add_stream("png", rate=1, width=64, height=48)
        picture.pix_fmt, picture.disposition = "rgb24", Disposition.attached_pic
        frame = av.AudioFrame.from_ndarray(tones(48_000, 1, 48_000).T.copy(), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 48_000, 0
        for track, content in ((picture, from_rgb(waves(1), "rgb24")[0]), (sound, frame)):
            container.mux(track.encode(content))
            container.mux(track.encode(None))
    return file.getvalue()


def sound_alone(format: str, codec: str) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=format) as container:
        track = container.add_stream(codec, rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(tones(4800, 1, 48_000).T.copy(), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 48_000, 0
        container.mux(track.encode(frame))
        container.mux(track.encode(None))
    return file.getvalue()


@pytest.mark.parametrize("suffix", [".mp4", ".webm", ".mka", ".mkv", ""])
@pytest.mark.parametrize("data", [sound_alone("mp4", "aac"), sound_alone("webm", "libopus"), cover("mp4")])
def test_a_container_of_sound_is_sound(data: bytes, suffix: str, tmp_path: Path) -> None:
    (tmp_path / f"a{suffix}").write_bytes(data)
    assert kind_of(data) == kind_of(tmp_path / f"a{suffix}") == "audio"
    with pytest.raises(MediaError, match="cannot read the video: it has no moving pictures"):
        read(data)


def test_kinds_by_name_and_by_first_bytes(tmp_path: Path) -> None:
    for suffix in VIDEO_SUFFIXES:
        assert kind_of(Path(f"not there{suffix.upper()}")) == "video"
    assert kind_of(Path("a.m4a")) == kind_of(written(noise(100), ".m4a")) == "audio"
    data = movie("mp4", "mpeg4", from_rgb(waves(1)))
    (tmp_path / "a").write_bytes(data)
    assert kind_of(tmp_path / "a") == kind_of(io.BytesIO(data), data[:12]) == kind_of(data[:12]) == "video"
    for start in (
        b"YUV4MPEG2 W6",
        b"RIFF\0\0\0\0AVI ",
        b"\0\0\0\x14ftypqt  ",
        b"\0\0\0\x08wide\0\0\0\0",
        b"\x1a\x45\xdf\xa3" + bytes(8),
    ):
        assert kind_of(start) == "video"
    for start in (b"\0\0\0\x14ftypavif", b"\0\0\0\x14ftypheic", b"GIF89a      ", b"RIFF\0\0\0\0WEBP"):
        assert kind_of(start) == "image"
    assert kind_of(b"RIFF\0\0\0\0WAVE") == "audio"


def test_a_pipe_with_a_name_is_not_looked_into(tmp_path: Path) -> None:
    """What is read of it would be gone."""
    os.mkfifo(tmp_path / "a.mp4")
    assert kind_of(tmp_path / "a.mp4") == "video"
