"""VideoLatentCodec: real files of any length and size, qualities, bit rates, cuts, seeking, damage, pipes."""

import hashlib
import io
import itertools
from pathlib import Path

import pytest
import torch
from torch import Tensor

from codec.container import Reader, SectionType, describe
from codec.errors import BitstreamError, ModelMismatchError, UsageError
from codec.media.video import VideoReader
from codec.models import Encoding, VideoLatentCodec, load, save
from codec.models.sound_reading import Excerpt
from codec.models.video import reader_of
from codec.models.video_kept import kept_blocks
from codec.types import Media
from tests.models.latent_models import small_latent_codec
from tests.models.video_models import CONFIG, decibels, moving_clip, small_video_codec


def media(frames: int, height: int = 48, width: int = 64, rate: str = "25") -> Media:
    clip = moving_clip(frames, height, width).transpose(0, 1).contiguous()
    return Media("video", clip, {"rate": rate.encode()})


def pictures(video: VideoReader) -> Tensor:
    return torch.stack([torch.from_numpy(frame.pixels) for frame in video.pictures()], 1)


@pytest.mark.parametrize("frames", [1, 2, 4, 5, 9])
@pytest.mark.parametrize("size", [(48, 64), (17, 33)])
def test_any_length_and_size_comes_back(frames: int, size: tuple[int, int]) -> None:
    model, video = small_video_codec(), media(frames, *size)
    decoded = model.decompress(model.compress(video, Encoding(quality=80)))
    assert decoded.samples.shape == video.samples.shape
    assert decibels(decoded.samples, video.samples) > 24


def test_frames_that_follow_cost_less() -> None:
    model = small_video_codec()
    one, more = (len(model.compress(media(frames), Encoding(quality=60))) for frames in (1, 8))
    assert more < 0.7 * 8 * one


def test_finer_quality_costs_more_and_looks_better() -> None:
    model, video = small_video_codec(), media(6)
    files = [model.compress(video, Encoding(quality=quality)) for quality in (1, 30, 60, 90)]
    assert all(len(a) < len(b) for a, b in itertools.pairwise(files))
    scores = [decibels(video.samples, model.decompress(data).samples) for data in files]
    assert all(a < b for a, b in itertools.pairwise(scores))


def test_a_bit_rate_is_kept_to() -> None:
    model, video = small_video_codec(), media(40)
    for kbps in (30, 50):
        data = model.compress(video, Encoding(bitrate=1000 * kbps))
        assert 0.7 * kbps < 8 * len(data) * 25 / 40 / 1000 < 1.3 * kbps


@pytest.mark.parametrize("kept", [False, True])
def test_codes_of_tensors_decode_to_what_a_file_holds(kept: bool) -> None:
    model, clip = small_video_codec(kept=kept), media(4)
    codes = model.encode(clip.samples[None], 60)
    decoded = model.decode(codes)[0, ..., :48, :64].mul(255).round().to(torch.uint8)
    assert torch.equal(decoded, model.decompress(model.compress(clip, Encoding(quality=60))).samples)


@pytest.mark.parametrize("kept", [False, True])
def test_codes_are_read_without_pictures(kept: bool) -> None:
    model, clip = small_video_codec(kept=kept), media(6)
    data = model.compress(clip)
    held = model.read_codes(io.BytesIO(data))
    assert held.frames == 6
    codes, intra = model.encode(clip.samples[None]), len(model.intra.prior.codebook_sizes)
    found = hashlib.sha256()
    for plane in codes.planes[:intra]:
        found.update(plane.codes.numpy().tobytes())
    for t in range(5):
        for plane in codes.planes[intra:]:
            found.update(plane.codes[0, t].contiguous().numpy().tobytes())
    assert held.digest == found.digest()


def half_still(frames: int) -> Tensor:
    """The left half stands still, the right half moves; uint8 `(T, 3, H, W)`."""
    clip = moving_clip(frames, 48, 128)
    clip[..., :64] = clip[:1, ..., :64]
    return clip


def test_what_stands_still_is_kept() -> None:
    model, clip = small_video_codec(), half_still(8)
    codes = model.encode(clip.transpose(0, 1)[None].contiguous(), 20)
    flags = codes.planes[-1].codes[0]
    assert flags.shape == (7, 3, 8)
    assert float(flags[1:, :, :2].double().mean()) > 0.9  # vectors of the third column may follow those of what moves
    assert float(flags[1:, :, 4:].double().mean()) < 0.5
    decoded = model.decode(codes)[0]
    torch.testing.assert_close(decoded[:, 2:, :, :16], decoded[:, 1:-1, :, :16], atol=1e-5, rtol=0)


def test_the_choice_of_kept_blocks_weighs_errors_and_flags() -> None:
    x = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    near, far = x + 0.01, x + 0.2
    price, still = torch.tensor([0.01]), torch.zeros(1, 2, 2, 3, dtype=torch.int64)
    assert bool((kept_blocks(x, far, near, price, still, None) == 1).all())
    assert bool((kept_blocks(x, near, far, price, still, None) == 0).all())
    mixed = near.clone()
    mixed[..., :16, :16] += 0.001  # too little to be worth a flag that differs from its neighbours
    assert bool((kept_blocks(x, near, mixed, price, still, torch.zeros(1, 2, 3)) == 0).all())
    half = torch.cat([near[..., :16], far[..., 16:]], 3)
    assert kept_blocks(x, near + 0.05, half, price, still, None).tolist() == [[[1, 0, 0], [1, 0, 0]]]


def test_what_moves_is_kept_only_where_it_is_clearly_better() -> None:
    x = torch.rand(1, 3, 32, 48, generator=torch.Generator().manual_seed(0))
    same, price = x + 0.05, torch.tensor([1.0])
    motion = torch.zeros(1, 2, 2, 3, dtype=torch.int64)
    motion[0, 1, :, 1:] = 3
    assert kept_blocks(x, same, same, price, motion, None).tolist() == [[[1, 0, 0], [1, 0, 0]]]
    assert bool((kept_blocks(x, x + 0.06, same, price, motion, None) == 1).all())


def test_a_cut_begins_anew() -> None:
    model = small_video_codec()
    first, second = moving_clip(5, seed=3), moving_clip(3, seed=8)
    video = Media("video", torch.cat([first, second]).transpose(0, 1).contiguous())
    chunks = [
        section.chunk for section in Reader(io.BytesIO(model.compress(video))) if section.type == SectionType.CODES
    ]
    assert chunks == [0, 4, 5]


def test_seeking_gives_the_same_pictures() -> None:
    model, video = small_video_codec(), media(20)
    data = model.compress(video)
    whole = pictures(model.open(io.BytesIO(data)))
    part = pictures(model.open(io.BytesIO(data), excerpt=Excerpt(start=0.4, duration=0.2)))
    assert torch.equal(part, whole[:, 10:15])
    with pytest.raises(UsageError, match="nothing"):
        pictures(model.open(io.BytesIO(data), excerpt=Excerpt(start=5)))


def test_irregular_times_are_kept() -> None:
    from fractions import Fraction

    from codec.media.video import VideoFormat, VideoFrame

    model, clip = small_video_codec(), moving_clip(6)
    ticks = [0, 40, 80, 121, 300, 301]
    frames = (VideoFrame(frame.numpy(), tick) for frame, tick in zip(clip.contiguous(), ticks, strict=True))
    video = VideoReader(VideoFormat(64, 48, Fraction(1, 1000)), None, "it", frames)
    sink = io.BytesIO()
    model.write(video, sink)
    back = model.open(io.BytesIO(sink.getvalue()))
    assert [frame.ticks for frame in back.pictures()] == ticks
    assert (back.format.rate, back.format.time_base) == (25, Fraction(1, 1000))


def test_damage_is_refused_or_bridged() -> None:
    model, video = small_video_codec(), media(20)
    data = model.compress(video)
    whole = model.decompress(data).samples
    offset = _offset_of(data, 3)
    broken = data[: offset + 12] + bytes([data[offset + 12] ^ 1]) + data[offset + 13 :]
    with pytest.raises(BitstreamError, match="codes of chunk 12"):
        model.decompress(broken)
    bridged = model.decompress(broken, partial=True).samples
    assert bridged.shape == whole.shape
    assert torch.equal(bridged[:, :12], whole[:, :12])
    assert torch.equal(bridged[:, 12:16], whole[:, 11:12].expand(-1, 4, -1, -1))
    assert torch.equal(bridged[:, 16:], whole[:, 16:])


def test_pictures_lost_at_the_end_are_filled() -> None:
    model, data = small_video_codec(), small_video_codec().compress(media(20))
    whole, offset = model.decompress(data).samples, _offset_of(data, 4)
    broken = data[: offset + 12] + bytes([data[offset + 12] ^ 1]) + data[offset + 13 :]
    bridged = model.decompress(broken, partial=True).samples
    assert torch.equal(bridged[:, :16], whole[:, :16])
    assert torch.equal(bridged[:, 16:], whole[:, 15:16].expand(-1, 4, -1, -1))


def test_a_cut_file_is_refused_or_given_as_far_as_it_goes() -> None:
    model, data = small_video_codec(), small_video_codec().compress(media(12))
    cut = data[: _offset_of(data, 2) + 5]
    with pytest.raises(BitstreamError):
        model.decompress(cut)
    assert model.decompress(cut, partial=True).samples.shape[1] == 8


def test_a_file_of_another_model_is_refused() -> None:
    model = small_video_codec()
    with pytest.raises(BitstreamError, match="does not hold a video"):
        model.decompress(small_latent_codec().compress(Media("image", moving_clip(1)[0])))
    data = bytearray(model.compress(media(1)))
    with pytest.raises((ModelMismatchError, BitstreamError)):
        model.decompress(bytes(data[:5]) + bytes(8) + bytes(data[13:]))


def test_what_it_cannot_do_is_refused() -> None:
    model = small_video_codec()
    for encoding, text in (
        (Encoding(target_bytes=100), "a target"),
        (Encoding(effort=3), "effort"),
        (Encoding(packet_ms=20), "packet"),
        (Encoding(prior="static"), "static"),
    ):
        with pytest.raises(UsageError, match=text):
            model.compress(media(1), encoding)
    with pytest.raises(UsageError, match="quality and bitrate exclude"):
        Encoding(quality=3, bitrate=1e5)


def test_a_checkpoint_writes_the_same_files(tmp_path: Path) -> None:
    model, video = small_video_codec(), media(5)
    save(tmp_path / "small-video", model, CONFIG, "# small\n")
    again = load(tmp_path / "small-video")
    assert isinstance(again, VideoLatentCodec)
    assert again.coding_hash() == model.coding_hash()
    data = again.compress(video)
    assert (
        torch.equal(again.decompress(data).samples, model.decompress(data).samples)
        or decibels(again.decompress(data).samples, model.decompress(data).samples) > 40
    )
    assert describe(io.BytesIO(data)).length == 5


def test_pipes_are_enough() -> None:
    class Pipe(io.RawIOBase):
        def __init__(self, data: bytes) -> None:
            self._inner = io.BytesIO(data)

        def read(self, size: int = -1) -> bytes:
            return self._inner.read(size)

    model, video = small_video_codec(), media(6)
    sink = io.BytesIO()
    assert model.write(reader_of(video), sink) == 6
    assert pictures(model.open(Pipe(sink.getvalue()))).shape == video.samples.shape  # type: ignore[arg-type]


def _offset_of(data: bytes, number: int) -> int:
    """Of the CODES section of that number."""
    from codec.container import find_index

    entries = find_index(io.BytesIO(data))
    assert entries is not None
    reader = Reader(io.BytesIO(data))
    offsets = []
    sections = iter(reader)
    before = reader.bytes_read
    for section in sections:
        if section.type == SectionType.CODES:
            offsets.append(before)
        before = reader.bytes_read
    return offsets[number]
