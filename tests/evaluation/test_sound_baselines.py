"""Classical codecs of sound: real bytes near the bit rate, decoded in place to the sample, and rows of a table."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from codec.errors import UsageError
from codec.evaluation import SOUND_BASELINES, MelDistance, SoundBaseline, measure_sound, si_sdr, summarise_sounds
from codec.evaluation.alignment import find_delay
from codec.types import Media
from tests.evaluation.test_speech_quality import speech


def sweep(rate_hz: int, seconds: float = 1.0, channels: int = 1) -> Tensor:
    """Rising tones of other speeds in each channel, `(C, N)`: no two moments are alike."""
    time = torch.arange(int(seconds * rate_hz), dtype=torch.float64) / rate_hz
    tones = [torch.sin(2 * torch.pi * (200 + 100 * c + 500 * (c + 1) * time) * time) for c in range(channels)]
    return 0.3 * torch.stack(tones).float()


@pytest.fixture(params=SOUND_BASELINES)
def baseline(request: pytest.FixtureRequest) -> SoundBaseline:
    return SOUND_BASELINES[request.param]


@pytest.mark.parametrize(("rate_hz", "channels"), [(16_000, 1), (24_000, 2), (44_100, 1)])
def test_what_is_decoded_lies_where_it_was(baseline: SoundBaseline, rate_hz: int, channels: int) -> None:
    media = Media("audio", sweep(rate_hz, channels=channels), rate=rate_hz)
    coded = baseline.code(media, 64 * channels)
    assert coded.decoded.shape == media.samples.shape
    assert coded.decoded.dtype == torch.float32
    assert coded.name == f"{baseline.name} {64 * channels}"
    for original, decoded in zip(media.samples, coded.decoded, strict=True):
        delay = find_delay(original, decoded, 500)
        assert abs(delay) <= (baseline.name == "opus_voip")  # which takes off low frequencies, and so moves phases
        assert si_sdr(original[rate_hz // 10 : -rate_hz // 10], decoded[rate_hz // 10 : -rate_hz // 10]) > 12
    assert min(coded.encode_seconds, coded.decode_seconds) > 0


@pytest.mark.parametrize("frames", [1, 100, 1152, 1153, 5000])
def test_every_length_comes_back(baseline: SoundBaseline, frames: int) -> None:
    samples = sweep(24_000)[:, :frames]
    data = baseline.encode(samples, 24_000, 32)
    assert baseline.decode(data, 24_000, frames).shape == (1, frames)


def test_bit_rates_are_those_of_the_file(baseline: SoundBaseline) -> None:
    sound = torch.randn(1, 48_000, generator=torch.Generator().manual_seed(0)) * 0.1
    sizes = [len(baseline.encode(sound, 16_000, kbps)) for kbps in (16, 32)]
    for kbps, size in zip((16, 32), sizes, strict=True):
        assert 0.7 * kbps < 8 * size / 3 / 1000 < 1.1 * kbps + 1.5
    with pytest.raises(UsageError, match="above 0 kbit/s, got 0"):
        baseline.encode(sound, 16_000, 0)


def test_bits_buy_quality() -> None:
    media = Media("audio", speech()[None], rate=16_000)
    baseline, distance = SOUND_BASELINES["opus"], MelDistance(16_000)
    found = [float(distance(media.samples, baseline.code(media, kbps).decoded)) for kbps in (6, 12, 32)]
    assert found == sorted(found, reverse=True)


def test_rates_that_a_codec_lacks_are_coded_at_the_next() -> None:
    opus = SOUND_BASELINES["opus"]
    rates = {rate: opus.coded_rate_hz(rate) for rate in (8_000, 11_025, 16_000, 44_100, 96_000)}
    assert rates == {8_000: 8_000, 11_025: 12_000, 16_000: 16_000, 44_100: 48_000, 96_000: 48_000}


def test_rows_and_their_means() -> None:
    media, opus = Media("audio", speech()[None], rate=16_000), SOUND_BASELINES["opus"]
    better, worse = (measure_sound("a", "speech", media, opus.code(media, kbps)) for kbps in (24, 9))
    assert better.pesq is not None
    assert worse.pesq is not None
    assert better.pesq > worse.pesq
    assert better.mel_distance < worse.mel_distance
    assert worse.kbps == pytest.approx(8 * worse.bytes / 3 / 1000)
    music = measure_sound("b", "music", media, opus.code(media, 9))
    assert (music.pesq, music.stoi) == (None, None)
    rows = [worse, replace(worse, pesq=worse.pesq + 1, kbps=worse.kbps + 2), music, better]
    means = summarise_sounds(rows)
    assert [(row.kind, row.codec, row.clips) for row in means] == [
        ("speech", "opus 9", 2),
        ("music", "opus 9", 1),
        ("speech", "opus 24", 1),
    ]
    assert means[0].pesq == pytest.approx(worse.pesq + 0.5)
    assert means[0].kbps == pytest.approx(worse.kbps + 1)
    assert means[1].stoi is None


def test_what_cannot_be_measured_is_not_left_out() -> None:
    media, opus = Media("audio", torch.zeros(1, 16_000), rate=16_000), SOUND_BASELINES["opus"]
    coded = opus.code(media, 9)
    with pytest.raises(UsageError, match="PESQ of speech/quiet: the original is silent"):
        measure_sound("speech/quiet", "speech", media, coded)
    assert measure_sound("sound/quiet", "sound", media, coded).mel_distance < 1
    with pytest.raises(ValueError, match="decoded by opus 9"):
        measure_sound("a", "sound", Media("audio", torch.zeros(1, 15_999), rate=16_000), coded)
