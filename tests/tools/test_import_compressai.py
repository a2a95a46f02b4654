"""Importing: names and shapes of every kind of state dict, what is refused, and a checkpoint that codes pictures."""

from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from codec.entropy import ideal_bits
from codec.entropy.rounding import Priced
from codec.media import read_image
from codec.models import LatentCodec, load, save
from codec.types import Media
from tests.conftest import synthetic_picture
from tools.import_compressai import (
    PRIORS,
    Kind,
    Shape,
    calibration,
    cleaned,
    import_model,
    main,
    random_state,
    reach_of,
    renamed,
    shape_of,
)

KINDS = list(PRIORS)
WIDTH, LATENT_DIM = 6, 8


def pictures(batch: int = 2) -> Tensor:
    return torch.stack([synthetic_picture(128, 192, seed) for seed in range(batch)]).float() / 255


def imported(kind: Kind) -> tuple[LatentCodec, dict[str, Any], dict[str, Tensor]]:
    state = random_state(kind, WIDTH, LATENT_DIM)
    model, config = import_model(state, pictures())
    return cast(LatentCodec, model), config, state


@pytest.mark.parametrize("kind", KINDS)
def test_every_weight_has_its_place(kind: Kind) -> None:
    model, config, state = imported(kind)
    assert shape_of(state) == Shape(kind, WIDTH, LATENT_DIM)
    assert config["latent_dim"] == LATENT_DIM
    weights = dict(model.named_parameters())
    assert len(weights) == len(state) - 1  # all but the quantiles
    assert all(torch.equal(weights[name], tensor) for name, tensor in renamed(state).items())
    assert torch.equal(weights["analysis.layers.1.gamma"], state["g_a.1.gamma"])
    assert torch.equal(weights["prior.density.factors.3"], state["entropy_bottleneck.factors.3"])


@pytest.mark.parametrize("kind", KINDS)
def test_a_stranger_computes_the_same_from_the_same_names(kind: Kind) -> None:
    """The transforms and scales written out by hand from the state dict."""
    model, _, state = imported(kind)
    x = pictures(1)
    signal = x
    for i in range(7):
        if i % 2 == 0:
            signal = F.conv2d(signal, state[f"g_a.{i}.weight"], state[f"g_a.{i}.bias"], 2, 2)
        else:
            gamma = state[f"g_a.{i}.gamma"].square()[..., None, None]
            signal = signal / F.conv2d(signal**2, gamma, state[f"g_a.{i}.beta"].square()).sqrt()
    with torch.no_grad():
        latent = model.analysis(x)
    torch.testing.assert_close(latent, signal, rtol=1e-4, atol=1e-3)
    if kind == "bmshj2018-hyperprior":
        hyper = F.conv2d(latent.abs(), state["h_a.0.weight"], state["h_a.0.bias"], 1, 1).relu()
        hyper = F.conv2d(hyper, state["h_a.2.weight"], state["h_a.2.bias"], 2, 2).relu()
        hyper = F.conv2d(hyper, state["h_a.4.weight"], state["h_a.4.bias"], 2, 2)
        torch.testing.assert_close(model.prior.analyse(latent, 0)[0].float(), hyper[0], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("kind", KINDS)
def test_medians_are_theirs_and_integers_cost_what_floats_promise(kind: Kind) -> None:
    model, _, state = imported(kind)
    tables = model.prior.tables if kind == "bmshj2018-factorized" else model.prior.hyper_tables  # type: ignore[attr-defined]
    medians = state["entropy_bottleneck.quantiles"][:, 0, 1]
    torch.testing.assert_close(tables.medians.float() / 256, medians, atol=1 / 512, rtol=0)
    with torch.no_grad():
        latent = model.analysis(pictures(1))
        expected = float(model.prior(latent, torch.ones(1, 1, *latent.shape[2:]), rounding=Priced()).bits)
    assert ideal_bits(model.prior, model.prior.analyse(latent, 0)) == pytest.approx(expected, rel=0.02)


def test_names_of_older_versions_and_wrappers() -> None:
    state = random_state("mbt2018-mean", WIDTH, LATENT_DIM)
    for old in ("_{0}{1}", "_{2}.{1}"):
        names = {"matrices": "matrix", "biases": "bias", "factors": "factor"}
        wrapped = {}
        for name, tensor in state.items():
            module, _, rest = name.partition(".")
            kind, _, number = rest.partition(".")
            if module == "entropy_bottleneck" and number:
                name = f"{module}.{old.format(names[kind], number, kind)}"
            wrapped[f"module.{name}"] = tensor
        beside = {
            "module.g_a.1.beta_reparam.pedestal": torch.ones(1),
            "module.gaussian_conditional._offset": torch.ones(3),
        }
        found = cleaned({"state_dict": wrapped | beside, "epoch": 3})
        assert renamed(found).keys() == renamed(state).keys()


def test_what_has_no_counterpart_is_refused() -> None:
    state = random_state("mbt2018-mean", WIDTH, LATENT_DIM)
    with pytest.raises(SystemExit, match="autoregressive"):
        import_model(state | {"context_prediction.weight": torch.ones(1)}, pictures())
    with pytest.raises(SystemExit, match="belong to none"):
        import_model({name: tensor for name, tensor in state.items() if "gamma" not in name}, pictures())
    with pytest.raises(SystemExit, match="do not know"):
        import_model(state | {"lrp.0.weight": torch.ones(1)}, pictures())
    with pytest.raises(SystemExit, match="do not fit"):
        import_model(state | {"h_s.6.weight": torch.ones(1)}, pictures())


def test_tables_reach_as_far_as_the_widest_distribution() -> None:
    state = random_state("bmshj2018-factorized", WIDTH, LATENT_DIM)
    weights, medians = renamed(state), torch.zeros(LATENT_DIM)
    assert 50 < reach_of(weights, medians) < reach_of(weights, medians + 100) < 400


def test_from_file_to_checkpoint_to_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a user does it: weights on disk, the tool, a picture through the checkpoint, twice to the same bytes."""
    torch.save(random_state("bmshj2018-hyperprior", WIDTH, LATENT_DIM), tmp_path / "weights.pth.tar")
    samples = Path("docs/samples")
    arguments = ["import", str(tmp_path / "weights.pth.tar"), str(tmp_path / "imported"), "--pictures", str(samples)]
    monkeypatch.setattr("sys.argv", arguments)
    main()
    model = load(tmp_path / "imported")
    picture = read_image(next(samples.glob("*.png")))
    data = model.compress(picture)
    assert data == load(tmp_path / "imported").compress(picture)
    assert model.decompress(data).samples.shape == picture.samples.shape
    assert "bmshj2018-hyperprior, N 6, M 8" in (tmp_path / "imported" / "card.md").read_text()


@pytest.mark.parametrize("kind", KINDS)
def test_codes_decode_to_what_the_file_decodes_to(kind: Kind, tmp_path: Path) -> None:
    model, config, _ = imported(kind)
    save(tmp_path / "model", model, config, "# model\n")
    loaded = cast(LatentCodec, load(tmp_path / "model"))
    samples = synthetic_picture(70, 90)
    media = Media("image", samples)
    pixels = loaded.decode(loaded.encode(samples[None]))[0, :, :70, :90]
    decoded = loaded.decompress(loaded.compress(media)).samples
    assert torch.equal(decoded, pixels.mul(255).round().to(torch.uint8))


def test_synthetic_calibration_is_made_of_pictures() -> None:
    made = calibration(None)
    assert made.shape == (8, 3, 256, 256)
    assert 0 <= made.amin() < 0.4 < made.amax() <= 1
