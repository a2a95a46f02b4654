"""PESQ and STOI in order, blind to delay and level, and loud about what they cannot measure; alignment by itself."""

import sys

import numpy as np
import pytest
import torch
from torch import Tensor

from codec.errors import UsageError
from codec.evaluation import align, pesq, stoi, visqol
from codec.evaluation.alignment import find_delay
from codec.media.resampling import resampled

RATE_HZ = 16_000


def speech(seconds: float = 3.0, rate_hz: int = RATE_HZ) -> Tensor:
    """A buzz of wandering pitch in syllables, with pauses: enough of a voice for the standards. `(T,)`"""
    time = np.arange(int(seconds * rate_hz)) / rate_hz
    phase = 2 * np.pi * np.cumsum(120 + 20 * np.sin(2 * np.pi * 0.7 * time)) / rate_hz
    voice = sum(np.sin(k * phase) / k * (1 + np.cos(k + 9 * time)) for k in range(1, 30))
    syllables = np.maximum(0, np.sin(2 * np.pi * 3 * time)) * (np.sin(2 * np.pi * 0.4 * time) > -0.5)
    return torch.from_numpy((0.05 * voice * syllables).astype(np.float32))


def noisy(waveform: Tensor, decibels: float) -> Tensor:
    noise = torch.randn(len(waveform), generator=torch.Generator().manual_seed(0))
    return waveform + noise * waveform.std() * 10 ** (-decibels / 20)


@pytest.mark.parametrize(("measure", "best"), [(pesq, 4.64), (stoi, 1.0)])
def test_equal_is_best_and_noise_is_heard(measure, best: float) -> None:  # type: ignore[no-untyped-def]
    waveform = speech()
    assert measure(waveform, waveform, RATE_HZ, "clip") == pytest.approx(best, abs=0.01)
    scores = [measure(waveform, noisy(waveform, decibels), RATE_HZ, "clip") for decibels in (30, 10, -10)]
    assert best > scores[0] > scores[1] > scores[2]


@pytest.mark.parametrize("of_speech", [True, False])
def test_visqol_hears_noise(of_speech: bool) -> None:
    waveform = speech()
    sounds = (waveform, noisy(waveform, 20), noisy(waveform, 0))
    scores = [visqol(waveform, sound, RATE_HZ, "clip", speech=of_speech) for sound in sounds]
    assert 5 >= scores[0] > scores[1] > scores[2] >= 1
    with pytest.raises(UsageError, match="ViSQOL of clip: what was decoded is silent"):
        visqol(waveform, torch.zeros_like(waveform), RATE_HZ, "clip", speech=of_speech)


@pytest.mark.parametrize("measure", [pesq, stoi])
@pytest.mark.parametrize("delay", [-400, 13, 799])
def test_delay_and_level_do_not_count(measure, delay: int) -> None:  # type: ignore[no-untyped-def]
    waveform = speech()
    decoded = noisy(waveform, 15)
    plain = measure(waveform, decoded, RATE_HZ, "clip")
    moved = measure(waveform, 0.05 * torch.roll(decoded, delay), RATE_HZ, "clip")
    assert moved == pytest.approx(plain, abs=0.05)


def test_other_rates_are_converted() -> None:
    waveform = speech()
    decoded = noisy(waveform, 15)
    faster = [
        torch.from_numpy(resampled(sound[:, None].numpy(), RATE_HZ, 48_000)[:, 0]) for sound in (waveform, decoded)
    ]
    assert pesq(*faster, 48_000, "clip") == pytest.approx(pesq(waveform, decoded, RATE_HZ, "clip"), abs=0.1)


@pytest.mark.parametrize(
    ("measure", "reference", "decoded", "reason"),
    [
        (pesq, torch.zeros(16_000), speech(1), "cannot measure PESQ of clip 7: the original is silent"),
        (stoi, torch.zeros(16_000), speech(1), "cannot measure STOI of clip 7: the original is silent"),
        (pesq, speech(1), torch.zeros(16_000), "clip 7: what was decoded is silent"),
        (pesq, speech(0.2), speech(0.2), "clip 7: it is shorter than 0.25 seconds"),
        (stoi, speech(0.01), speech(0.01), "clip 7: it is shorter than 0.25 seconds"),
        (pesq, speech(0.3), speech(0.3), "PESQ of clip 7: No utterances"),
        (stoi, speech(0.3), speech(0.3), "STOI of clip 7: Not enough STFT frames"),
    ],
)  # fmt: skip
def test_failures_name_the_clip(measure, reference: Tensor, decoded: Tensor, reason: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(UsageError, match=reason):
        measure(reference, decoded, RATE_HZ, "clip 7")


def test_nothing_is_understood_of_silence() -> None:
    assert stoi(speech(), torch.zeros(len(speech())), RATE_HZ, "clip") == pytest.approx(0, abs=0.01)


@pytest.mark.parametrize(("measure", "package"), [(pesq, "pesq"), (stoi, "pystoi")])
def test_without_the_package_one_line_says_what_to_install(
    measure,
    package: str,
    monkeypatch: pytest.MonkeyPatch,  # type: ignore[no-untyped-def]
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=f"needs the package {package}: pip install {package}"):
        measure(speech(), speech(), RATE_HZ, "clip")


@pytest.mark.parametrize("delay", [-800, -1, 0, 5, 800])
def test_alignment_finds_delay_and_level(delay: int) -> None:
    waveform = torch.randn(5000)
    pair = align(waveform, -0.25 * -torch.roll(waveform, delay), RATE_HZ)
    assert pair.delay == delay
    assert len(pair.reference) == len(pair.decoded) == 5000 - abs(delay)
    assert pair.gain == pytest.approx(4, rel=0.2)
    torch.testing.assert_close(pair.reference, 4 * pair.decoded / pair.gain)


def test_alignment_of_what_is_alike_everywhere() -> None:
    silence, tone = torch.zeros(3000), torch.sin(torch.arange(3000) * 2 * torch.pi / 20)
    assert align(silence, silence, RATE_HZ).delay == 0
    assert align(torch.randn(3000), silence, RATE_HZ).gain == 1
    assert find_delay(tone, tone, 100) == 0
    assert abs(find_delay(torch.randn(4), torch.randn(4), 3)) <= 3
    assert align(torch.ones(1), torch.ones(1), RATE_HZ).delay == 0
    with pytest.raises(ValueError, match="one length"):
        align(silence, tone[1:], RATE_HZ)
