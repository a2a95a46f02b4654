"""VideoTokenCodec: any number of frames, one as a picture, codes that do not depend on how frames come, scenes, files, damage."""

import io
from pathlib import Path

import pytest
import torch
from torch import Tensor

from codec.container import Reader, SectionType
from codec.errors import BitstreamError, UsageError
from codec.models import Encoding, VideoTokenCodec, load, save
from codec.models.sound_reading import Excerpt
from codec.models.video_scenes import SceneEncoder
from codec.types import Media
from tests.models.video_models import decibels, moving_clip
from tests.models.video_token_models import CONFIG, small_video_tokens


def media(frames: int, height: int = 48, width: int = 64) -> Media:
    return Media("video", moving_clip(frames, height, width).transpose(0, 1).contiguous())


@pytest.mark.parametrize("frames", [1, 2, 4, 5, 6, 17, 18, 23])
@pytest.mark.parametrize("size", [(48, 64), (17, 33)])
def test_any_length_and_size_comes_back(frames: int, size: tuple[int, int]) -> None:
    model, video = small_video_tokens(), media(frames, *size)
    decoded = model.decompress(model.compress(video))
    assert decoded.samples.shape == video.samples.shape
    error = (decoded.samples.float() - video.samples.float()).square().mean()
    assert error < (video.samples.float() - video.samples.float().mean()).square().mean() / 2


def test_a_picture_is_a_video_of_one_frame() -> None:
    model, clip = small_video_tokens(), media(9).samples
    alone, first = (model.encode(part[None]).planes[0].codes[:, :1] for part in (clip[:, :1], clip))
    assert torch.equal(alone, first)


def test_later_frames_change_no_earlier_codes() -> None:
    model, clip = small_video_tokens(), media(9).samples
    changed = clip.clone()
    changed[:, 5:] = 255 - changed[:, 5:]
    before, after = (model.encode(part[None]).planes[0].codes[0] for part in (clip, changed))
    assert torch.equal(before[:2], after[:2])
    assert not torch.equal(before[2], after[2])


@pytest.mark.parametrize("sizes", [[17], [1] * 17, [3, 6, 8], [16, 1]])
def test_codes_do_not_depend_on_how_frames_come(sizes: list[int]) -> None:
    model, clip = small_video_tokens(), media(17).samples
    whole = model.encode(clip[None]).planes[0].codes[0]
    encoder, found, start = SceneEncoder(model), list[Tensor](), 0
    for size in sizes:
        for t in range(start, start + size):
            found += encoder.push(clip[:, t])
        start += size
    assert torch.equal(torch.stack(found + encoder.finish())[..., 0], whole)


def test_a_file_holds_the_codes_and_decodes_to_what_they_say() -> None:
    model, video = small_video_tokens(), media(9)
    codes = model.encode(video.samples[None])
    pixels = model.decode(codes)[0, ..., :48, :64].mul(255).round().to(torch.uint8)
    assert torch.equal(pixels, model.decompress(model.compress(video)).samples)
    held = model.read_codes(io.BytesIO(model.compress(video)))
    assert held.frames == 9


def test_a_file_costs_what_its_codes_cost() -> None:
    from codec.entropy import ideal_bits

    model, video = small_video_tokens(), media(9)
    codes = [plane.codes[0] for plane in model.encode(video.samples[None]).planes]
    data = model.compress(video)
    sections = sum(1 for _ in Reader(io.BytesIO(data)))
    ideal = ideal_bits(model.prior, codes) / 8
    assert ideal <= len(data) <= 1.01 * ideal + 40 + 16 * sections


def test_scenes_are_entries() -> None:
    model, video = small_video_tokens(), media(40)
    data = model.compress(video)
    whole = model.decompress(data).samples
    part = model.open(io.BytesIO(data), excerpt=Excerpt(start=0.8, duration=0.2))
    found = torch.stack([torch.from_numpy(frame.pixels) for frame in part.pictures()], 1)
    assert torch.equal(found, whole[:, 20:25])


def test_damage_is_refused_or_bridged() -> None:
    model, video = small_video_tokens(), media(40)
    data = model.compress(video)
    whole = model.decompress(data).samples
    reader = Reader(io.BytesIO(data))
    place = reader.bytes_read
    for section in reader:
        if section.type == SectionType.CODES and section.chunk > 0:
            break
        place = reader.bytes_read
    broken = data[: place + 9] + bytes([data[place + 9] ^ 1]) + data[place + 10 :]
    with pytest.raises(BitstreamError, match="codes of chunk"):
        model.decompress(broken)
    bridged = model.decompress(broken, partial=True).samples
    assert bridged.shape == whole.shape
    assert torch.equal(bridged[:, :5], whole[:, :5])
    assert torch.equal(bridged[:, 17:], whole[:, 17:])


def test_what_it_cannot_do_is_refused() -> None:
    model = small_video_tokens()
    for encoding in (Encoding(quality=3), Encoding(bitrate=1e5), Encoding(prior="learned")):
        with pytest.raises(UsageError):
            model.compress(media(1), encoding)


def test_a_checkpoint_writes_the_same_codes(tmp_path: Path) -> None:
    model, video = small_video_tokens(), media(5)
    save(tmp_path / "small-tokens", model, CONFIG, "# small\n")
    again = load(tmp_path / "small-tokens")
    assert isinstance(again, VideoTokenCodec)
    assert again.coding_hash() == model.coding_hash()
    data = again.compress(video)
    assert model.read_codes(io.BytesIO(data)) == again.read_codes(io.BytesIO(data))
    assert load(tmp_path / "small-tokens").compress(video) == data
    decoded = [one.decompress(data).samples for one in (again, model)]
    assert decibels(*decoded) > 40  # weights are stored in 16 bits
