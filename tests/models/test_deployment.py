"""A low-bit checkpoint: it reads the original's files, loses little, is smaller, and its widths keep to a budget."""

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from codec.models import LatentCodec, TokenCodec, checkpoint
from codec.models.deployment import (
    Model,
    bits_within,
    decoded,
    deploy,
    examples_of,
    low_bit_copy,
    synthesis_of,
    uniform_bits,
)
from codec.nn import PatchDecoder, PatchEncoder, principal_basis
from codec.nn.sensitivity import damage, damage_of_db
from codec.types import Media
from tests.conftest import synthetic_picture
from tests.models.latent_models import CONFIG as LATENT_CONFIG
from tests.models.latent_models import small_latent_codec

CONFIG: dict[str, Any] = {
    "_target_": "codec.models.TokenCodec",
    "latent_dim": 4,
    "encoder": {"_target_": "codec.nn.PatchEncoder", "latent_dim": 4, "width": 8, "depth": 1},
    "quantizer": {"_target_": "codec.quantizers.FSQ", "levels": [5, 5, 5, 5]},
    "decoder": {"_target_": "codec.nn.PatchDecoder", "latent_dim": 4, "width": 32, "depth": 2, "mend_width": 8},
}
PICTURES = [synthetic_picture(64, 96, seed)[None] for seed in range(2)]


@pytest.fixture
def original(tmp_path: Path) -> Path:
    model = checkpoint.build(CONFIG)
    assert isinstance(model, TokenCodec)
    basis = principal_basis([pixels / 255 for pixels in PICTURES], 4, 8, step=1.0)
    cast(PatchEncoder, model.encoder).start_from(basis)
    cast(PatchDecoder, model.decoder).start_from(basis)
    with torch.no_grad():
        for parameter in cast(PatchDecoder, model.decoder).leave.parameters():
            parameter.add_(0.01 * torch.randn_like(parameter))
    return checkpoint.save(tmp_path / "mine", model, CONFIG, "# mine\n\nA test.\n").folder


def loaded(folder: Path) -> TokenCodec:
    return checkpoint.load_as(TokenCodec, folder)


def psnr(model: Model, pictures: list[Tensor], qualities: Sequence[int] = ()) -> Tensor:
    errors = [(back - pixels / 255).square().mean() for pixels, back in decoded(model, pictures, qualities)]
    return -10 * torch.log10(torch.stack(errors)).mean()


def test_low_bit_checkpoint_decodes_the_same_file(original: Path, tmp_path: Path) -> None:
    model = loaded(original)
    before = psnr(model, PICTURES)
    assert before > 17
    media = Media("image", PICTURES[0][0])
    data = model.compress(media)
    transform = synthesis_of(model)
    low = low_bit_copy(transform, uniform_bits(transform, 8))
    config = deploy(model, CONFIG, low)
    info = checkpoint.save(tmp_path / "mine-int8", model, config, "")
    assert info.coding_hashes == checkpoint.read_info(original).coding_hashes
    assert info.bytes < 0.75 * checkpoint.read_info(original).bytes
    saved = loaded(info.folder)
    assert abs(psnr(saved, PICTURES) - before) < 0.05
    assert saved.compress(media) == data
    there, back = saved.decompress(data).samples.int(), loaded(original).decompress(data).samples.int()
    assert (there - back).abs().max() <= 4
    x = examples_of(saved, PICTURES, [])[0].inputs
    assert torch.equal(synthesis_of(saved)(*x), low(*x))


def test_low_bit_synthesis_of_a_continuous_model(tmp_path: Path) -> None:
    model, qualities = copy.deepcopy(small_latent_codec()), [20, 80]
    media, before = Media("image", PICTURES[0][0]), psnr(model, PICTURES, qualities)
    data, transform = model.compress(media), synthesis_of(model)
    assert len(examples_of(model, PICTURES, qualities)) == 4
    config = deploy(model, LATENT_CONFIG, low_bit_copy(transform, uniform_bits(transform, 8)))
    saved = checkpoint.load_as(LatentCodec, checkpoint.save(tmp_path / "low", model, config, "").folder)
    assert saved.compress(media) == data
    assert saved.decompress(data).samples.shape == media.samples.shape
    assert abs(psnr(saved, PICTURES, qualities) - before) < 0.05


def test_allocated_widths_keep_to_the_budget_and_beat_one_width(original: Path) -> None:
    model, lines = loaded(original), list[str]()
    examples, transform = examples_of(model, PICTURES, []), synthesis_of(model)
    originals = [transform(*example.inputs) for example in examples]
    bits = bits_within(transform, examples, 0.05, lines.append)
    assert damage(low_bit_copy(transform, bits), examples, originals) <= damage_of_db(0.05)
    assert len(set(bits.values())) > 1
    assert "the sum over layers is" in lines[-1]
    assert damage(low_bit_copy(transform, dict.fromkeys(bits, 2)), examples, originals) > damage_of_db(0.05)
