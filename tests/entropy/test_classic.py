"""The classic latent priors: known values of the learned density, exact rows, and what the hyper-latent is for."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from codec.entropy import (
    ChannelTables,
    FactorisedDensity,
    FactorisedLatentPrior,
    MeanScaleHyperprior,
    ScaleHyperprior,
    decode_chunk,
    encode_chunk,
    ideal_bits,
    row_of_scale,
    source_of,
    walk,
)
from codec.entropy.rounding import Priced
from codec.entropy.tables import SIGMA_BITS, scales
from tests.entropy.samples import train


def test_rows_of_scales_are_the_nearest_in_the_logarithm() -> None:
    """Every integer scale up to 256, and beyond both ends."""
    wanted = np.arange(1, 1 << 18)
    distance = np.abs(np.log2(wanted / 2**SIGMA_BITS)[:, None] - np.log2(scales()))
    assert np.array_equal(row_of_scale(wanted), distance.argmin(1))
    assert row_of_scale(np.array([-(1 << 20), 0, 1 << 20])).tolist() == [0, 0, 63]


def test_an_untrained_density_is_a_logistic_of_the_stated_scale() -> None:
    """Without biases and tanh terms the layers multiply to a line of slope 1 / start_scale."""
    density = FactorisedDensity(2, start_scale=10.0)
    for bias in density.biases:
        torch.nn.init.zeros_(bias)
    values = torch.linspace(-40, 40, 81).repeat(2, 1)
    expected = torch.sigmoid((values + 0.5) / 10) - torch.sigmoid((values - 0.5) / 10)
    torch.testing.assert_close(density.mass(values), expected, rtol=1e-4, atol=1e-7)
    for share in (0.5, 0.01, 0.999):
        wanted = torch.full((2,), 10 * math.log(share / (1 - share)))
        torch.testing.assert_close(density.quantiles(share), wanted, rtol=1e-3, atol=1e-3)


def test_tables_stand_around_the_medians_and_end_where_the_tails_are_thin() -> None:
    density, tables = FactorisedDensity(3, start_scale=1.0), ChannelTables(3, reach=40)
    for shift, bias in zip((-30.25, 0.0, 12.0), density.biases[0], strict=True):
        bias.data.fill_(-shift / 3)
    tables.take(density)
    torch.testing.assert_close(tables.medians.float() / 256, density.quantiles(0.5), atol=1 / 512, rtol=0)
    assert (tables.sizes < 40).all()
    symbols = np.arange(-5, 6)
    for channel in range(3):
        centre = float(tables.medians[channel]) / 256
        masses = density.mass((centre + torch.from_numpy(symbols)).float().repeat(3, 1))[channel]
        bits = tables.tables.bits(np.full(11, channel), symbols)
        assert bits == pytest.approx(-masses.detach().log2().numpy(), abs=0.02)


QUIET, LOUD = 0.5, 8.0


def classes(seed: int, batch: int = 8) -> Tensor:
    """`(B, 24, 16, 16)`: each latent is all of one of two classes, of deviation `QUIET` or `LOUD`."""
    random = torch.Generator().manual_seed(seed)
    sigma = torch.where(torch.rand(batch, 1, 1, 1, generator=random) < 0.5, QUIET, LOUD)
    return sigma * torch.randn(batch, 24, 16, 16, generator=random)


def entropies() -> tuple[float, float]:
    """Bits of one integer: of the mixture of both classes, and on average with the class known."""
    steps = torch.arange(-60, 61, dtype=torch.float64)
    masses = [torch.special.ndtr((steps + 0.5) / s) - torch.special.ndtr((steps - 0.5) / s) for s in (QUIET, LOUD)]
    mixed, first, second = (-torch.special.xlogy(p, p).sum() / math.log(2) for p in (sum(masses) / 2, *masses))
    return float(mixed), float(first + second) / 2


def trained(model: Any, steps: int) -> Any:
    """On `classes`, and frozen."""

    def planes(seed: int) -> list[Tensor]:
        y = classes(seed)
        return [y] if isinstance(model, FactorisedLatentPrior) else [model._hyper_latent(y), y]

    train(model, planes, steps, rate=1e-2)
    with torch.no_grad():
        assert abs(model.freeze(planes(1000))) < 0.5
    return model


def coded_bits(model: Any) -> float:
    """By the integer tables, side information included, for each number; as many of both classes."""
    y = classes(77, 24)
    loud = y.flatten(1).std(1) > 2
    count = int(min(loud.sum(), (~loud).sum()))
    y = torch.cat([y[loud][:count], y[~loud][:count]])
    with torch.no_grad():
        return sum(ideal_bits(model, model.analyse(part[None])) for part in y) / y.numel()


@pytest.fixture(scope="module")
def scale_hyperprior() -> ScaleHyperprior:
    torch.manual_seed(0)
    return trained(ScaleHyperprior(24, hyper_channels=4), 150)


def test_a_hyper_latent_saves_what_the_class_tells(scale_hyperprior: ScaleHyperprior) -> None:
    """The mutual information of number and class, less a little side information; one density cannot know it."""
    torch.manual_seed(0)
    mixed, known = entropies()
    factorised = coded_bits(trained(FactorisedLatentPrior(24), 300))
    assert factorised == pytest.approx(mixed, rel=0.05)
    assert factorised > mixed - 0.01
    saved = factorised - coded_bits(scale_hyperprior)
    assert saved > 0.88 * (mixed - known)


def test_float_and_integer_paths_agree(scale_hyperprior: ScaleHyperprior) -> None:
    y = classes(5, batch=1)[:, :, :13, :10]
    with torch.no_grad():
        coded = scale_hyperprior(y, torch.zeros(1, 1, 13, 10), Priced())
        planes = scale_hyperprior.analyse(y, gain=3)
    layout = scale_hyperprior.layout((13, 10), gain=3)
    known = walk(scale_hyperprior, layout, source_of(scale_hyperprior, planes))
    torch.testing.assert_close(scale_hyperprior.dequantise(layout, known), coded.latents[0])
    assert coded.bits.shape == (1,)
    assert ideal_bits(scale_hyperprior, planes) == pytest.approx(float(coded.bits), rel=0.01)


def test_means_follow_the_hyper_latent() -> None:
    """Latents at a level of their own: means save what scales alone cannot, and a missing latent decodes to them."""

    def planes(seed: int) -> list[Tensor]:
        random = torch.Generator().manual_seed(seed)
        level = 20 * torch.randn(16, 1, 1, 1, generator=random)
        y = level + torch.randn(16, 4, 8, 8, generator=random)
        return [model._hyper_latent(y), y]

    torch.manual_seed(0)
    model = MeanScaleHyperprior(4, hyper_channels=4)
    train(model, planes, 800)  # fewer leave it to the seed and the processor how far it comes
    with torch.no_grad():
        assert abs(model.freeze(planes(1000))) < 0.5
        chunks = [[z.double(), y.double()] for z, y in zip(*planes(77), strict=True)]
    bits = sum(ideal_bits(model, chunk) for chunk in chunks) / (16 * 4 * 64)
    around_zero = math.log2(20 * math.sqrt(2 * math.pi * math.e))
    assert bits < 0.6 * around_zero
    layout = model.layout((8, 8))
    streams = encode_chunk(model, chunks[0])
    missing = decode_chunk(model, layout, streams[:1])
    known = walk(model, layout, source_of(model, missing))
    error = model.dequantise(layout, known) - chunks[0][1]
    assert float(error.square().mean().sqrt()) < 4


@pytest.mark.parametrize("model", [FactorisedLatentPrior(3, reach=4), MeanScaleHyperprior(4, hyper_channels=2)])
def test_huge_latents_are_escaped_and_survive(model: Any) -> None:
    layout = model.layout((2, 2))
    planes = [torch.full(grid, 10**6 * (-1) ** i) for i, grid in enumerate(layout.grids)]
    decoded = decode_chunk(model, layout, encode_chunk(model, planes))
    assert all(torch.equal(one, two) for one, two in zip(decoded, planes, strict=True))
