"""Continuous quality from the command line, in fresh processes: targets, regions, progressive files, truncation."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from codec.evaluation import psnr
from codec.media import read_image
from codec.models import save
from tests.conftest import synthetic_picture
from tests.models.latent_models import CONFIG, small_latent_codec


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoints")
    save(folder / "small-latent", small_latent_codec(), CONFIG, "# small-latent\n\nA test.\n")
    return folder


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    Image.fromarray(synthetic_picture(130, 170, 9).permute(1, 2, 0).numpy()).save(path)
    return path


def codec(checkpoints: Path, *arguments: object, code: int = 0) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run(
        [sys.executable, "-m", "codec", *map(str, arguments)],
        capture_output=True,
        env=os.environ | {"CODEC_CHECKPOINTS": str(checkpoints)},
        timeout=120,
        check=False,
    )
    assert done.returncode == code, (done.returncode, done.stderr.decode())
    assert b"Traceback" not in done.stderr
    return done


def encode(checkpoints: Path, photo: Path, name: str, *options: object) -> Path:
    target = photo.with_name(name)
    codec(checkpoints, "encode", photo, target, "--model", "small-latent", *options)
    return target


def test_a_target_size_then_fewer_planes(checkpoints: Path, photo: Path) -> None:
    target = encode(checkpoints, photo, "sized.lmc", "--target-size", 1000)
    assert 980 <= target.stat().st_size <= 1000
    cut = photo.with_name("cut.lmc")
    codec(checkpoints, "truncate", target, cut, "--planes", 3)
    assert cut.stat().st_size < target.stat().st_size
    scores = []
    for file in (cut, target):
        codec(checkpoints, "decode", file, file.with_suffix(".png"))
        scores.append(psnr(read_image(photo).samples, read_image(file.with_suffix(".png")).samples))
    assert 15 < scores[0] < scores[1]
    facts = json.loads(codec(checkpoints, "info", cut, "--json").stdout)
    assert len(facts["alphabets"]) == 3
    assert 0 <= facts["gain"] <= 1023
    refused = codec(checkpoints, "truncate", target, cut, "--planes", 3, code=2).stderr.decode()
    assert "use --force" in refused
    refused = codec(checkpoints, "truncate", target, cut, "--force", "--planes", 1, code=2).stderr.decode()
    assert "can keep 2 to 5 planes" in refused


def test_a_progressive_file_cut_by_a_network(checkpoints: Path, photo: Path) -> None:
    whole = encode(checkpoints, photo, "whole.lmc", "--quality", 80, "--progressive")
    front = photo.with_name("front.lmc")
    front.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    codec(checkpoints, "decode", front, photo.with_name("front.png"), code=4)
    codec(checkpoints, "decode", front, photo.with_name("front.png"), "--partial")
    assert psnr(read_image(photo).samples, read_image(photo.with_name("front.png")).samples) > 15


def test_a_mask_says_where_quality_goes(checkpoints: Path, photo: Path) -> None:
    mask = photo.with_name("mask.png")
    white = torch.zeros(130, 170, dtype=torch.uint8)
    white[:64, :64] = 255
    Image.fromarray(white.numpy()).save(mask)
    plain = encode(checkpoints, photo, "plain.lmc", "--quality", 60)
    chosen = encode(checkpoints, photo, "chosen.lmc", "--quality", 60, "--roi", mask)
    assert chosen.stat().st_size < plain.stat().st_size
    codec(checkpoints, "decode", chosen, photo.with_name("chosen.png"))
    original, decoded = (read_image(path).samples for path in (photo, photo.with_name("chosen.png")))
    assert psnr(original[:, :48, :48], decoded[:, :48, :48]) > psnr(original[:, 70:, 70:], decoded[:, 70:, 70:]) + 1
    Image.fromarray(white[:5].numpy()).save(mask)
    refused = codec(checkpoints, "encode", photo, "x.lmc", "--model", "small-latent", "--roi", mask, code=2)
    assert b"the mask has 170x5 pixels" in refused.stderr


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--target-size", "10"], "the coarsest quality takes"),
        (["--target-psnr", "90"], "this picture can have"),
        (["--target-bpp", "-1"], "greater than 0"),
        (["--quality", "50", "--target-bpp", "1"], "not allowed with"),
    ],
)
def test_what_cannot_be_reached_is_said(checkpoints: Path, photo: Path, options: list[str], complaint: str) -> None:
    done = codec(checkpoints, "encode", photo, photo.with_suffix(".lmc"), "--model", "small-latent", *options, code=2)
    assert complaint in done.stderr.decode()
    assert not photo.with_suffix(".lmc").exists()


def test_curves_of_a_continuous_model(checkpoints: Path, photo: Path) -> None:
    done = codec(
        checkpoints,
        "eval",
        photo.parent,
        "--model",
        "small-latent",
        "--baselines",
        "jpeg",
        "--qualities",
        "20,60,80,99",
        "--curves",
    )
    assert b"small-latent" in done.stdout
    assert b"BD-rate" in done.stdout
