"""Video files that are cut, lie or are something else: one sentence each, or pictures."""

import re
from pathlib import Path

import av
import numpy as np
import pytest

from codec.errors import MediaError
from codec.media import open_video
from tests.media.test_audio import noise, written
from tests.media.test_audio_damage import picture
from tests.media.test_video import CONTAINERS, from_rgb, movie, read, waves

Y4M = b"YUV4MPEG2 W4 H2 F25:1 C420jpeg\n" + (b"FRAME\n" + bytes(12)) * 3
MP4 = movie("mp4", "mpeg4", from_rgb(waves(5)))
UNKNOWN = movie("mov", "mjpeg", from_rgb(waves(1), "yuvj420p")).replace(b"jpeg", b"zzzz")
TURNS_SMALLER = movie("mpegts", "mpeg2video", from_rgb(waves(5))) + movie(
    "mpegts", "mpeg2video", from_rgb(waves(5, (32, 32)))
)


REFUSED = {
    "empty": (b"", "it is empty"),
    "text": (b"Not a video at all.\n" * 50, "it is damaged, or no video: use MP4"),
    "playlist": (b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\na.mp4\n", "it is damaged, or no video"),
    "concatenation": (b"ffconcat version 1.0\nfile a.mp4\n", "it is damaged, or no video"),
    "noise": (np.random.default_rng(0).bytes(5000), "it is damaged, or no video"),
    "picture": (picture(), "it is damaged, or no video"),
    "sound": (written(noise(1000)), "it is damaged, or no video"),
    "sound in Ogg": (written(noise(24_000), ".ogg"), "it has no moving pictures"),
    "only magic": (MP4[:20], r"damaged or truncated \(its header says \d+ bytes, it has 20\)"),
    "unknown codec": (UNKNOWN, "its pictures are of a kind that is not known; convert it to MP4"),
    "other size on the way": (TURNS_SMALLER, r"damaged or truncated \(its pictures change from 64 x 48 to 32 x 32 on the way\)"),
    "y4m without pictures": (Y4M[:31], "it holds no pictures"),
    "y4m cut in its first line": (Y4M[:20], "it ends, or goes astray, in a line of text"),
    "y4m cut": (Y4M[:-1], r"damaged or truncated \(it ends within picture 3\)"),
    "y4m cut in a picture's line": (Y4M[:-15], r"damaged or truncated \(picture 3 does not begin as one\)"),
    "y4m astray": (Y4M[:40] + Y4M[41:], "damaged or truncated"),
    "y4m without a size": (Y4M.replace(b"W4", b"Q4"), "its first line does not say size and rate"),
    "y4m of no size": (Y4M.replace(b"W4", b"W0"), "its pictures must have sides of 1 to 65,535 .* got 0 x 2"),
    "y4m of a negative size": (Y4M.replace(b"W4", b"W-4"), "its pictures must have sides .* got -4 x 2"),
    "y4m too large": (Y4M.replace(b"W4 H2", b"W65535 H65535"), "up to 67,108,864 pixels, got 65535 x 65535"),
    "y4m of absurd size": (Y4M.replace(b"W4", b"W" + b"9" * 30), "its pictures must have sides"),
    "y4m of a negative rate": (Y4M.replace(b"F25:1", b"F-25:1"), "its time base must be above 0"),
    "y4m of absurd rate": (Y4M.replace(b"F25:1", b"F1:" + b"9" * 30), "a fraction of 31-bit numbers"),
    "y4m of no number": (Y4M.replace(b"F25:1", b"Fast"), "its first line does not say size and rate"),
    "y4m of other pixels": (Y4M.replace(b"C420jpeg", b"C123"), "its pixels are of the kind C123"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_refused(case: str, tmp_path: Path) -> None:
    data, message = REFUSED[case]
    file = tmp_path / "a.mp4"
    file.write_bytes(data)
    with pytest.raises(MediaError, match=f"^cannot read {file}: .*{message}"):
        read(file)


@pytest.mark.parametrize("case", ["no folder", "folder", "nul"])
def test_what_is_no_file(case: str, tmp_path: Path) -> None:
    path = {"no folder": tmp_path / "b" / "a.mp4", "folder": tmp_path, "nul": Path("a\0b")}[case]
    with pytest.raises(MediaError, match=r"^cannot read "):
        read(path)


@pytest.mark.parametrize("format", ["mp4", "matroska", "avi"])
def test_a_header_without_pictures(format: str, tmp_path: Path) -> None:
    file = tmp_path / "a"
    with av.open(str(file), "w", format=format) as container:
        stream = container.add_stream("mpeg4", rate=25, width=64, height=48)
        container.start_encoding()
        assert not stream.encode(None)
    with pytest.raises(
        MediaError, match=f"cannot read {file}: it (holds no pictures|has no moving pictures|is damaged)"
    ):
        read(file)


@pytest.mark.parametrize(("container", "codec"), [known for known in CONTAINERS if "mpeg" not in known[0]])
def test_cut_files_of_every_container(container: str, codec: str) -> None:
    """But for broadcasts, which begin and end anywhere."""
    data = movie(container, codec, from_rgb(waves(20), "bgr0" if codec == "ffv1" else "yuv420p"))
    for part in (0.02, 0.3, 0.6, 0.97):
        with pytest.raises(MediaError, match=r"cannot read the video: .*(damaged|no pictures|truncated)"):
            read(data[: int(len(data) * part)])


@pytest.mark.parametrize("flags", ["faststart", "frag_keyframe+empty_moov"])
def test_cut_files_whose_index_comes_first(flags: str, tmp_path: Path) -> None:
    file = tmp_path / "a.mp4"
    with av.open(str(file), "w", format="mp4", options={"movflags": flags}) as container:
        stream = container.add_stream("mpeg4", rate=25, width=64, height=48)
        for frame in from_rgb(waves(20)):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert len(read(file)[1]) == 20
    data = file.read_bytes()
    for part in (0.5, 0.9) if flags == "faststart" else (0.5, 0.8):
        with pytest.raises(MediaError, match="damaged or truncated"):
            read(data[: int(len(data) * part)])


def test_an_index_of_pictures_that_are_not_there(tmp_path: Path) -> None:
    """Where the box of pictures lasts to the end of the file, wherever that is."""
    file = tmp_path / "a.mp4"
    with av.open(str(file), "w", format="mp4", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("mjpeg", rate=25, width=64, height=48)
        stream.pix_fmt = "yuvj420p"
        for frame in from_rgb(waves(6), "yuvj420p"):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    data = file.read_bytes()
    box = data.index(b"mdat") - 4
    open_ended = data[:box] + bytes(4) + data[box + 4 :]
    assert len(read(open_ended)[1]) == 6
    with pytest.raises(MediaError, match="it claims 6 pictures and holds 5"):
        read(open_ended[: data.rindex(b"\xff\xd8\xff")])


@pytest.mark.parametrize("container", ["mpegts", "mpeg"])
def test_a_recording_of_a_broadcast_is_read_as_far_as_it_goes(container: str) -> None:
    data = movie(container, "mpeg2video", from_rgb(waves(20)), options={"g": "4", "qmin": "1", "qmax": "1"})
    assert 4 <= len(read(data[: len(data) // 2])[1]) < 20
    if container == "mpegts":
        assert 4 <= len(read(data[data.index(b"G@\x11", len(data) // 4) :])[1]) < 20


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_broken_pictures(codec: str) -> None:
    data = bytearray(movie("mp4", codec, from_rgb(waves(20)), options={}))
    start = data.index(b"mdat") + 1000
    data[start : start + 100] = np.random.default_rng(0).bytes(100)
    with pytest.raises(MediaError, match="damaged or truncated"):
        read(bytes(data))


def outcome(data: bytes) -> str:
    """`pictures`, or the sentence that says why not."""
    try:
        read(data)
    except MediaError as error:
        return str(error)
    return "pictures"


@pytest.mark.parametrize(("container", "codec"), [*CONTAINERS, ("", "")])
def test_whatever_happens_it_is_pictures_or_one_sentence(container: str, codec: str) -> None:
    data = Y4M
    if container:
        data = movie(container, codec, from_rgb(waves(4), "bgr0" if codec == "ffv1" else "yuv420p"))
    random = np.random.default_rng(0)
    for case in range(30):
        broken = bytearray(data)
        for place in random.integers(0, len(data) if case % 2 else 100, 4):
            broken[min(place, len(data) - 1)] = random.integers(256)
        cut = int(random.integers(len(data)))
        del broken[cut : cut + int(random.integers(500)) * (case % 3 == 0)]
        assert re.fullmatch(r"pictures|cannot read the video: .+", outcome(bytes(broken)))


def test_reading_may_stop_anywhere() -> None:
    data = movie("mp4", "libx264", from_rgb(waves(20)))
    for count in (0, 1, 7):
        with open_video(data) as reader:
            pictures = reader.pictures()
            assert [next(pictures).ticks for _ in range(count)] == [512 * i for i in range(count)]
