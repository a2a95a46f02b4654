"""Which generative model is meant: of the codes at hand, by name, its newest version, and one that can do what is wanted."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from codec.errors import ModelMismatchError, ModelNotFoundError
from codec.generation import find_generator
from codec.generation.checkpoint import FORMAT, WEIGHTS

ONE, OTHER = "11" * 32, "22" * 32


def write(folder: Path, name: str, coding_hash: str, *, masked: bool = True, coder: str | None = "33" * 32) -> None:
    (folder / name).mkdir()
    facts = {"format": FORMAT, "tokenizer": "tokens", "coding_hash": coding_hash, "masked": str(masked)}
    save_file({"weight": torch.zeros(1)}, folder / name / WEIGHTS, facts | ({"coder_hash": coder} if coder else {}))


@pytest.fixture(autouse=True)
def checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CODEC_CHECKPOINTS", str(tmp_path))
    write(tmp_path, "tokens-generator", ONE)
    write(tmp_path, "tokens-generator-2", ONE, masked=False, coder=None)
    write(tmp_path, "tokens-generator-10", OTHER)
    write(tmp_path, "a-long-name-of-a-generator", ONE)
    return tmp_path


def test_the_newest_version_of_these_codes_is_meant() -> None:
    assert find_generator(ONE).name == "tokens-generator-2"
    assert find_generator(ONE, "tokens-generator").name == "tokens-generator-2"
    assert find_generator(OTHER).name == "tokens-generator-10"


def test_one_that_can_do_what_is_wanted_is_meant(checkpoints: Path) -> None:
    assert find_generator(ONE, masked=True).name == "tokens-generator"
    assert find_generator(ONE, "tokens-generator", coder=True).name == "tokens-generator"
    assert find_generator(ONE, checkpoints / "a-long-name-of-a-generator").name == "a-long-name-of-a-generator"


def test_a_coder_does_nothing_else_if_there_is_one(checkpoints: Path) -> None:
    write(checkpoints, "a-still-longer-name-of-a-raster-generator", ONE, masked=False)
    assert find_generator(ONE, coder=True).name == "a-still-longer-name-of-a-raster-generator"
    assert find_generator(ONE).name == "tokens-generator-2"
    assert find_generator(ONE, masked=True).name == "tokens-generator"
    assert find_generator(ONE, causal=True).name == "tokens-generator-2"
    assert find_generator(OTHER, causal=True).name == "tokens-generator-10"


def test_another_tokenizers_or_an_unknown_one_is_refused() -> None:
    with pytest.raises(ModelMismatchError, match="others"):
        find_generator(OTHER, "a-long-name-of-a-generator")
    with pytest.raises(ModelNotFoundError, match="tokens-generator"):
        find_generator("44" * 32)
