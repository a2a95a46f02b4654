"""Classical codecs reach target sizes and give the right shape back."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import features

from codec.errors import UsageError
from codec.evaluation import BASELINES, Baseline, psnr
from codec.media import read_image
from tests.conftest import synthetic_picture


@pytest.fixture(params=sorted(set(BASELINES) - {"avif_slow"}))  # which is `avif` with one more option
def baseline(request: pytest.FixtureRequest) -> Baseline:
    if request.param == "jxl":
        pytest.importorskip("pillow_jxl")
    return BASELINES[request.param]


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (61, 83)])
@pytest.mark.parametrize("channels", [1, 3])
def test_shape_comes_back(baseline: Baseline, size: tuple[int, int], channels: int) -> None:
    samples = synthetic_picture(*size)[:channels]
    coded = baseline.code(samples, 90)
    assert coded.decoded.shape == samples.shape
    assert coded.decoded.dtype == torch.uint8
    assert psnr(samples, coded.decoded) > 25
    assert (coded.name, coded.quality) == (baseline.name, 90)
    assert coded.encode_seconds > 0
    assert coded.decode_seconds > 0


def test_quality_buys_fidelity(baseline: Baseline) -> None:
    samples = synthetic_picture(64, 80)
    worse, better = (baseline.code(samples, quality) for quality in (10, 80))
    assert len(worse.data) < len(better.data)
    assert psnr(samples, worse.decoded) < psnr(samples, better.decoded)


@pytest.mark.parametrize("at_least", [True, False])
def test_target_size(baseline: Baseline, at_least: bool) -> None:
    samples = synthetic_picture(64, 80)
    low, high = (len(baseline.encode(samples, quality)) for quality in (15, 85))
    target = (low + high) // 2
    coded = baseline.at_size(samples, target, at_least=at_least)
    assert coded.quality is not None
    size, neighbour = len(coded.data), len(baseline.encode(samples, coded.quality + (-1 if at_least else 1)))
    assert neighbour < target <= size if at_least else size <= target < neighbour


def test_exact_size_is_found_from_both_sides(baseline: Baseline) -> None:
    samples = synthetic_picture(64, 80)
    size = len(baseline.encode(samples, 50))
    assert len(baseline.at_size(samples, size).data) == size
    assert len(baseline.at_size(samples, size, at_least=False).data) == size


def test_sizes_out_of_reach_raise(baseline: Baseline) -> None:
    samples = synthetic_picture(16, 16)
    with pytest.raises(UsageError, match=f"{baseline.name} has no quality .* at least 10000000 bytes"):
        baseline.at_size(samples, 10_000_000)
    with pytest.raises(UsageError, match="at most 3 bytes"):
        baseline.at_size(samples, 3, at_least=False)


def test_wrong_quality_raises(baseline: Baseline) -> None:
    with pytest.raises(UsageError, match=rf"qualities \d to {baseline.qualities[1]}, got 101"):
        baseline.encode(synthetic_picture(8, 8), 101)


def test_missing_library_is_named(baseline: Baseline) -> None:
    missing = next((feature for feature in features.features if not features.check(feature)), None)
    if missing is None:
        pytest.skip("this build of Pillow has every feature")
    with pytest.raises(UsageError, match=f"no {missing!r}.*{baseline.name}"):
        replace(baseline, feature=missing).encode(synthetic_picture(8, 8), 50)


def test_full_chroma_keeps_more_colour() -> None:
    samples = synthetic_picture(64, 64)
    samples[0] = torch.randint(0, 256, (64, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    half, full = (psnr(samples, BASELINES[name].code(samples, 90).decoded) for name in ("avif", "avif444"))
    assert full > half + 1


def test_time_buys_fidelity() -> None:
    samples = read_image(Path("docs/samples/kodim23.png")).samples[:, 100:228, 200:328]
    slow = BASELINES["avif_slow"].code(samples, 30)
    fast = BASELINES["avif"].at_size(samples, len(slow.data), at_least=True)
    assert psnr(samples, slow.decoded) > psnr(samples, fast.decoded) + 0.1


def test_missing_plugin_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_jxl", None)
    with pytest.raises(UsageError, match=r"baseline jxl needs pillow_jxl: see the extra `jxl`"):
        BASELINES["jxl"].encode(synthetic_picture(8, 8), 50)


def test_qualities_of_a_curve_rise_within_the_range(baseline: Baseline) -> None:
    assert list(baseline.curve) == sorted(set(baseline.curve))
    assert baseline.qualities[0] <= baseline.curve[0] < baseline.curve[-1] <= baseline.qualities[1]
    assert len(baseline.curve) >= 4


def test_jpeg2000_hits_the_size_of_its_quality_and_transforms_colour() -> None:
    samples = read_image(Path("docs/samples/kodim07.png")).samples
    coded = BASELINES["jpeg2000"].code(samples, 37)
    assert len(coded.data) == pytest.approx(samples.numel() / 2**6.3, rel=0.02)
    assert psnr(samples, coded.decoded) > 31  # 28.5 dB without the colour transform
