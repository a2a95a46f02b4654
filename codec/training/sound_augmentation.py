"""What a training crop of sound may be instead of itself: softer, upside down, partly silent, or two at once."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Crops = NDArray[np.float32]  # (B, N), full scale 1
LEAST_BIT = 1 / 32768


@dataclass(frozen=True)
class SoundAugmentation:
    """Changes of a batch of crops, each drawn for each crop by itself; peaks stay within full scale.

    Attributes:
        level_db: lowest and highest gain, drawn evenly in dB; a crop is made no louder than full scale.
        polarity: share of the crops that are turned upside down.
        silent: share of the crops that begin or end with silence, of any length.
        mixed: share of the crops to which the next of the batch is added, each at any share of the sum.
        dither: noise in units of the least of 16 bits, so that silence has a direction; far below what is heard.
    """

    level_db: tuple[float, float] = (-15.0, 3.0)
    polarity: float = 0.5
    silent: float = 0.02
    mixed: float = 0.0
    dither: float = 1.0

    def __post_init__(self) -> None:
        low, high = self.level_db
        if low > high or not all(0 <= share <= 1 for share in (self.polarity, self.silent, self.mixed)):
            raise ValueError(f"levels must ascend and shares lie in 0..1, got {self}")

    def __call__(self, crops: Crops, random: np.random.Generator) -> Crops:
        """`(B, N)` to the same; the same draws for the same generator."""
        count = crops.shape[:1]
        mixed = _mix(crops, random.random(count) < self.mixed, random.random(count))
        gains = 10 ** (random.uniform(*self.level_db, size=count) / 20)
        peaks = np.abs(mixed).max(1, initial=0)
        gains = np.where(gains * peaks > 1, 1 / np.maximum(peaks, LEAST_BIT), gains)
        signs = np.where(random.random(count) < self.polarity, -1, 1)
        changed = mixed * (signs * gains)[:, None].astype(np.float32)
        _silence(changed, random.random(count) < self.silent, random)
        noise = self.dither * LEAST_BIT * random.standard_normal(crops.shape, dtype=np.float32)
        return (changed + noise).clip(-1, 1)


def _mix(crops: Crops, chosen: NDArray[np.bool_], share: NDArray[np.float64]) -> Crops:
    """The chosen crops with their neighbours."""
    other = np.where(chosen, share, 0)[:, None].astype(np.float32)
    return (1 - other) * crops + other * np.roll(crops, 1, axis=0)


def _silence(crops: Crops, chosen: NDArray[np.bool_], random: np.random.Generator) -> None:
    """Clear the start or the end of the chosen crops."""
    for crop, clear in zip(crops, chosen, strict=True):
        length, at_end = int(random.integers(crops.shape[1] + 1)), random.random() < 0.5
        if clear:
            crop[slice(len(crop) - length, None) if at_end else slice(length)] = 0
