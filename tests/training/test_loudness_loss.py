"""Differences of loudness: none for equal sounds, more for louder noise, added sound worse than missing sound, nothing below hearing."""

import pytest
import torch
from torch import Tensor

from codec.training import LoudnessLoss
from codec.training.loudness_loss import BANDS, RATE_HZ, SPEECH_DB, bark_bands, hearing_threshold_db
from tests.evaluation.test_speech_quality import noisy, speech


def terms(waveform: Tensor, decoded: Tensor) -> dict[str, float]:
    return {name: float(value) for name, value in LoudnessLoss()(waveform[None, None], decoded[None, None]).items()}


def test_noise_is_heard_and_more_of_it_more() -> None:
    waveform = speech()
    assert max(terms(waveform, waveform).values()) < 1e-6
    found = [terms(waveform, noisy(waveform, decibels)) for decibels in (40, 20, 0)]
    for name in ("loudness", "added_loudness"):
        assert found[0][name] < found[1][name] < found[2][name]


def test_what_is_added_counts_more_than_what_is_missing() -> None:
    waveform, tone = speech(), 0.02 * (2 * torch.pi * 3000 * torch.arange(3 * RATE_HZ) / RATE_HZ).sin()
    added, missing = terms(waveform, waveform + tone), terms(waveform + tone, waveform)
    assert added["added_loudness"] > 10 * missing["added_loudness"]


def test_both_sounds_may_be_louder() -> None:
    waveform, decoded = speech(), noisy(speech(), 10)
    quiet, loud = terms(waveform, decoded), terms(4 * waveform, 4 * decoded)
    for name, value in quiet.items():
        assert abs(loud[name] - value) < 1e-3 * value


def test_silence_has_finite_gradients() -> None:
    decoded = torch.zeros(2, 1, 4000, requires_grad=True)
    total = sum(LoudnessLoss()(torch.zeros(2, 1, 4000), decoded).values())
    torch.as_tensor(total).backward()
    assert decoded.grad is not None
    assert decoded.grad.isfinite().all()


def test_levels_are_sound_pressures() -> None:
    """A tone of mean square 1 has the pressure of speech, in whatever bands it falls."""
    tone = 2**0.5 * (2 * torch.pi * 1000 * torch.arange(RATE_HZ) / RATE_HZ).sin()
    powers = LoudnessLoss().powers(tone[None])[0, :, 5:-5]
    assert float(10 * powers.sum(0).log10().mean()) == pytest.approx(SPEECH_DB, abs=2)


def test_bands_of_hearing() -> None:
    bands, centres = bark_bands()
    assert bands.shape[0] == BANDS
    assert (bands.sum(1) > 0.5).all()
    assert (centres.diff() > 0).all()
    threshold = hearing_threshold_db(centres)
    assert 2500 < float(centres[threshold.argmin()]) < 4500
