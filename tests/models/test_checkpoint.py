"""Checkpoints: save, load, find; nothing foreign is ever instantiated."""

from pathlib import Path
from typing import Any

import pytest
import torch

from codec.errors import ModelNotFoundError
from codec.models import checkpoint
from codec.training.export import round_codewords
from tests.conftest import synthetic_picture

CONFIG: dict[str, Any] = {
    "_target_": "codec.models.TokenCodec",
    "latent_dim": 4,
    "tile": 4,
    "encoder": {"_target_": "codec.nn.PatchEncoder", "latent_dim": 4, "width": 8, "depth": 1},
    "quantizer": {"_target_": "codec.quantizers.FSQ", "levels": [5, 5, 5, 5]},
    "decoder": {"_target_": "codec.nn.PatchDecoder", "latent_dim": 4, "width": 8, "depth": 1, "mend_width": 4},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    model = checkpoint.build(CONFIG)
    checkpoint.save(tmp_path / "mine", model, CONFIG, "# mine\n\nA test.\n")  # type: ignore[arg-type]
    return tmp_path / "mine"


def test_a_loaded_model_makes_the_same_codes(folder: Path) -> None:
    picture = synthetic_picture(40, 40)[None]
    one, two = checkpoint.load(folder), checkpoint.load(folder)
    assert torch.equal(one.encode(picture).planes[0].codes, two.encode(picture).planes[0].codes)
    assert one.coding_hash().hex() == checkpoint.read_info(folder).coding_hashes["static"]


def test_codewords_of_eight_bits_take_half_the_space_and_lose_nothing_more(tmp_path: Path) -> None:
    codebook = {"_target_": "codec.quantizers.EMACodebook", "codebook_size": 512, "dim": 4}
    config = CONFIG | {"quantizer": {"_target_": "codec.quantizers.VectorQuantizer", "codebook": codebook}}
    model: Any = checkpoint.build(config)
    model.quantizer.start(torch.randn(2000, 4))
    sizes = [checkpoint.save(tmp_path / "half", model, config, "").bytes]
    round_codewords(model.quantizer)
    sizes.append(checkpoint.save(tmp_path / "eight", model, config, "").bytes)
    assert sizes[0] - sizes[1] == pytest.approx(512 * 4, abs=16)  # the header is filled up to whole words
    stored: Any = checkpoint.load(tmp_path / "eight")
    assert torch.equal(stored.quantizer.codebook.rows, model.quantizer.codebook.rows)


def test_find_by_name_newest_version_and_hash(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEC_CHECKPOINTS", str(folder.parent))
    checkpoint.save(folder.parent / "mine-2", checkpoint.build(CONFIG), CONFIG, "")  # type: ignore[arg-type]
    assert checkpoint.find("mine").name == "mine-2"
    assert checkpoint.find("mine-2").name == "mine-2"
    assert checkpoint.find(checkpoint.read_info(folder).coding_hashes["static"][:16]).coding_hashes
    with pytest.raises(ModelNotFoundError, match=r"no model 'other'; known models: .*mine"):
        checkpoint.find("other")


@pytest.mark.parametrize(
    "target",
    ["os.system", "codec.cli.main", "codec.models.checkpoint.load", "torch.nn.Module.cuda", "torch.load", "codec.nn.torch",
     "codec.quantizers.nearest", "builtins.eval"],
)  # fmt: skip
def test_foreign_targets_are_refused(target: str) -> None:
    with pytest.raises(ModelNotFoundError, match="refused target"):
        checkpoint.build(CONFIG | {"prior": {"_target_": target}})


def test_changed_tables_are_noticed(folder: Path) -> None:
    weights = folder / "model.safetensors"
    data = bytearray(weights.read_bytes())
    at = data.index(b'"coding_hash":"') + len(b'"coding_hash":"')
    data[at] = ord("0") if data[at] != ord("0") else ord("1")
    weights.write_bytes(data)
    with pytest.raises(ModelNotFoundError, match="does not match its hash"):
        checkpoint.load(folder)


def test_not_a_checkpoint(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(ModelNotFoundError, match="not a safetensors file"):
        checkpoint.find(tmp_path)
