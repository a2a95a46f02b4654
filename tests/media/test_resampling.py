"""Another rate keeps what both rates can hold, drops what the new one cannot, and does not care how the sound comes."""

import numpy as np
import pytest

from codec.media.resampling import Resampler, resampled
from codec.media.sound import Samples

RATES = [(44100, 24000), (16000, 24000), (48000, 16000), (8000, 16000), (192000, 24000), (44101, 24000), (24000, 44100)]


def tone(frequency: float, rate: int, seconds: float = 0.4) -> Samples:
    """`(n, 1)`, amplitude 0.5."""
    return (0.5 * np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate)).astype(np.float32)[:, None]


def decibels(error: Samples, of: Samples) -> float:
    """Away from the borders, where there is silence on one side."""
    strengths = (np.sqrt(np.mean(part[len(part) // 4 : -len(part) // 4] ** 2)) for part in (error, of))
    return float(20 * np.log10(np.divide(*strengths)))


@pytest.mark.parametrize(("source", "target"), RATES)
def test_tones_below_the_border_stay(source: int, target: int) -> None:
    frequency = 0.42 * min(source, target)
    found = resampled(tone(frequency, source), source, target)
    expected = tone(frequency, target)[: len(found)]
    assert decibels(found[: len(expected)] - expected, expected) < -90


@pytest.mark.parametrize(("source", "target"), [(44100, 24000), (48000, 16000), (192000, 24000)])
def test_tones_above_it_go(source: int, target: int) -> None:
    loud = tone(0.52 * target, source)
    found = resampled(loud, source, target)
    assert decibels(found, loud) < -90


@pytest.mark.parametrize(("source", "target"), RATES)
@pytest.mark.parametrize("size", [1000, 7001, 1 << 16])
def test_blocks_do_not_matter(source: int, target: int, size: int) -> None:
    sound = np.random.default_rng(0).standard_normal((50_001, 2)).astype(np.float32)
    pieces = [sound[i : i + size] for i in range(0, len(sound), size)]
    found = np.concatenate(list(Resampler(source, target).blocks(pieces)))
    assert np.array_equal(found, resampled(sound, source, target))
    assert len(found) == Resampler(source, target).length(len(sound)) == -(-len(sound) * target // source)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_the_shortest_sounds(count: int) -> None:
    assert resampled(np.zeros((count, 3), np.float32), 44100, 24000).shape == (count, 3)


def test_the_same_rate_is_the_same_sound() -> None:
    sound = tone(440, 16000)
    assert np.array_equal(resampled(sound, 16000, 16000), sound)
