"""Rate control: the gain index that hits what was asked for, with few encodings."""

import math
from collections.abc import Callable

import torch

from codec.entropy.levels import FINEST
from codec.errors import UsageError
from codec.models.base import DEFAULT_QUALITY, Encoding
from codec.types import Media

ENOUGH_BYTES = 0.003  # a file this share below its target is near enough
ENOUGH_DB = 0.015


def gain_of(quality: int | None) -> int:
    """Quality 1 … 100 to a gain index 0 … 1023."""
    return round((DEFAULT_QUALITY if quality is None else quality) * FINEST / 99 - FINEST / 99)


def choose_gain(
    encoding: Encoding, media: Media, file_at: Callable[[int], bytes], decompress: Callable[[bytes], Media]
) -> int:
    """The gain index of the file that was asked for.

    Args:
        encoding: quality or target.
        media: the picture.
        file_at: the file at a gain index; called again for the same index, so it should remember.
        decompress: the picture of a file, for a target in decibels.

    Raises:
        UsageError: no quality reaches the target.
    """
    height, width = media.space
    if encoding.target_psnr is not None:
        return _nearest_psnr(encoding.target_psnr, media, file_at, decompress)
    target = encoding.target_bytes
    if encoding.target_bpp is not None:
        target = int(encoding.target_bpp * height * width / 8)
    if target is None:
        return gain_of(encoding.quality)
    low, _ = bracket(lambda gain: math.log(len(file_at(gain))), math.log(max(1, target)), ENOUGH_BYTES)
    if low < 0:
        raise UsageError(f"the coarsest quality takes {len(file_at(0))} bytes, {target} are too few")
    return low


def bracket(value: Callable[[int], float], target: float, enough: float) -> tuple[int, int]:
    """Neighbouring gain indices with `value(low) <= target < value(high)`, of a value that rises with the gain.

    By false position, and halving where that is slow. Ends early, with `high` not found yet, once `value(low)` is within
    `enough` of the target. No gain is low enough: `low` is -1; none is too high: `high` is one more than the finest.
    """
    low, high = -1, FINEST + 1
    at_low, at_high = value(0), value(FINEST)
    if at_low > target:
        return -1, 0
    if at_high <= target:
        return FINEST, FINEST + 1
    low, high = 0, FINEST
    for turn in range(40):
        if high - low <= 1 or target - at_low <= enough:
            break
        share = (target - at_low - enough / 2) / (at_high - at_low) if turn % 3 < 2 else 0.5
        middle = min(high - 1, max(low + 1, round(low + share * (high - low))))
        found = value(middle)
        low, high, at_low, at_high = (middle, high, found, at_high) if found <= target else (low, middle, at_low, found)
    return low, high


def _nearest_psnr(
    target: float, media: Media, file_at: Callable[[int], bytes], decompress: Callable[[bytes], Media]
) -> int:
    scores: dict[int, float] = {}

    def score(gain: int) -> float:
        if gain not in scores:
            scores[gain] = decibels(media, decompress(file_at(gain)))
        return scores[gain]

    low, high = bracket(score, target, ENOUGH_DB)
    best = min(scores, key=lambda gain: abs(scores[gain] - target))
    if (low < 0 and abs(scores[best] - target) > ENOUGH_DB) or (high > FINEST and target - scores[best] > ENOUGH_DB):
        raise UsageError(f"this picture can have {scores[0]:.2f} to {scores[FINEST]:.2f} dB, not {target:.2f}")
    return best


def decibels(reference: Media, decoded: Media) -> float:
    """PSNR of samples of 8 or 16 bits; infinite for equal pictures."""
    largest = 255 if reference.samples.dtype == torch.uint8 else 65535
    error = (reference.samples.double() - decoded.samples.double()).square().mean().item()
    return math.inf if error == 0 else 10 * math.log10(largest**2 / error)
