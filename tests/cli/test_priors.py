"""`--prior static|learned` of the shipped model: two files of the same tokens, each read back by whoever opens it."""

import json
from pathlib import Path

import pytest

from tests.cli.test_command_line import USAGE, codec

PHOTO = Path("docs/samples/kodim23.png")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("priors")
    for prior in ("static", "learned"):
        codec("encode", PHOTO, folder / f"{prior}.lmc", "--model", "image-tokens-f8", "--prior", prior)
    codec("encode", PHOTO, folder / "default.lmc", "--model", "image-tokens-f8")
    return {name: folder / f"{name}.lmc" for name in ("static", "learned", "default")}


def test_the_learned_prior_is_the_default_and_much_smaller(files: dict[str, Path]) -> None:
    assert files["default"].read_bytes() == files["learned"].read_bytes()
    assert files["learned"].stat().st_size < 0.8 * files["static"].stat().st_size


def test_both_files_decode_to_the_same_picture(files: dict[str, Path], tmp_path: Path) -> None:
    for name in ("static", "learned"):
        codec("decode", files[name], tmp_path / f"{name}.png")
        codec("verify", files[name])
    assert (tmp_path / "static.png").read_bytes() == (tmp_path / "learned.png").read_bytes()


def test_both_hashes_belong_to_the_model(files: dict[str, Path]) -> None:
    hashes = {json.loads(codec("info", files[name], "--json").stdout)["coding_hash"] for name in ("static", "learned")}
    (model,) = (row for row in json.loads(codec("models", "--json").stdout) if row["name"] == "image-tokens-f8")
    assert {text[:16] for text in model["coding_hashes"].values()} == hashes


def test_unknown_and_missing_priors_are_refused(tmp_path: Path) -> None:
    assert b"static" in codec("encode", PHOTO, tmp_path / "a.lmc", "--prior", "best", code=USAGE).stderr
    absent = codec("encode", PHOTO, tmp_path / "a.lmc", "--model", "tiny", "--prior", "learned", code=USAGE)
    assert b"no learned prior" in absent.stderr
    assert not (tmp_path / "a.lmc").exists()
