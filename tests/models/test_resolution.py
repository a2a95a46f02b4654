"""Which checkpoint a name or a hash means, also where several decode the same files."""

from pathlib import Path
from typing import Any

import pytest
import torch

from codec.errors import ModelNotFoundError
from codec.models import checkpoint
from tests.models.test_checkpoint import CONFIG


def save(folder: Path, *names: str, config: dict[str, Any] = CONFIG) -> None:
    """Checkpoints with one coding part; each has another decoder."""
    for seed, name in enumerate(names):
        torch.manual_seed(seed)
        checkpoint.save(folder / name, checkpoint.build(config), config, "")  # type: ignore[arg-type]


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CODEC_CHECKPOINTS", str(tmp_path))
    save(tmp_path, "small-sharp", "small-2", "small-10", "small-calm", "small")
    other = CONFIG | {"quantizer": CONFIG["quantizer"] | {"levels": [5, 5, 5, 4]}}
    save(tmp_path, "a", config=other)
    return tmp_path


def hash_of(folder: Path) -> str:
    return checkpoint.read_info(folder).coding_hashes["static"]


def test_a_shared_hash_means_the_shortest_name_and_its_newest_version(known: Path) -> None:
    shared = hash_of(known / "small")
    assert checkpoint.find(shared).name == checkpoint.find(shared[:16]).name == "small-10"
    for name in ("small", "small-2", "small-10"):
        for file in (known / name).iterdir():
            file.unlink()
    assert checkpoint.find(shared).name == "small-calm"  # before small-sharp in the alphabet


def test_a_name_means_its_newest_version_and_no_relative(known: Path) -> None:
    assert checkpoint.find("small").name == "small-10"
    assert checkpoint.find("small-2").name == "small-2"
    assert checkpoint.find("small-sharp").name == "small-sharp"
    with pytest.raises(ModelNotFoundError, match="no model 'small-s'"):
        checkpoint.find("small-s")


def test_those_that_decode_the_same_files_are_listed(known: Path) -> None:
    infos = {info.name: info for info in checkpoint.list_checkpoints()}
    shared = checkpoint.sharing(infos["small"], list(infos.values()))
    assert [info.name for info in shared] == ["small-10", "small-2", "small-calm", "small-sharp"]
    assert checkpoint.sharing(infos["a"], list(infos.values())) == []


def test_built_parts_get_plain_values() -> None:
    """No wrapper of a configuration library reaches a constructor."""
    model: Any = checkpoint.build(CONFIG)
    assert model.quantizer.digits.radices.tolist() == [5, 5, 5, 5]
    assert checkpoint.build({"_target_": "torch.nn.Linear", "in_features": 2, "out_features": 3}).in_features == 2
