"""TurboQuant and QJL: optimal levels, distortions, bias and variance as published."""

import math

import pytest
import torch
from torch.nn import functional as F

from codec.quantizers import QJL, GainShape, Residual, TurboQuant
from codec.quantizers.turbo import coordinate_levels

GAUSSIAN_LEVELS = {
    1: [0.7979],
    2: [0.4528, 1.5104],
    3: [0.2451, 0.7560, 1.3439, 2.1519],
    4: [0.1284, 0.3880, 0.6568, 0.9423, 1.2562, 1.6180, 2.0690, 2.7326],
}
DISTORTION = {1: 0.3634, 2: 0.1175, 3: 0.03455, 4: 0.0095}


@pytest.mark.parametrize("bits", GAUSSIAN_LEVELS)
def test_levels_of_many_dimensions_are_those_of_a_gaussian(bits: int) -> None:
    levels = coordinate_levels(8192, 1 << bits) * math.sqrt(8192)
    assert levels[1 << bits - 1 :].tolist() == pytest.approx(GAUSSIAN_LEVELS[bits], rel=2e-3)


def test_levels_of_few_dimensions_are_means_of_their_intervals() -> None:
    """In 3 dimensions a coordinate is uniform, in 2 it is a sine."""
    assert coordinate_levels(3, 4).tolist() == pytest.approx([-0.75, -0.25, 0.25, 0.75], abs=1e-6)
    assert coordinate_levels(2, 2).tolist() == pytest.approx([-2 / math.pi, 2 / math.pi], abs=1e-6)


@pytest.mark.parametrize("bits", DISTORTION)
def test_distortion_is_as_published_even_for_one_hot_vectors(bits: int) -> None:
    quantizer = TurboQuant(256, bits, digits_per_code=8, seed=3)
    for z in (torch.randn(1000, 256), torch.eye(256)):
        error = (quantizer(z).vectors - F.normalize(z, dim=1)).square().sum(1)
        assert float(error.mean()) == pytest.approx(DISTORTION[bits], rel=0.02)
        assert error.mean() < math.sqrt(3) * math.pi / 2 * 4**-bits


def test_levels_for_few_dimensions_beat_those_of_a_gaussian() -> None:
    quantizer, z = TurboQuant(4, 2), torch.randn(5000, 4)
    exact = (quantizer(z).vectors - quantizer.place(z)).square().sum(1).mean()
    levels = torch.tensor(GAUSSIAN_LEVELS[2]) / 2
    quantizer.levels.copy_(torch.cat([-levels.flip(0), levels]))
    assert exact < (quantizer(z).vectors - quantizer.place(z)).square().sum(1).mean()


def test_the_rotation_is_orthogonal_and_kept_in_the_state() -> None:
    one, two = TurboQuant(24, 1, seed=1), TurboQuant(24, 1, seed=2)
    torch.testing.assert_close(one.rotation @ one.rotation.T, torch.eye(24))
    assert not torch.allclose(one.rotation, two.rotation)
    two.load_state_dict(one.state_dict())
    z = torch.randn(50, 24)
    assert torch.equal(one.encode(z), two.encode(z))


def test_qjl_is_unbiased_with_the_variance_of_its_paper() -> None:
    """Over many matrices `<y, q>` has mean `<y, u>` and variance about pi / (2 D)."""
    dim = 32
    u = F.normalize(torch.randn(dim), dim=0)
    y = F.normalize(u + 0.3 * torch.randn(dim), dim=0)
    estimates = torch.stack([QJL(dim, seed=seed)(u).vectors @ y for seed in range(400)])
    variance = math.pi / 2 / dim
    assert float(estimates.mean()) == pytest.approx(float(u @ y), abs=4 * math.sqrt(variance / 400))
    assert float(estimates.var()) == pytest.approx(variance - float(u @ y) ** 2 / dim, rel=0.25)


def test_signs_of_the_residual_take_the_shrinkage_away() -> None:
    """One bit shrinks inner products by 2 / pi; with QJL on what is left they are right on average."""
    u = F.normalize(torch.randn(600, 64), dim=1)
    ratios = []
    for seed in range(6):
        plain = TurboQuant(64, 1, digits_per_code=32, seed=seed)
        rest = GainShape(QJL(64, digits_per_code=32, seed=100 + seed), 32, (0.3, 0.9))
        both = Residual([plain, rest]).eval()
        ratios.append([float((quantizer(u).vectors * u).sum(1).mean()) for quantizer in (plain, both)])
    shrunk, right = torch.tensor(ratios).mean(0).tolist()
    assert shrunk == pytest.approx(2 / math.pi, abs=0.01)
    assert right == pytest.approx(1, abs=0.02)
