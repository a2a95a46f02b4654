"""ESC whole: the experiment's model codes sounds at four rates, in files that are cut to whole resolutions."""

import io
import math
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from codec.errors import UsageError
from codec.models import SoundCodec, load_as
from codec.models.checkpoint import build, save
from codec.types import Codes
from tests.models.sound_models import tones

CONFIGS = Path(__file__).parents[2] / "configs"
RATE = 16000


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        model = compose("train_sound", ["experiment=sound_esc"]).model
    return cast(dict[str, Any], OmegaConf.to_container(model, resolve=True))


@pytest.fixture(scope="module")
def model(config: dict[str, Any]) -> SoundCodec:
    torch.manual_seed(0)
    codec = build(config).eval()
    assert isinstance(codec, SoundCodec)
    with torch.no_grad():
        latents = codec.encoder(tones(RATE, rate=RATE).samples[None])[0].T
    codec.quantizer.start(latents.std(0) * torch.randn(1500, codec.latent_dim) + latents.mean(0))
    codec.seal()
    return codec


def test_twelve_codes_of_four_resolutions_make_six_kilobits(model: SoundCodec, config: dict[str, Any]) -> None:
    sizes = model.quantizer.codebook_sizes
    assert len(sizes) == 12
    assert sum(math.log2(size) for size in sizes) * RATE / model.hop == 6000
    parts = [sum(part["codebook"]["dim"] for part in level["parts"]) for level in config["quantizer"]["levels"]]
    assert parts[::-1] == config["encoder"]["pyramid"]["latent_dims"]  # of the right resolution, not only in all


def test_first_levels_decode_alone(model: SoundCodec) -> None:
    sound = tones(RATE // 2, rate=RATE).samples
    codes = model.encode(sound[None])
    assert codes.droppable_from == 3
    decoded = [model.decode(Codes(codes.planes[:count])) for count in (3, 6, 9, 12)]
    assert {tuple(samples.shape) for samples in decoded} == {(1, 1, RATE // 2)}
    assert all(samples.isfinite().all() for samples in decoded)
    assert not any(torch.equal(one, two) for one, two in pairwise(decoded))


def test_files_come_back_and_are_cut_to_whole_levels(model: SoundCodec) -> None:
    media = tones(5001, 2, RATE)
    data = model.compress(media)
    whole = model.read_codes(io.BytesIO(data))
    middle = torch.stack([media.samples.mean(0), (media.samples[0] - media.samples[1]) / 2])
    expected = model.encode(middle[None]).planes
    assert all(torch.equal(one.codes, two.codes) for one, two in zip(whole.planes, expected, strict=True))
    for planes in (3, 6, 9):
        sink = io.BytesIO()
        model.truncate(io.BytesIO(data), sink, planes)
        assert len(sink.getvalue()) < len(data)
        middle, side = model.decode(Codes(whole.planes[:planes]))[0, :, :5001]
        decoded = model.decompress(sink.getvalue()).samples
        torch.testing.assert_close(decoded, torch.stack([middle + side, middle - side]), atol=1e-5, rtol=0)
    with pytest.raises(UsageError, match="can keep 3, 6, 9, 12 planes, not 2"):
        model.truncate(io.BytesIO(data), io.BytesIO(), 2)


def test_a_checkpoint_brings_it_back(model: SoundCodec, config: dict[str, Any], tmp_path: Path) -> None:
    save(tmp_path / "esc", model, config, "# esc\n")
    loaded, media = load_as(SoundCodec, tmp_path / "esc"), tones(2000, rate=RATE)
    near = loaded.decode(model.encode(media.samples[None]))  # weights are shortened to half precision
    torch.testing.assert_close(near, model.decode(model.encode(media.samples[None])), atol=0.02, rtol=0)
    assert loaded.decompress(loaded.compress(media)).samples.shape == media.samples.shape
