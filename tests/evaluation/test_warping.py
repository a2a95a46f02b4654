"""Motion by blocks is exact, occlusion is seen, and the warping error is 0 for what moves as its original does."""

import numpy as np
import pytest
import torch
from torch import Tensor

from codec.evaluation import WarpingMeter, match_blocks
from codec.evaluation.block_matching import BLOCK, GAIN, REACH, Pixels
from codec.evaluation.luma import luma_levels
from codec.evaluation.warping import visible
from tests.conftest import synthetic_picture


def panned(count: int, down: int, right: int, height: int = 64, width: int = 96) -> list[Tensor]:
    """A clip whose content moves by so many pixels from frame to frame, `(3, H, W)` each."""
    whole = synthetic_picture(height + 120, width + 120)
    return [whole[:, 60 - down * t :, 60 - right * t :][:, :height, :width].contiguous() for t in range(count)]


def noisy(clip: list[Tensor], deviation: float) -> list[Tensor]:
    return [(frame + deviation * torch.randn(frame.shape)).round().clamp(0, 255).byte() for frame in clip]


def warping(original: list[Tensor], decoded: list[Tensor]) -> tuple[float | None, float | None]:
    meter = WarpingMeter()
    for pair in zip(original, decoded, strict=True):
        meter.add(*pair)
    return meter.result().decoded, meter.result().original


def differences(source: Pixels, target: Pixels, top: int, left: int) -> list[int]:
    """Of one block and all places within reach, one by one."""
    height, width = source.shape
    block = source[top : top + BLOCK, left : left + BLOCK].astype(int)
    return [
        int(np.abs(block - target[y : y + BLOCK, x : x + BLOCK]).sum())
        for y in range(max(0, top - REACH), min(height - BLOCK, top + REACH) + 1)
        for x in range(max(0, left - REACH), min(width - BLOCK, left + REACH) + 1)
    ]


@pytest.mark.parametrize("shift", [(-2, 3), (0, 0), (16, -16)])
@pytest.mark.parametrize("size", [(64, 96), (61, 91)])
def test_the_motion_of_a_pan_is_found(shift: tuple[int, int], size: tuple[int, int]) -> None:
    clip = panned(2, *shift, *size)
    before, after = (luma_levels(frame).numpy() for frame in clip)
    motion = match_blocks(before, after)
    assert motion.shape == (-(-size[0] // 8), -(-size[1] // 8), 2)
    assert (motion[2:-3, 2:-3] == shift).all()  # others may leave the picture


def test_no_place_is_much_better_than_the_found_one() -> None:
    random = np.random.default_rng(0)
    source, target = random.integers(0, 256, (2, 27, 37)).astype(np.uint8)
    motion = match_blocks(source, target)
    for i, j in np.ndindex(motion.shape[:2]):
        top, left = min(8 * i, 19), min(8 * j, 29)
        y, x = top + motion[i, j, 0], left + motion[i, j, 1]
        found = np.abs(source[top : top + 8, left : left + 8].astype(int) - target[y : y + 8, x : x + 8]).sum()
        assert found <= min(differences(source, target, top, left)) + GAIN


def test_pictures_without_a_block_raise() -> None:
    small = np.zeros((7, 20), np.uint8)
    with pytest.raises(ValueError, match="at least 8"):
        match_blocks(small, small)
    with pytest.raises(ValueError, match="of one shape"):
        match_blocks(np.zeros((8, 20), np.uint8), np.zeros((20, 8), np.uint8))


def test_what_does_not_come_back_is_hidden() -> None:
    forward = np.full((2, 3, 2), (2, -3))
    seen = visible(forward, -forward, 16, 20)
    assert seen[:14, 3:].all()  # all but what leaves the picture
    assert seen.sum() == 14 * 17
    assert not visible(forward, forward, 16, 20).any()
    missed = -forward + (0, 1)
    assert not visible(forward, missed, 16, 20).any()  # 1 > 0.01 * (13 + 8) + 0.5
    far = np.full((4, 4, 2), (0, 8))
    assert visible(far, -far + (0, 1), 32, 32)[:, :24].all()  # 1 < 0.01 * (64 + 49) + 0.5


def test_a_perfect_pan_has_no_error_and_noise_has() -> None:
    clip = panned(4, -2, 3)
    assert warping(clip, clip) == (0, 0)
    errors = [warping(clip, noisy(clip, deviation)) for deviation in (0, 2, 6)]
    assert [original for _, original in errors] == [0, 0, 0]
    decoded = [error or 0.0 for error, _ in errors]
    assert 0 == decoded[0] < decoded[1] < decoded[2]
    assert decoded[2] == pytest.approx(2 * 36 / 255**2, rel=0.1)  # the variance of two noises


def test_a_step_of_brightness_is_its_square() -> None:
    still = [synthetic_picture(32, 40).clamp(0, 200)] * 3
    decoded = [frame + 10 * (t % 2) for t, frame in enumerate(still)]
    assert warping(still, decoded)[0] == pytest.approx((10 / 255) ** 2)


def test_nothing_to_follow_gives_no_number() -> None:
    clip = panned(2, 0, 0)
    assert warping(clip[:1], clip[:1]) == (None, None)
    small = [frame[:, :7] for frame in clip]
    assert warping(small, small) == (None, None)
