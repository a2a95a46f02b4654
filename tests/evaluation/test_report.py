"""Tables, their JSON, and labelled panels."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from codec.evaluation import (
    BASELINES,
    CodedImage,
    ImageResult,
    measure,
    ms_ssim,
    psnr,
    side_by_side,
    summarise,
    to_json,
)
from tests.conftest import synthetic_picture

ROW = ImageResult("a", "1.png", 100, 0.5, 30.0, 0.9, 1.0, 2.0)


def test_measure_fills_a_row() -> None:
    picture = synthetic_picture(161, 170)
    coded = BASELINES["jpeg"].code(picture, 50)
    row = measure("x.png", picture, coded)
    assert (row.codec, row.image, row.bytes) == ("jpeg", "x.png", len(coded.data))
    assert row.bits_per_pixel == 8 * len(coded.data) / (161 * 170)
    assert (row.psnr_db, row.ms_ssim) == (psnr(picture, coded.decoded), ms_ssim(picture, coded.decoded))
    assert (row.encode_seconds, row.decode_seconds) == (coded.encode_seconds, coded.decode_seconds)


def test_small_pictures_have_no_ms_ssim() -> None:
    picture = synthetic_picture(160, 170)
    row = measure("x", picture, CodedImage("own", None, b"12", picture, 0.1, 0.1))
    assert row.ms_ssim is None
    assert row.psnr_db == math.inf


def test_means_by_codec_in_order() -> None:
    rows = [
        ROW,
        replace(ROW, codec="b", ms_ssim=None),
        replace(ROW, image="2.png", bytes=300, psnr_db=40.0, ms_ssim=0.7),
    ]
    first, second = summarise(rows)
    assert (first.codec, first.images, first.bytes, first.psnr_db) == ("a", 2, 200, 35)
    assert first.ms_ssim == pytest.approx(0.8)
    assert (second.codec, second.images, second.ms_ssim) == ("b", 1, None)
    assert summarise([*rows, replace(ROW, ms_ssim=None)])[0].ms_ssim is None
    assert summarise([]) == []


def test_json_holds_rows_and_means(tmp_path: Path) -> None:
    to_json([ROW, replace(ROW, psnr_db=math.inf, ms_ssim=None)], tmp_path / "table.json")
    content = json.loads((tmp_path / "table.json").read_text())
    assert ImageResult(**content["images"][0]) == ROW
    assert content["images"][1]["psnr_db"] == content["means"][0]["psnr_db"] == "inf"
    assert content["means"][0]["images"] == 2
    assert content["means"][0]["ms_ssim"] is None


def test_side_by_side_shows_every_picture_and_label() -> None:
    colour, grey = synthetic_picture(90, 120), synthetic_picture(60, 50, seed=1)[:1]
    row = torch.from_numpy(np.array(side_by_side([("original", colour), ("a label wider than its picture", grey)])))
    row = row.permute(2, 0, 1)
    assert torch.equal(row[:, :90, :120], colour)
    left = (row.shape[2] + 122 - 50) // 2
    assert torch.equal(row[:, 30:90, left : left + 50], grey.expand(3, -1, -1))
    for columns in (slice(0, 120), slice(122, None)):
        assert row[0, 90:, columns].min() < 100
        assert row[0, -2:, columns].min() == 255


def test_side_by_side_needs_a_picture() -> None:
    with pytest.raises(ValueError, match="at least one"):
        side_by_side([])
