"""Curves of a model with continuous quality, through real bytes."""

from pathlib import Path

import pytest
import torch
from PIL import Image

from codec.evaluation import (
    BASELINES,
    CURVE_QUALITIES,
    anchor_of,
    code_with_model,
    measure_curve,
    measure_model_curve,
    psnr,
    report_curves,
)
from codec.models.base import PLAIN, Encoding
from codec.types import Media
from tests.conftest import synthetic_picture

QUALITIES = (10, 30, 60, 80, 90)


class JPEGModel:
    """A codec of continuous rate that is small and known: its files are JPEGs."""

    def compress(self, media: Media, encoding: Encoding = PLAIN) -> bytes:
        return BASELINES["jpeg"].encode(media.samples, encoding.quality or 50)

    def decompress(self, data: bytes) -> Media:
        return Media("image", BASELINES["jpeg"].decode(data))


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    found = [tmp_path / f"{seed}.png" for seed in range(2)]
    for seed, file in enumerate(found):
        Image.fromarray(synthetic_picture(170 + seed, 176, seed).permute(1, 2, 0).numpy()).save(file)
    return found


def test_a_point_is_the_mean_over_pictures_of_real_files(files: list[Path]) -> None:
    curve = measure_model_curve("model", JPEGModel(), files, QUALITIES)
    assert (curve.name, tuple(point.quality for point in curve.points)) == ("model", QUALITIES)
    pictures = [synthetic_picture(170 + seed, 176, seed) for seed in range(2)]
    coded = [BASELINES["jpeg"].code(picture, 60) for picture in pictures]
    rates = [8 * len(one.data) / (picture.shape[1] * 176) for one, picture in zip(coded, pictures, strict=True)]
    qualities = [psnr(picture, one.decoded) for one, picture in zip(coded, pictures, strict=True)]
    assert curve.points[2].bits_per_pixel == pytest.approx(sum(rates) / 2)
    assert curve.points[2].psnr_db == pytest.approx(sum(qualities) / 2)
    assert curve.points[2].ms_ssim is not None


def test_usual_qualities_rise_from_end_to_end() -> None:
    assert (CURVE_QUALITIES[0], CURVE_QUALITIES[-1]) == (1, 100)
    assert list(CURVE_QUALITIES) == sorted(set(CURVE_QUALITIES))


def test_coding_tells_the_quality_and_the_time() -> None:
    picture = synthetic_picture(40, 50)
    coded = code_with_model("model", JPEGModel(), Media("image", picture), Encoding(quality=20))
    assert (coded.name, coded.quality) == ("model", 20)
    assert torch.equal(coded.decoded, BASELINES["jpeg"].code(picture, 20).decoded)
    assert min(coded.encode_seconds, coded.decode_seconds) > 0


def test_every_curve_is_compared_with_jpeg(files: list[Path]) -> None:
    jpeg, same = measure_curve(BASELINES["jpeg"], files), measure_model_curve("same", JPEGModel(), files, QUALITIES)
    report = report_curves([jpeg], model_curves=[same], published=[anchor_of(jpeg)])
    assert [(row.anchor, row.test) for row in report.bd_rates] == [("jpeg", "same"), ("jpeg", "jpeg")]
    assert report.bd_rates[0].bd_rate_psnr_percent == pytest.approx(0, abs=8)  # few points, another interpolation
    assert report.bd_rates[1].bd_rate_psnr_percent == pytest.approx(0)
    assert report.bd_rates[1].bd_rate_ms_ssim_percent == pytest.approx(0)
    assert report.model_curves == (same,)
    assert report_curves([], model_curves=[same]).bd_rates == ()
