"""Divisive normalisation and the classic transform: known values, gradients, the stated receptive field."""

import pytest
import torch
from torch import Tensor, nn

from codec.nn import GDN, ClassicAnalysis, ClassicSynthesis
from tests.laws.test_backbones import reach


def random_gdn(channels: int, *, inverse: bool = False) -> GDN:
    """With every gamma above zero."""
    layer = GDN(channels, inverse=inverse).double()
    with torch.no_grad():
        layer.gamma.add_(0.3 * torch.rand(channels, channels))
        layer.beta.add_(torch.rand(channels))
    return layer


def test_at_the_start_each_channel_is_divided_by_its_own_root() -> None:
    """beta = 1 and gamma = 0.1 I."""
    x = torch.randn(2, 5, 3, 4)
    root = (1 + 0.1 * x**2).sqrt()
    torch.testing.assert_close(GDN(5)(x), x / root)
    torch.testing.assert_close(GDN(5, inverse=True)(x), x * root)


@pytest.mark.parametrize("inverse", [False, True])
def test_known_value_and_gradient(inverse: bool) -> None:
    layer = random_gdn(3, inverse=inverse)
    x = torch.randn(2, 3, 2, 2, dtype=torch.float64, requires_grad=True)
    beta, gamma = layer.beta.detach() ** 2, layer.gamma.detach() ** 2
    root = (beta + gamma @ x.detach()[0, :, 0, 1] ** 2).sqrt()
    expected = x.detach()[0, :, 0, 1] * (root if inverse else 1 / root)
    torch.testing.assert_close(layer(x)[0, :, 0, 1], expected, rtol=1e-5, atol=1e-8)
    assert torch.autograd.gradcheck(layer, x)


def test_the_inverse_undoes_it_roughly() -> None:
    """Exactly so only where channels do not mix and values are small."""
    x = 0.3 * torch.randn(2, 6, 4, 4)
    assert (GDN(6, inverse=True)(GDN(6)(x)) - x).abs().max() < 0.05 * x.abs().max()


def test_what_is_divided_by_stays_positive_under_random_steps() -> None:
    layer, random = GDN(4), torch.Generator().manual_seed(0)
    optimizer = torch.optim.SGD(layer.parameters(), 0.05)
    for _ in range(2000):
        for parameter in layer.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=random) + 0.5
        optimizer.step()
    assert (layer.beta < 0).any()
    assert torch.isfinite(layer(torch.randn(1, 4, 8, 8))).all()
    assert torch.isfinite(layer(torch.zeros(1, 4, 1, 1))).all()


@pytest.fixture
def pair() -> tuple[ClassicAnalysis, ClassicSynthesis]:
    """Every weight above zero, so that nothing that is seen cancels."""
    analysis, synthesis = ClassicAnalysis(5, width=4).double().eval(), ClassicSynthesis(5, width=4).double().eval()
    for layer in (*analysis.layers, *synthesis.layers):
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.uniform_(layer.weight, 0.05, 0.1)
    return analysis, synthesis


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 5), (3, 2)])
def test_shapes(pair: tuple[ClassicAnalysis, ClassicSynthesis], rows: int, columns: int) -> None:
    latent = pair[0](torch.rand(2, 3, 16 * rows, 16 * columns, dtype=torch.float64))
    assert latent.shape == (2, 5, rows, columns)
    levels = torch.rand(2, 1, rows, columns)
    pixels = pair[1](latent, levels)
    assert pixels.shape == (2, 3, 16 * rows, 16 * columns)
    assert torch.equal(pixels, pair[1](latent, 1 - levels))


@torch.no_grad()
def test_the_receptive_field_is_the_stated_halo(pair: tuple[ClassicAnalysis, ClassicSynthesis]) -> None:
    analysis, synthesis = pair
    side = 2 * analysis.halo + 5
    centre = slice(side // 2 * 16, (side // 2 + 1) * 16)
    x = torch.rand(1, 3, 16 * side, 16 * side, dtype=torch.float64)
    assert reach(_change(analysis, x, centre)) == analysis.halo
    n = torch.rand(1, 5, side, side, dtype=torch.float64)
    pixels = _change(synthesis, n, slice(side // 2, side // 2 + 1))
    assert reach(pixels.reshape(side, 16, side, 16).any(3).any(1)) == synthesis.halo


def _change(module: nn.Module, signal: Tensor, centre: slice) -> Tensor:
    """Where `(H, W)` the outcome differs once the centre does."""
    other = signal.clone()
    other[..., centre, centre] += 1
    return (module(signal) != module(other)).any(1)[0]
