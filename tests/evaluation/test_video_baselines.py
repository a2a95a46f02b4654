"""Classical video codecs: frames come back in order, bits buy quality, low delay looks at no later frame, and nothing is printed."""

import math
from dataclasses import replace

import av
import pytest
import torch
from torch import Tensor

from codec.errors import MediaError, UsageError
from codec.evaluation import (
    VIDEO_BASELINES,
    EncodedVideo,
    VideoBaseline,
    bd_rate,
    measure_video,
    measure_video_baseline,
    psnr,
    video_curve,
)
from codec.evaluation.video_baselines import DECODERS
from codec.media.yuv_frames import YuvFrames
from tests.evaluation.test_warping import panned

FRAME_HEADERS = (3, 6)  # types of AV1's units that begin a frame


@pytest.fixture(params=VIDEO_BASELINES)
def baseline(request: pytest.FixtureRequest) -> VideoBaseline:
    return VIDEO_BASELINES[request.param]


def picture_types(coded: EncodedVideo, baseline: VideoBaseline) -> str:
    """A letter for each frame, in the order of display."""
    decoder = av.CodecContext.create(DECODERS[baseline.encoder], "r")
    frames = [frame for packet in coded.packets() for frame in decoder.decode(av.Packet(packet))]
    return "".join("?IPB"[int(frame.pict_type)] for frame in frames + decoder.decode(None))


def av1_units(packet: bytes) -> list[int]:
    """Types of the units of a packet, each of which says its size (AV1 specification, 5.3)."""
    types, place = [], 0
    while place < len(packet):
        header, size, shift = packet[place], 0, 0
        place += 2 if header & 4 else 1
        while True:
            byte = packet[place]
            size, shift, place = size | (byte & 127) << shift, shift + 7, place + 1
            if not byte & 128:
                break
        types.append(header >> 3 & 15)
        place += size
    return types


def test_bits_buy_quality_and_nothing_is_printed(baseline: VideoBaseline, capfd: pytest.CaptureFixture[str]) -> None:
    clip = panned(8, -2, 3, 61, 83)
    coded = [baseline.encode(clip, 25, quality) for quality in (20, 40)]
    assert coded[0].total_bytes > coded[1].total_bytes > 0
    decoded = [list(baseline.decode(video)) for video in coded]
    for video, frames in zip(coded, decoded, strict=True):
        assert len(video.frame_bytes) == len(frames) == 8
        assert video.size == (61, 83)
        assert all(frame.shape == (3, 61, 83) and frame.dtype == torch.uint8 for frame in frames)
    better, worse = (measure_video(clip, frames) for frames in decoded)
    assert better.psnr_db > worse.psnr_db > 20
    assert better.psnr_y_db > 38
    assert capfd.readouterr() == ("", "")


def test_frames_come_back_in_order(baseline: VideoBaseline) -> None:
    clip = [torch.full((3, 64, 64), 20 * t + 20, dtype=torch.uint8) for t in range(11)]
    for original, decoded in zip(clip, baseline.decode(baseline.encode(clip, 30, 20)), strict=True):
        assert decoded.float().mean() == pytest.approx(float(original.float().mean()), abs=6)


def test_low_delay_has_no_frames_from_both_sides(baseline: VideoBaseline) -> None:
    coded = baseline.encode(panned(8, -2, 3), 25, 30)
    if baseline.encoder == "libsvtav1":
        hidden = any(sum(type in FRAME_HEADERS for type in av1_units(packet)) > 1 for packet in coded.packets())
        assert hidden != baseline.low_delay
    else:
        assert ("B" in picture_types(coded, baseline)) != baseline.low_delay


@pytest.mark.parametrize("name", [name for name in VIDEO_BASELINES if name.endswith("-ld")])
def test_low_delay_looks_at_no_later_frame(name: str) -> None:
    clip = panned(8, -2, 3)
    whole, part = (VIDEO_BASELINES[name].encode(frames, 25, 30) for frames in (clip, clip[:5]))
    assert whole.frame_bytes[:5] == part.frame_bytes
    assert whole.data.startswith(part.data)


@pytest.mark.parametrize("name", ["x264-veryfast-ld", "x265-ultrafast-ld", "svtav1-12-ld"])
def test_key_frames_come_as_often_as_asked(name: str) -> None:
    baseline = replace(VIDEO_BASELINES[name], gop=4)
    types = picture_types(baseline.encode(panned(9, -2, 3), 25, 30), baseline)
    assert [t for t, letter in enumerate(types) if letter == "I"] == [0, 4, 8]


def test_names_say_what_they_are(baseline: VideoBaseline) -> None:
    codec, preset, mode = baseline.name.split("-")
    assert (f"lib{codec}", preset, mode == "ld") == (baseline.encoder, baseline.preset, baseline.low_delay)


def test_threads_change_no_frame_count(baseline: VideoBaseline) -> None:
    clip = panned(5, -2, 3)
    assert len(list(baseline.decode(baseline.encode(clip, 29.97, 30, threads=2)))) == 5


def test_the_text_of_x264_does_not_count() -> None:
    coded = VIDEO_BASELINES["x264-veryfast-ld"].encode([torch.zeros(3, 16, 16, dtype=torch.uint8)], 25, 30)
    assert b"x264" not in coded.data
    assert coded.total_bytes < 100


def test_what_cannot_be_coded_raises(baseline: VideoBaseline) -> None:
    clip = panned(2, 0, 0)
    with pytest.raises(UsageError, match=f"{baseline.name} has qualities 1 to .., got 0"):
        baseline.encode(clip, 25, 0)
    with pytest.raises(ValueError, match="at least one frame"):
        baseline.encode([], 25, 30)
    with pytest.raises(ValueError, match=r"uint8 \(3, 64, 96\), got torch.uint8 \(3, 64, 95\)"):
        baseline.encode([clip[0], clip[1][:, :, 1:]], 25, 30)
    with pytest.raises(ValueError, match=r"got torch.float32"):
        baseline.encode([frame.float() for frame in clip], 25, 30)
    with pytest.raises(MediaError, match=f"cannot encode with {baseline.encoder}"):
        replace(baseline, preset="no such preset").encode(clip, 25, 30)


def test_a_damaged_stream_raises() -> None:
    with pytest.raises(ValueError, match="packets have 2 bytes, the stream 3"):
        EncodedVideo(b"abc", (1, 1), (16, 16))
    with pytest.raises(MediaError, match="cannot decode with libdav1d"):
        list(VIDEO_BASELINES["svtav1-12-ld"].decode(EncodedVideo(b"\xff" * 50, (50,), (16, 16))))


@pytest.mark.parametrize(("height", "red"), [(64, 0.299), (720, 0.2126)])
def test_colours_are_of_the_matrix_of_the_size(height: int, red: float) -> None:
    green = 1 - red - {0.299: 0.114, 0.2126: 0.0722}[red]
    colour = torch.tensor([200, 60, 90], dtype=torch.uint8)[:, None, None].expand(3, height, 33)
    converter = YuvFrames(height, 33)
    frame = converter.to_yuv(colour)
    luma = 16 + 219 / 255 * (red * 200 + green * 60 + (1 - red - green) * 90)
    assert (frame.width, frame.height) == (34, height)
    assert bytes(frame.planes[0])[0] == pytest.approx(luma, abs=0.6)
    back = converter.to_rgb(frame)
    assert back.shape == colour.shape
    assert (back.int() - colour.int()).abs().max() <= 2
    baseline = VIDEO_BASELINES["x264-veryfast-ld"]
    (decoded,) = baseline.decode(baseline.encode([colour], 25, 1))
    assert (decoded.int() - colour.int()).abs().max() <= 3


def test_a_round_trip_through_420_keeps_grey_pictures() -> None:
    picture: Tensor = panned(1, 0, 0)[0][:1].expand(3, -1, -1).contiguous()
    converter = YuvFrames(64, 96)
    assert psnr(picture, converter.to_rgb(converter.to_yuv(picture))) > 48


def test_rows_make_curves_to_compare() -> None:
    clip, qualities = panned(4, -2, 3), (20, 26, 32, 38)
    fast, slow = (
        measure_video_baseline(VIDEO_BASELINES[name], clip, 25, qualities)
        for name in ("x264-veryfast-ld", "x265-slow-ld")
    )
    assert [row.setting for row in fast] == list(qualities)
    assert fast[0].bits_per_pixel == pytest.approx(8 * fast[0].bytes / (4 * 64 * 96))
    assert fast[0].kbps == pytest.approx(8 * fast[0].bytes / (4 / 25) / 1000)
    assert fast[0].quality.frames == 4
    assert min(fast[0].encode_seconds, fast[0].decode_seconds) > 0
    curve = video_curve(fast)
    assert (curve.name, curve.points[1].quality) == ("x264-veryfast-ld", 26)
    assert math.isfinite(bd_rate(curve, video_curve(slow)))
    with pytest.raises(ValueError, match="of one codec, got"):
        video_curve(fast + slow)
    with pytest.raises(ValueError, match="the original one ends after 0"):
        measure_video_baseline(VIDEO_BASELINES["x264-veryfast-ld"], iter(clip), 25, qualities)
