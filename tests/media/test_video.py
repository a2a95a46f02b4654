"""Video read as it is shown: right pictures at right times, whatever the container, the colours and the orientation."""

import io
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from codec.errors import MediaError
from codec.media import VideoFormat, VideoFrame, kind_of, open_video
from codec.media.video_timing import Clock
from tests.media.test_audio_pipe import pipe

Pixels = NDArray[np.uint8]
SIZE = (48, 64)
CONTAINERS = [
    ("mp4", "libx264"), ("mov", "mpeg4"), ("matroska", "ffv1"), ("webm", "libvpx-vp9"), ("avi", "mpeg4"),
    ("mpegts", "mpeg2video"), ("mpeg", "mpeg2video"), ("flv", "flv"), ("asf", "wmv2"),
]  # fmt: skip
FINE: dict[str, dict[str, str]] = {
    "libx264": {"crf": "5", "preset": "ultrafast"},
    "libvpx-vp9": {"crf": "4", "b": "0", "deadline": "realtime", "cpu-used": "8"},
    "ffv1": {},
}
FINE_MPEG = {"qmin": "1", "qmax": "1", "b": "4000000"}


def waves(count: int, size: tuple[int, int] = SIZE) -> list[Pixels]:
    """Smooth pictures `(3, H, W)`, each of another mean, so that none is taken for another."""
    y, x = np.mgrid[: size[0], : size[1]]
    shape = np.stack([60 * np.sin(x / 30), 60 * np.cos(y / 30), 60 * np.sin((x + y) / 40)])
    return [np.ascontiguousarray((shape + 90 + 8 * i).astype(np.uint8)) for i in range(count)]


def movie(
    format: str,
    codec: str,
    frames: Sequence[av.VideoFrame],
    *,
    options: Mapping[str, str] | None = None,
    prepare: Callable[[Any], None] = lambda stream: None,
) -> bytes:
    """Frames at 25 a second, or at their own times if they have any, as FFmpeg writes them."""
    file = io.BytesIO()
    with av.open(file, "w", format=format) as container:
        chosen = FINE.get(codec, FINE_MPEG) if options is None else options
        stream: Any = container.add_stream(
            codec, rate=25, width=frames[0].width, height=frames[0].height, options=dict(chosen)
        )
        stream.pix_fmt = frames[0].format.name
        stream.codec_context.thread_count = 1
        prepare(stream)
        for place, frame in enumerate(frames):
            if frame.pts is None:
                frame.pts, frame.time_base = place, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


def from_rgb(pictures: Sequence[Pixels], pixels: str = "yuv420p") -> list[av.VideoFrame]:
    """Frames of FFmpeg's."""
    rows = [np.ascontiguousarray(picture.transpose(1, 2, 0)) for picture in pictures]
    return [av.VideoFrame.from_ndarray(row, format="rgb24").reformat(format=pixels, threads=1) for row in rows]


def read(source: bytes | Path) -> tuple[VideoFormat, list[VideoFrame]]:
    with open_video(source) as reader:
        return reader.format, list(reader.pictures())


def farthest(frames: Sequence[VideoFrame], pictures: Sequence[Pixels]) -> int:
    """The largest difference of any pixel."""
    assert len(frames) == len(pictures)
    return max(
        int(np.abs(frame.pixels - picture.astype(int)).max()) for frame, picture in zip(frames, pictures, strict=True)
    )


@pytest.mark.parametrize(("container", "codec"), CONTAINERS)
def test_pictures_and_their_times(container: str, codec: str) -> None:
    pictures = waves(10)
    data = movie(container, codec, from_rgb(pictures, "bgr0" if codec == "ffv1" else "yuv420p"))
    format, frames = read(data)
    assert (format.width, format.height, format.rate) == (64, 48, 25)
    assert [frame.ticks * format.time_base for frame in frames] == [Fraction(i, 25) for i in range(10)]
    assert farthest(frames, pictures) <= (0 if codec == "ffv1" else 9)
    assert all(frame.pixels.flags.c_contiguous for frame in frames)
    assert kind_of(data) == ("image" if container == "mpegts" else "video")  # whose first bytes say too little


def yuv(
    size: tuple[int, int], pixels: str = "yuv444p", matrix: int = 2, range: int = 0
) -> tuple[av.VideoFrame, NDArray[Any]]:
    """A frame of random Y'CbCr that is within RGB, tagged, and its values `(3, H, W)` on a scale of 8 bits."""
    random, deep = np.random.default_rng(0), pixels.endswith("10le")
    values = (
        random.integers(400, 620, (3, *size)).astype("<u2") if deep else random.integers(100, 155, (3, *size), np.uint8)
    )
    frame = av.VideoFrame(size[1], size[0], pixels)
    for plane, rows in zip(frame.planes, values, strict=True):
        np.frombuffer(plane, rows.dtype).reshape(size[0], -1)[:, : size[1]] = rows
    frame.colorspace, frame.color_range = matrix, range
    return frame, values / 4 if deep else values.astype(float)


def known_rgb(values: NDArray[Any], red: float, blue: float, full: bool) -> NDArray[Any]:
    """RGB from Y'CbCr by the weights of a standard."""
    luma, cb, cr = values[0] / 255, (values[1] - 128) / 255, (values[2] - 128) / 255
    if not full:
        luma, cb, cr = (values[0] - 16) / 219, (values[1] - 128) / 224, (values[2] - 128) / 224
    r, b = luma + 2 * (1 - red) * cr, luma + 2 * (1 - blue) * cb
    return 255 * np.stack([r, (luma - red * r - blue * b) / (1 - red - blue), b])


@pytest.mark.parametrize(
    ("size", "matrix", "range", "weights"),
    [(SIZE, 6, 1, (0.299, 0.114)), (SIZE, 5, 2, (0.299, 0.114)), (SIZE, 1, 1, (0.2126, 0.0722)), (SIZE, 1, 2, (0.2126, 0.0722)),
     (SIZE, 9, 1, (0.2627, 0.0593)), (SIZE, 2, 0, (0.299, 0.114)), ((718, 16), 2, 0, (0.299, 0.114)),
     ((720, 16), 2, 0, (0.2126, 0.0722)), ((720, 16), 6, 1, (0.299, 0.114))],
)  # fmt: skip
@pytest.mark.parametrize("pixels", ["yuv444p", "yuv444p10le"])
def test_colours_are_what_the_stream_says(
    size: tuple[int, int], matrix: int, range: int, weights: tuple[float, float], pixels: str
) -> None:
    """Or the usual ones of such a size."""

    def tag(stream: Any) -> None:
        stream.codec_context.colorspace, stream.codec_context.color_range = matrix, range

    frame, values = yuv(size, pixels, matrix, range)
    _, (shown,) = read(movie("matroska", "ffv1", [frame], prepare=tag))
    assert np.abs(shown.pixels - known_rgb(values, *weights, full=range == 2)).max() < 0.6


@pytest.mark.parametrize(("range", "shown"), [(0, 126), (1, 128), (2, 126)])
def test_grey(range: int, shown: int) -> None:
    """Full range, unless it says otherwise."""

    def tag(stream: Any) -> None:
        stream.codec_context.color_range = range

    frame = av.VideoFrame.from_ndarray(np.full(SIZE, 126, np.uint8), format="gray")
    frame.color_range = range
    _, (grey,) = read(movie("matroska", "ffv1", [frame], prepare=tag))
    assert set(grey.pixels.ravel()) == {shown}


def test_colours_that_are_not_known() -> None:
    def tag(stream: Any) -> None:
        stream.codec_context.colorspace = 8

    frame, _ = yuv(SIZE, matrix=8, range=1)
    with pytest.raises(MediaError, match=r"cannot read the video: its colours are of a kind \(8 in H.273\)"):
        read(movie("matroska", "ffv1", [frame], prepare=tag))


@pytest.mark.parametrize(
    ("pixels", "size", "chroma"),
    [("yuv420p", SIZE, "420"), ("yuv420p10le", SIZE, "420"), ("gray", SIZE, "420"), ("yuv410p", SIZE, "420"),
     ("yuv422p", SIZE, "444"), ("yuv444p", SIZE, "444"), ("yuv411p", SIZE, "444"), ("bgr0", SIZE, "444"),
     ("yuv420p", (17, 33), "444"), ("yuv420p", (48, 33), "444"), ("yuv420p", (17, 64), "444"), ("gray", (1, 1), "444")],
)  # fmt: skip
def test_every_kind_of_pixels_and_odd_sizes(pixels: str, size: tuple[int, int], chroma: str) -> None:
    pictures = waves(2, size)
    if pixels == "gray":
        pictures = [np.broadcast_to(picture[:1], picture.shape) for picture in pictures]
    format, frames = read(movie("matroska", "ffv1", from_rgb(pictures, pixels)))
    assert (format.height, format.width, format.chroma) == (*size, chroma)
    assert farthest(frames, pictures) <= 5


@pytest.mark.parametrize("container", ["mp4", "matroska"])
@pytest.mark.parametrize("mirrors", [(False, False), (True, False), (False, True)])
@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_pictures_are_upright(container: str, degrees: int, mirrors: tuple[bool, bool]) -> None:
    """All eight orientations: turned counter-clockwise, then mirrored."""
    (picture,) = waves(1)
    data = movie(
        container, "mpeg4", from_rgb([picture]), prepare=lambda stream: stream.set_display_rotation(degrees, *mirrors)
    )
    shown = np.rot90(picture, degrees // 90, (1, 2))
    shown = shown[:, :: -1 if mirrors[1] else 1, :: -1 if mirrors[0] else 1]
    format, frames = read(data)
    assert (format.height, format.width) == shown.shape[1:]
    assert farthest(frames, [shown]) <= 9


def test_one_picture() -> None:
    format, frames = read(movie("mp4", "libx264", from_rgb(waves(1))))
    assert [frame.ticks for frame in frames] == [0]
    assert format.rate == 25


def test_tags() -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        container.metadata.update({"title": "Früh", "artist": "Wer", "track": "3", "other": "no"})
        stream: Any = container.add_stream("mpeg4", rate=25, width=64, height=48)
        for frame in from_rgb(waves(2)):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    format, _ = read(file.getvalue())
    assert format.tags == {"title": "Früh", "artist": "Wer", "tracknumber": "3"}


def ticks(rate: Fraction, timestamps: Sequence[int | None], unit: Fraction = Fraction(1, 100)) -> list[int]:
    clock = Clock(unit, rate)
    return [clock.tick(timestamp) for timestamp in timestamps]


@pytest.mark.parametrize(
    ("timestamps", "expected"),
    [([7, 11, 15], [0, 4, 8]), ([None, None, None], [0, 4, 8]), ([5, None, 13], [0, 4, 8]), ([None, 4, 9], [0, 4, 9]),
     ([0, 0, 0, 3], [0, 1, 2, 3]), ([0, 8, 4, 12], [0, 8, 9, 12]), ([500, 504, 0, 4, 8], [0, 4, 8, 12, 16]),
     ([-8, -4, 0], [0, 4, 8])],
)  # fmt: skip
def test_ticks_rise_whatever_the_timestamps(timestamps: list[int | None], expected: list[int]) -> None:
    assert ticks(Fraction(25), timestamps) == expected


def test_made_up_times_do_not_drift() -> None:
    assert ticks(Fraction(30000, 1001), [None] * 3001, Fraction(1, 1001))[-1] == round(
        3000 * 1001 * Fraction(1001, 30000)
    )


def test_rounded_milliseconds_become_the_times_of_frames_and_others_stay() -> None:
    clock = Clock(Fraction(1, 1000), Fraction(30000, 1001))
    given = [0, 33, 67, 100, 133, 150, 200]
    times = [clock.tick(timestamp) * clock.time_base for timestamp in given]
    assert times[:5] == [Fraction(1001 * i, 30000) for i in range(5)]
    assert times[5:] == [Fraction(150, 1000), Fraction(6 * 1001, 30000)]


def test_an_avi_whose_pictures_are_stored_out_of_order() -> None:
    """It has no times of showing."""
    pictures = waves(10)
    data = movie("avi", "libx264", from_rgb(pictures), options={"crf": "5", "bf": "2", "b-adapt": "0"})
    format, frames = read(data)
    assert [frame.ticks * format.time_base for frame in frames] == [Fraction(i, 25) for i in range(10)]
    assert farthest(frames, pictures) <= 9


def test_bytes_paths_streams_and_pipes_give_the_same(tmp_path: Path) -> None:
    data = movie("mp4", "libx264", from_rgb(waves(5)))
    _, known = read(data)
    (tmp_path / "a.mp4").write_bytes(data)
    stream = io.BytesIO(data)
    stream.seek(100)
    with pipe(data) as source:
        for given in (tmp_path / "a.mp4", str(tmp_path / "a.mp4"), stream, source):
            with open_video(given) as reader:
                assert farthest(list(reader.pictures()), [frame.pixels for frame in known]) == 0
    assert not stream.closed
