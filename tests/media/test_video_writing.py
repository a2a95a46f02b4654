"""Video written and read again: the same pictures at the same times, sound that fits them, and whole files or none."""

import io
import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np
import pytest
from PIL import Image

from codec.errors import MediaError, UsageError
from codec.media import VIDEO_SUFFIXES, VIDEO_WRITABLE, VideoFormat, VideoFrame, video_writer
from codec.media.sound import SoundFormat
from codec.media.video_encoders import KINDS
from tests.media.test_audio import noise
from tests.media.test_video import Pixels, farthest, read, waves

FILES = [suffix for suffix in VIDEO_WRITABLE if suffix != ".png"]
NTSC = Fraction(1001, 30000)


def format_of(picture: Pixels, time_base: Fraction = Fraction(1, 25), **fields: object) -> VideoFormat:
    """Of pictures that come one a tick."""
    chroma = "444" if picture.shape[1] % 2 or picture.shape[2] % 2 else "420"
    return VideoFormat(picture.shape[2], picture.shape[1], time_base, 1 / time_base, **{"chroma": chroma, **fields})  # type: ignore[arg-type]


def written(
    pictures: Sequence[Pixels], suffix: str, format: VideoFormat | None = None, ticks: Sequence[int] | None = None
) -> bytes:
    file = io.BytesIO()
    with video_writer(file, format or format_of(pictures[0]), suffix) as writer:
        for tick, picture in zip(ticks or range(len(pictures)), pictures, strict=True):
            writer.write(VideoFrame(picture, tick))
        assert writer.frames == len(pictures)
    return file.getvalue()


@pytest.mark.parametrize("size", [(48, 64), (17, 33), (1, 1), (720, 16)])
@pytest.mark.parametrize("suffix", FILES)
def test_what_is_written_is_read_again(suffix: str, size: tuple[int, int]) -> None:
    pictures = waves(5, size)
    format, frames = read(written(pictures, suffix))
    assert (format.height, format.width, format.rate, format.chroma) == (*size, 25, format_of(pictures[0]).chroma)
    assert [frame.ticks * format.time_base for frame in frames] == [Fraction(i, 25) for i in range(5)]
    assert farthest(frames, pictures) <= (3 if suffix == ".y4m" else 9)


@pytest.mark.parametrize("suffix", FILES)
def test_fine_colour_is_kept(suffix: str) -> None:
    """Columns of red and blue in turn, which 4:2:0 would make violet."""
    picture = np.zeros((3, 32, 32), np.uint8)
    picture[0, :, ::2] = picture[2, :, 1::2] = 200
    _, fine = read(written([picture], suffix, format_of(picture, chroma="444")))
    _, coarse = read(written([picture], suffix, format_of(picture, chroma="420")))
    assert farthest(fine, [picture]) < 40
    assert farthest(coarse, [picture]) > 60


@pytest.mark.parametrize("size", [(48, 64), (720, 16)])
@pytest.mark.parametrize("suffix", KINDS)
def test_colours_are_tagged(suffix: str, size: tuple[int, int]) -> None:
    with av.open(io.BytesIO(written(waves(1, size), suffix)), "r") as container:
        frame = next(container.decode(video=0))
    assert (frame.colorspace, frame.color_range) == (6 if size[0] < 720 else 1, 1)


@pytest.mark.parametrize("rate", [Fraction(25), 1 / NTSC, Fraction(24000, 1001), Fraction(60), Fraction(10)])
@pytest.mark.parametrize("suffix", FILES)
def test_constant_rates_are_exact(suffix: str, rate: Fraction) -> None:
    pictures = waves(7)
    format, frames = read(written(pictures, suffix, format_of(pictures[0], 1 / rate)))
    assert format.rate == rate
    assert [frame.ticks * format.time_base for frame in frames] == [i / rate for i in range(7)]


@pytest.mark.parametrize(
    "time_base", [NTSC, Fraction(1, 90_000), Fraction(1, 1000), Fraction(1, 12_800), Fraction(3, 1000), Fraction(2)]
)
@pytest.mark.parametrize("suffix", KINDS)
def test_times_that_vary(suffix: str, time_base: Fraction) -> None:
    """Exact, but in Matroska and WebM, which have milliseconds."""
    step = max(1, round(Fraction(1, 30) / time_base))
    ticks = [step * i for i in (0, 1, 2, 3, 10, 11, 40, 41, 60, 90)]
    pictures = waves(10)
    format = VideoFormat(64, 48, time_base, Fraction(30))
    found, frames = read(written(pictures, suffix, format, ticks))
    slack = Fraction(1, 2000) if suffix in (".mkv", ".webm") else 0
    assert all(
        abs(frame.ticks * found.time_base - tick * time_base) <= slack
        for frame, tick in zip(frames, ticks, strict=True)
    )
    assert farthest(frames, pictures) <= 9


@pytest.mark.parametrize("suffix", KINDS)
def test_tags(suffix: str) -> None:
    tags = {"title": "Früh", "artist": "Wer", "date": "2020", "comment": "a b"}
    (picture,) = waves(1)
    format, _ = read(written([picture], suffix, format_of(picture, tags=tags)))
    assert format.tags == tags


class Pipe(io.RawIOBase):
    """A stream that takes bytes and cannot go back."""

    def __init__(self, room: int = 1 << 30) -> None:
        super().__init__()
        self.data, self._room = b"", room

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]
        if len(self.data) + len(data) > self._room:
            raise OSError(28, "No space left on device")
        self.data += bytes(data)
        return len(data)


@pytest.mark.parametrize("suffix", [".mkv", ".webm", ".y4m"])
def test_pipes_are_written(suffix: str) -> None:
    pictures, sink = waves(5), Pipe()
    with video_writer(sink, format_of(pictures[0]), suffix) as writer:  # type: ignore[arg-type]
        for tick, picture in enumerate(pictures):
            writer.write(VideoFrame(picture, tick))
    assert farthest(read(sink.data)[1], pictures) <= 6


def attempt(
    target: Path | BinaryIO,
    suffix: str,
    *,
    frames: int = 5,
    sound: SoundFormat | None = None,
    name: str | None = None,
    failure: type[BaseException] | None = None,
) -> None:
    """Write some pictures; then fail, if that is wanted."""
    pictures = waves(frames)
    with video_writer(target, format_of(waves(1)[0]), suffix, sound=sound, name=name) as writer:
        for tick, picture in enumerate(pictures):
            writer.write(VideoFrame(picture, tick))
        if failure is not None:
            raise failure


@pytest.mark.parametrize("suffix", VIDEO_WRITABLE)
def test_a_file_appears_whole_or_not_at_all(suffix: str, tmp_path: Path) -> None:
    target = tmp_path / f"a{suffix}"
    attempt(target, suffix)
    assert os.listdir(tmp_path) == [target.name]
    known = sorted(target.iterdir()) if suffix == ".png" else target.read_bytes()
    with pytest.raises(KeyboardInterrupt):
        attempt(target, suffix, failure=KeyboardInterrupt)
    assert (sorted(target.iterdir()) if suffix == ".png" else target.read_bytes()) == known
    attempt(target, suffix, frames=2)
    assert os.listdir(tmp_path) == [target.name]
    if suffix != ".png":
        assert len(read(target)[1]) == 2


def test_a_folder_of_pictures(tmp_path: Path) -> None:
    pictures = waves(3, (17, 33))
    with video_writer(tmp_path / "a", format_of(pictures[0]), "PNG") as writer:
        for tick, picture in enumerate(pictures):
            writer.write(VideoFrame(picture, 7 * tick))
    files = sorted((tmp_path / "a").iterdir())
    assert [file.name for file in files] == ["00000001.png", "00000002.png", "00000003.png"]
    for file, picture in zip(files, pictures, strict=True):
        assert np.array_equal(np.asarray(Image.open(file)).transpose(2, 0, 1), picture)


def test_a_folder_of_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    attempt(tmp_path / "a", ".png")
    (tmp_path / "a" / "diary.txt").write_text("dear")
    with pytest.raises(MediaError, match=r"cannot write .*a: the folder holds other things than numbered pictures"):
        attempt(tmp_path / "a", ".png")
    (tmp_path / "b").write_bytes(b"old")
    with pytest.raises(MediaError, match=r"cannot write .*b: it is a file, and a folder of pictures was asked for"):
        attempt(tmp_path / "b", ".png")
    assert len(os.listdir(tmp_path / "a")) == 6


@pytest.mark.parametrize("suffix", VIDEO_WRITABLE)
def test_unwritable_targets(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"cannot write .*a: No such file"):
        attempt(tmp_path / "missing" / "a", suffix)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(MediaError, match=r"cannot write .*a: Not a directory"):
        attempt(tmp_path / "file" / "a", suffix)


@pytest.mark.parametrize("room", [0, 100, 600])
@pytest.mark.parametrize("suffix", [".mkv", ".y4m"])
def test_a_full_disk(suffix: str, room: int) -> None:
    with pytest.raises(MediaError, match="cannot write stdout: No space left on device"):
        attempt(Pipe(room), suffix, name="stdout")  # type: ignore[arg-type]


def test_a_full_device() -> None:
    for suffix in FILES:
        with pytest.raises(MediaError, match="cannot write /dev/full: No space left on device"):
            attempt(Path("/dev/full"), suffix)


def test_what_formats_cannot_do(tmp_path: Path) -> None:
    stereo = SoundFormat(48_000, 2)
    for target, suffix, sound, message in (
        (
            tmp_path / "a",
            ".gif",
            None,
            "cannot write video as 'gif'; the formats are .mp4, .mov, .mkv, .webm, .y4m, .png",
        ),
        (tmp_path / "a", ".y4m", stereo, r"\.y4m holds no sound; use \.mkv"),
        (tmp_path / "a", ".png", stereo, r"\.png holds no sound"),
        (
            tmp_path / "a",
            ".mp4",
            SoundFormat(48_000, 8),
            r"\.mp4 holds sound of 1, 2, 3, 4, 5, 6 channels, this one has 8",
        ),
        (
            tmp_path / "a",
            ".webm",
            SoundFormat(48_000, 5),
            r"\.webm holds sound of 1, 2, 3, 4, 6 channels, this one has 5",
        ),
        (Pipe(), ".mp4", None, r"\.mp4 cannot be written to a pipe; name a file, or use \.mkv"),
        (Pipe(), ".png", None, r"\.png is a folder of pictures, which cannot go to a pipe"),
    ):
        with pytest.raises(UsageError, match=message):
            attempt(target, suffix, sound=sound)  # type: ignore[arg-type]
    assert not os.listdir(tmp_path)


def test_formats_and_frames_are_checked() -> None:
    (picture,) = waves(1)
    for size in ((0, 1), (65536, 2), (16384, 8192), (-2, 2)):
        with pytest.raises(
            ValueError, match=f"sides of 1 to 65,535 and up to 67,108,864 pixels, got {size[0]} x {size[1]}"
        ):
            VideoFormat(*size, Fraction(1))
    with pytest.raises(ValueError, match="chroma 420 needs even sides, got 33 x 2; use 444"):
        VideoFormat(33, 2, Fraction(1))
    for bad in (Fraction(0), Fraction(-1, 2), Fraction(1, 1 << 31)):
        with pytest.raises(ValueError, match="time base must be above 0"):
            VideoFormat(2, 2, bad)
    for pixels in (picture.astype(int), picture[:2], picture[0], picture[:, ::2]):
        with pytest.raises(ValueError, match="a picture"):
            VideoFrame(pixels, 0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="tick 0 or later"):
        VideoFrame(picture, -1)


def test_a_writer_checks_what_it_is_given() -> None:
    first, second = waves(2)
    with pytest.raises(ValueError, match="at least one picture"), video_writer(io.BytesIO(), format_of(first), ".mp4"):
        pass
    with video_writer(io.BytesIO(), format_of(first), ".mp4") as writer:
        writer.write(VideoFrame(first, 3))
        with pytest.raises(ValueError, match="shown after tick 3, when the one before it is, got 3"):
            writer.write(VideoFrame(second, 3))
        with pytest.raises(ValueError, match=r"has the shape \(3, 48, 64\), got \(3, 2, 2\)"):
            writer.write(VideoFrame(waves(1, (2, 2))[0], 4))
        with pytest.raises(ValueError, match="without sound"):
            writer.write_sound(noise(10))


def test_suffixes() -> None:
    assert set(FILES) <= VIDEO_SUFFIXES
