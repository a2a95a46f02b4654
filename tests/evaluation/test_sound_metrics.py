"""Mel distance and SI-SDR against closed forms and a slow independent implementation."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from codec.evaluation import MelDistance, si_sdr
from codec.evaluation.mel_distance import BINS, WINDOWS, mel_filters

RATE_HZ = 16_000


def noise(length: int = 6000, batch: int = 2, seed: int = 0) -> Tensor:
    return 0.1 * torch.randn(batch, length, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def distance() -> MelDistance:
    return MelDistance(RATE_HZ)


def test_equal_sounds_have_no_distance(distance: MelDistance) -> None:
    assert torch.equal(distance(noise(), noise()), torch.zeros(2))


def test_another_volume_is_its_logarithm_in_every_window(distance: MelDistance) -> None:
    """Empty bins count 0: they are silent in both."""
    filled = sum(
        float((mel_filters(RATE_HZ, *pair).sum(1) > 0).float().mean()) for pair in zip(WINDOWS, BINS, strict=True)
    )
    found = distance(noise(), 0.5 * noise())
    torch.testing.assert_close(found, torch.full((2,), math.log10(2) * filled), rtol=1e-3, atol=0)
    assert filled > 6.9


def test_silence_is_floored(distance: MelDistance) -> None:
    silence = torch.zeros(1, 4000)
    assert float(distance(silence, silence + 1e-12)) == 0


def test_each_example_is_by_itself(distance: MelDistance) -> None:
    reference, decoded = noise(batch=3), noise(batch=3, seed=1)
    alone = torch.cat([distance(reference[i : i + 1], decoded[i : i + 1]) for i in range(3)])
    torch.testing.assert_close(distance(reference, decoded), alone)


def test_gradient_is_finite_also_in_silence(distance: MelDistance) -> None:
    decoded = torch.zeros(1, 4000, requires_grad=True)
    distance(noise(4000, 1), decoded + 0).sum().backward()
    assert decoded.grad is not None
    assert torch.isfinite(decoded.grad).all()
    louder = (0.5 * noise(4000, 1)).requires_grad_()
    distance(noise(4000, 1), louder).sum().backward()
    assert louder.grad is not None
    assert float((louder.grad * louder.detach()).sum()) < 0  # more volume brings it nearer


def slow_mel(waveform: NDArray[np.float64], window: int, bins: int) -> NDArray[np.float64]:
    """One sound `(T,)` by the formulas: Slaney's scale is linear below 1 kHz and logarithmic above, 27 steps to 6.4 kHz."""
    step = math.log(6.4) / 27

    def hertz(mel: float) -> float:
        return 200 * mel / 3 if mel < 15 else 1000 * math.exp(step * (mel - 15))

    highest = 15 + math.log(RATE_HZ / 2 / 1000) / step
    corners = [hertz(highest * i / (bins + 1)) for i in range(bins + 2)]
    frequencies = np.arange(window // 2 + 1) * RATE_HZ / window
    padded = np.pad(waveform, window // 2, mode="reflect")
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window)
    spectra = [
        np.abs(np.fft.rfft(hann * padded[first : first + window]))
        for first in range(0, len(padded) - window + 1, window // 4)
    ]
    rows = []
    for low, middle, high in zip(corners, corners[1:], corners[2:], strict=False):
        rising, falling = (frequencies - low) / (middle - low), (high - frequencies) / (high - middle)
        rows.append(np.maximum(0, np.minimum(rising, falling)) * 2 / (high - low))
    return np.log10(np.maximum(1e-5, np.array(rows) @ np.array(spectra).T))


@pytest.mark.parametrize(("window", "bins"), [(32, 5), (256, 40), (2048, 320)])
def test_a_stranger_computes_the_same(window: int, bins: int) -> None:
    distance = MelDistance(RATE_HZ, [window], [bins])
    reference, decoded = noise(4000, 1), noise(4000, 1, seed=1)
    pair = [slow_mel(waveform[0].double().numpy(), window, bins) for waveform in (reference, decoded)]
    assert float(distance(reference, decoded)) == pytest.approx(float(np.abs(pair[0] - pair[1]).mean()), rel=1e-3)


def test_what_does_not_fit_is_refused(distance: MelDistance) -> None:
    with pytest.raises(ValueError, match="one shape"):
        distance(noise(4000), noise(4001))
    with pytest.raises(ValueError, match="1024 samples"):
        distance(noise(1024), noise(1024))
    with pytest.raises(ValueError, match="multiple of 4"):
        MelDistance(RATE_HZ, [30], [5])
    with pytest.raises(ValueError, match="its bins"):
        MelDistance(RATE_HZ, [32, 64], [5])


@pytest.mark.parametrize("decibels", [-10, 0, 25])
def test_si_sdr_of_orthogonal_noise(decibels: int) -> None:
    time = torch.arange(1600) * 2 * math.pi / 1600
    target, other = torch.sin(10 * time), torch.cos(7 * time) * 10 ** (-decibels / 20)
    for volume in (1.0, 0.01, 30.0):
        assert si_sdr(target, volume * (target + other) + 0.3) == pytest.approx(decibels, abs=1e-3)


def test_si_sdr_of_equal_unlike_and_silent_sounds() -> None:
    reference, other = noise(batch=1)[0], noise(batch=1, seed=1)[0]
    assert si_sdr(reference, reference) > 100
    assert si_sdr(reference, other) < -10
    assert math.isfinite(si_sdr(reference, torch.zeros(6000)))
    with pytest.raises(ValueError, match="one length"):
        si_sdr(reference, other[:-1])
