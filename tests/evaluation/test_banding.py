"""Banding rises where shades are cut into steps, and with nothing else."""

import pytest
import torch
from torch import Tensor

from codec.evaluation import BandingMeter, banding_index
from codec.evaluation.banding import RUN, flat_regions, step_length
from tests.conftest import synthetic_picture


def gradient(lowest: int, highest: int, height: int = 48, width: int = 384) -> Tensor:
    """A slanted shade of grey, uint8 `(3, H, W)`."""
    y, x = torch.meshgrid(torch.arange(height) / 8, torch.arange(width, dtype=torch.float32), indexing="ij")
    shade = lowest + (highest - lowest) * (x + y) / (width + height / 8)
    return shade.round().byte().expand(3, -1, -1).contiguous()


def posterised(picture: Tensor, levels: int) -> Tensor:
    """As many levels over the range of the picture."""
    low, high = float(picture.min()), float(picture.max())
    index = ((picture.float() - low) / (high - low) * levels).floor().clamp(max=levels - 1)
    return (low + (index + 0.5) * (high - low) / levels).round().byte()


def noisy(picture: Tensor, deviation: float) -> Tensor:
    return (picture + deviation * torch.randn(picture.shape[1:])).round().clamp(0, 255).byte()


@pytest.mark.parametrize("span", [(40, 120), (0, 255), (180, 250)])
def test_posterising_shows_and_noise_does_not(span: tuple[int, int]) -> None:
    original = gradient(*span)
    same = banding_index(original, original)
    assert same.decoded is not None
    assert same.decoded == same.original
    found = banding_index(original, posterised(original, 32)).decoded
    assert found is not None
    assert found > max(0.05, 5 * same.decoded)
    for decoded in (noisy(original, 2), noisy(posterised(original, 32), 2)):
        assert banding_index(original, decoded).decoded == pytest.approx(0, abs=same.decoded + 1e-4)


def test_steps_count_on_both_axes_alike() -> None:
    original = gradient(40, 120, 300, 384)
    decoded = posterised(original, 32)
    upright = banding_index(original, decoded).decoded
    assert banding_index(original.mT.contiguous(), decoded.mT.contiguous()).decoded == pytest.approx(upright)


@pytest.mark.parametrize(("step", "runs", "counts"), [(1, 8, True), (8, 8, True), (9, 8, False), (3, 7, False)])
def test_a_step_needs_two_runs_and_little_height(step: int, runs: int, counts: bool) -> None:
    luma = torch.full((5, runs + RUN), 100, dtype=torch.uint8)
    luma[:, runs:] += step
    length = step_length(luma, torch.ones_like(luma, dtype=torch.bool))
    assert (0 < length <= 5) if counts else length == 0


def test_a_slanted_shade_is_no_band() -> None:
    """Its lines are 3 pixels apart, and 24 pixels along the columns."""
    y, x = torch.meshgrid(torch.arange(96) / 8, torch.arange(96.0), indexing="ij")
    luma = (60 + (x + y) / 3).byte()
    assert step_length(luma, torch.ones_like(luma, dtype=torch.bool)) == 0
    wide = (60 + (x + y) / 12).byte()
    assert step_length(wide, torch.ones_like(luma, dtype=torch.bool)) > 0


def test_higher_and_darker_steps_show_more() -> None:
    def length(before: int, after: int) -> float:
        luma = torch.tensor([before] * 8 + [after] * 8, dtype=torch.uint8).expand(4, -1)
        return step_length(luma, torch.ones_like(luma, dtype=torch.bool))

    assert 0 < length(200, 201) < length(200, 203) < length(60, 63) < 4
    assert length(60, 63) == length(63, 60)


def test_edges_of_the_original_are_not_flat() -> None:
    picture = torch.full((64, 200), 20, dtype=torch.uint8)
    picture[:, 100:] = 220
    flat = flat_regions(picture)
    assert flat[:, :80].all()
    assert flat[:, 120:].all()
    assert not flat[:, 95:105].any()
    decoded = picture.clone()
    decoded[:, 99:] = 21
    assert step_length(decoded, flat) == 0


def test_nothing_flat_gives_no_number() -> None:
    picture = torch.randint(0, 256, (3, 40, 40), dtype=torch.uint8)
    assert banding_index(picture, picture).decoded is None
    assert BandingMeter().result().original is None


@pytest.mark.parametrize("size", [(1, 1), (3, 15), (8, 16)])
def test_small_pictures_have_no_banding(size: tuple[int, int]) -> None:
    picture = torch.full((3, *size), 9, dtype=torch.uint8)
    assert banding_index(picture, picture).decoded == 0


def test_frames_count_by_their_area() -> None:
    original = gradient(40, 120)
    decoded = posterised(original, 32)
    meter = BandingMeter()
    for pair in ((original, decoded), (original, original), (synthetic_picture(48, 384) // 2 + 64,) * 2):
        meter.add(*pair)
    single = banding_index(original, decoded).decoded
    assert single is not None
    assert meter.result().decoded == pytest.approx(single / 2, rel=0.2)
