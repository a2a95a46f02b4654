"""Codewords behind a shared map: starts, gradients, drift, and what eval keeps."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from codec.quantizers import (
    Affine,
    AnchoredCodebook,
    Bridge,
    GradientCodebook,
    Parameterisation,
    RandomAnchor,
    SharedLinear,
    VectorQuantizer,
)
from tests.quantizers.sources import clusters, fit, follow, heavy_tailed, seeded

DIM = 8
MAPS: list[Callable[[], Parameterisation]] = [
    lambda: SharedLinear(DIM),
    lambda: SharedLinear(DIM, feature_dim=12, trained_rows=True),
    lambda: Bridge(DIM, group=4, width=32),
    lambda: Affine(DIM),
]


@pytest.fixture(params=MAPS, ids=["frozen", "wide", "bridge", "affine"])
def codebook(request: pytest.FixtureRequest) -> GradientCodebook:
    return GradientCodebook(50, DIM, parameterisation=request.param())


@pytest.mark.parametrize("make", MAPS[:3], ids=["frozen", "wide", "bridge"])
def test_start_gives_codewords_the_moments_of_the_data(make: Callable[[], Parameterisation]) -> None:
    z = heavy_tailed()(2000, seeded(2)) + 3
    codebook = GradientCodebook(512, DIM, parameterisation=make())
    codebook.start(z)
    e = codebook.vectors()
    torch.testing.assert_close(e.mean(0), z.mean(0), atol=1e-2, rtol=1e-2)
    torch.testing.assert_close(e.T.cov(correction=0), z.T.cov(correction=0), atol=0.02, rtol=0.02)


def test_placed_codewords_are_where_they_were_put() -> None:
    for make in (MAPS[0], MAPS[1], MAPS[3]):
        codebook = GradientCodebook(50, DIM, parameterisation=make(), kmeans_iterations=3)
        z = heavy_tailed()(400, seeded(2))
        codebook.start(z)
        wanted = z[:5] + 1
        codebook.replace(torch.tensor([7, 3, 40, 0, 9]), wanted)
        torch.testing.assert_close(codebook.vectors()[[7, 3, 40, 0, 9]], wanted, atol=1e-4, rtol=1e-4)


def test_bridge_places_no_single_codeword() -> None:
    with pytest.raises(ValueError, match="Bridge cannot place"):
        GradientCodebook(64, DIM, parameterisation=Bridge(DIM), kmeans_iterations=3)
    with pytest.raises(ValueError, match="Bridge cannot place"):
        AnchoredCodebook(64, DIM, parameterisation=Bridge(DIM))


def test_eval_computes_codewords_once_and_forgets_them_in_time(codebook: GradientCodebook) -> None:
    vq = VectorQuantizer(codebook)
    vq.start(torch.randn(500, DIM))
    other = copy.deepcopy(vq).eval()
    assert codebook.vectors() is not codebook.vectors()
    vq.eval()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
        kept = codebook.vectors()
    assert codebook.vectors() is kept
    assert not kept.is_inference()
    assert kept.dtype == torch.float32
    with torch.no_grad():
        for parameter in vq.train().parameters():
            parameter.mul_(1.5)
    changed = vq.eval().codebook.vectors()
    assert not torch.equal(changed, kept)
    torch.testing.assert_close(other.codebook.vectors(), kept)
    other.load_state_dict(vq.state_dict())
    torch.testing.assert_close(other.codebook.vectors(), changed)
    assert vq.double().codebook.vectors().dtype == torch.float64


def test_decoded_vectors_are_codewords_not_stored_rows(codebook: GradientCodebook) -> None:
    vq = VectorQuantizer(codebook)
    vq.start(torch.randn(500, DIM) + 2)
    codes = torch.arange(50).unsqueeze(1)
    torch.testing.assert_close(vq.eval().decode(codes), codebook.vectors())
    assert codebook.vectors().shape == (50, DIM)


def test_gradient_of_the_linear_map_is_the_analytic_one() -> None:
    linear = SharedLinear(DIM)
    codebook = GradientCodebook(30, DIM, parameterisation=linear)
    vq, z = VectorQuantizer(codebook), torch.randn(200, DIM)
    out = vq(z)
    out.losses["codebook"].backward()
    difference = out.vectors - z
    wanted = 2 * difference.T @ codebook.rows[out.codes[:, 0]] / z.numel()
    torch.testing.assert_close(linear.map.weight.grad, wanted)
    torch.testing.assert_close(linear.map.bias.grad, 2 * difference.sum(0) / z.numel())
    assert [name for name, _ in vq.named_parameters()] == [
        "codebook.parameterisation.map.weight",
        "codebook.parameterisation.map.bias",
    ]


def test_bridge_sends_gradient_to_every_row_and_groups_are_filled_up() -> None:
    codebook = GradientCodebook(50, DIM, parameterisation=Bridge(DIM, group=8, width=32))
    assert codebook.rows.shape == (56, DIM)
    out = VectorQuantizer(codebook)(torch.randn(40, DIM))
    out.losses["codebook"].backward()
    assert codebook.rows.grad is not None
    assert (codebook.rows.grad.abs().sum(1) > 0).all()


@pytest.mark.parametrize("make", [MAPS[0], MAPS[2]], ids=["SimVQ", "FVQ"])
def test_all_codes_stay_in_use_through_drift_and_decay(make: Callable[[], Parameterisation]) -> None:
    """The claim of SimVQ and FVQ: no restart, and the codes still follow; plain codewords stay behind."""
    source, shift = heavy_tailed(), torch.ones(DIM)
    z = source(8192, seeded(9)) + shift
    shared, plain = (VectorQuantizer(GradientCodebook(256, DIM, parameterisation=p)) for p in (make(), None))
    follow(shared, source, shift)
    follow(plain, source, shift)
    usage, error = fit(shared, z)
    plain_usage, plain_error = fit(plain, z)
    assert usage > 0.98
    assert plain_usage < 0.75
    assert error < 0.6 * plain_error


def test_anchors_keep_codes_in_use_through_drift() -> None:
    """The claim of CVQ-VAE, with a decay that suits 150 steps."""
    source, shift = heavy_tailed(), torch.ones(DIM)
    vq = VectorQuantizer(AnchoredCodebook(256, DIM, anchor=RandomAnchor(), decay=0.9))
    follow(vq, source, shift)
    assert fit(vq, source(8192, seeded(9)) + shift)[0] > 0.95


def test_affine_codewords_follow_a_drift_that_plain_ones_do_not() -> None:
    source, shift = clusters(2 * torch.randn(64, DIM, generator=seeded(1)), 0.3), torch.full((DIM,), 4.0)
    z = source(8192, seeded(9))
    growth = []
    for parameterisation in (Affine(DIM), None):
        vq = VectorQuantizer(GradientCodebook(64, DIM, parameterisation=parameterisation, kmeans_iterations=5))
        vq.start(source(4096, seeded(1)))
        before = fit(vq.eval(), z)[1]
        follow(vq, source, shift)
        growth.append(fit(vq, z + shift)[1] / before)
    assert growth[0] < 1.1
    assert growth[1] > 1.5


def test_features_come_from_a_file_once(tmp_path: Path) -> None:
    features = torch.randn(40, 12, generator=seeded(3))
    file = tmp_path / "features.safetensors"
    save_file({"features": features}, file)
    codebook = GradientCodebook(40, DIM, parameterisation=SharedLinear(DIM, feature_dim=12, features=str(file)))
    vq = VectorQuantizer(codebook)
    vq(torch.randn(300, DIM))  # the first training batch starts it
    assert torch.equal(codebook.rows, features)
    file.unlink()
    vq(torch.randn(300, DIM))  # and no other
    resumed = VectorQuantizer(
        GradientCodebook(40, DIM, parameterisation=SharedLinear(DIM, feature_dim=12, features=str(file)))
    )
    resumed.load_state_dict(vq.state_dict())
    assert torch.equal(resumed(z := torch.randn(9, DIM)).codes, vq(z).codes)
    save_file({"features": features[1:]}, file)
    with pytest.raises(ValueError, match=r"\(40, 12\).*\(39, 12\)"):
        SharedLinear(DIM, feature_dim=12, features=str(file)).start(features, torch.randn(9, DIM))
