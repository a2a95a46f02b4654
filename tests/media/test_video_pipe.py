"""YUV4MPEG2 of this and other programs, and video through pipes."""

import os
from pathlib import Path

import av
import numpy as np
import pytest

from codec.media import open_video
from tests.media.test_audio_pipe import pipe
from tests.media.test_video import farthest, read, waves
from tests.media.test_video_writing import FILES, NTSC, written


def test_y4m_is_what_ffmpeg_reads(tmp_path: Path) -> None:
    pictures = waves(3)
    file = tmp_path / "a.y4m"
    file.write_bytes(written(pictures, ".y4m"))
    assert file.read_bytes().startswith(b"YUV4MPEG2 W64 H48 F25:1 Ip A1:1 C420jpeg")
    _, frames = read(file)
    with av.open(str(file)) as container:
        known = [
            frame.reformat(format="rgb24", threads=1).to_ndarray().transpose(2, 0, 1)
            for frame in container.decode(video=0)
        ]
    assert farthest(frames, known) <= 3
    with open_video(file) as reader:
        assert reader.frames == 3


@pytest.mark.parametrize(
    ("kind", "planes", "shown"),
    [("", "yuv420p", 130), ("C420mpeg2 XCOLORRANGE=FULL", "yuv420p", 128), ("C420p10", "yuv420p10le", 130),
     ("C422", "yuv422p", 130), ("C444alpha", "yuva444p", 130), ("C411", "yuv411p", 130), ("C444p16", "yuv444p16le", 130),
     ("Cmono", "gray", 128), ("Cmono XCOLORRANGE=LIMITED", "gray", 130), ("Cmono12", "gray12le", 128)],
)  # fmt: skip
def test_y4m_of_other_programs(kind: str, planes: str, shown: int) -> None:
    """Grey, each value half of what it can be."""
    stored = av.VideoFormat(planes, 33, 17)
    data = b"".join(
        np.full(part.width * part.height, 1 << (part.bits - 1), "<u2" if part.bits > 8 else "u1").tobytes()
        for part in stored.components
    )
    format, frames = read(f"YUV4MPEG2 H17 W33 {kind} Ip XYSCSS=no F30000:1001\n".encode() + b"FRAME Ip\n" + data)
    assert (format.width, format.height, format.rate, len(frames)) == (33, 17, 1 / NTSC, 1)
    assert set(frames[0].pixels.ravel()) == {shown}


def test_a_pipe_of_y4m_gives_pictures_before_the_rest_comes() -> None:
    data = written(waves(3), ".y4m")
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb", buffering=0) as sink, os.fdopen(reading, "rb", buffering=0) as source:
        sink.write(data[: len(data) * 3 // 4])
        with open_video(source) as reader:
            pictures = reader.pictures()
            assert [next(pictures).ticks, next(pictures).ticks] == [0, 1]
            assert reader.frames is None


@pytest.mark.parametrize("suffix", FILES)
def test_pipes_are_read(suffix: str) -> None:
    data = written(waves(5), suffix)
    _, known = read(data)
    with pipe(data, 1000) as source, open_video(source, name="stdin") as reader:
        assert farthest(list(reader.pictures()), [frame.pixels for frame in known]) == 0
