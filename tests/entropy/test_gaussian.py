"""Differentiable code lengths against values computed for the methods sheet, and the bound's gradient."""

import pytest
import torch

from codec.entropy import FactorisedDensity, gaussian_bits, lower_bound


@pytest.mark.parametrize(("sigma", "rounded", "noisy"), [(4, 4.051, 4.051), (1, 2.105, 2.105), (0.3, 0.550, 0.780)])
def test_known_entropies(sigma: float, rounded: float, noisy: float) -> None:
    """Ballé et al.: noise stands in well for rounding at large scales and badly at small ones."""
    y = sigma * torch.randn(400_000)
    log2_scale = torch.tensor(float(sigma)).log2()
    assert float(gaussian_bits(y.round(), log2_scale).mean()) == pytest.approx(rounded, abs=0.01)
    assert float(gaussian_bits(y + torch.rand_like(y) - 0.5, log2_scale).mean()) == pytest.approx(noisy, abs=0.01)


def test_far_values_cost_finite_bits_with_a_finite_gradient() -> None:
    y = torch.tensor([0.0, 50.0, -1e6], requires_grad=True)
    bits = gaussian_bits(y, torch.tensor(-3.0))
    bits.sum().backward()
    assert torch.isfinite(bits).all()
    assert y.grad is not None
    assert torch.isfinite(y.grad).all()


def test_the_bound_lets_values_come_back_but_not_go_further() -> None:
    values = torch.tensor([0.05, 0.05, 2.0, 2.0], requires_grad=True)
    bounded = lower_bound(values, 0.11)
    assert bounded.tolist() == pytest.approx([0.11, 0.11, 2.0, 2.0])
    bounded.backward(torch.tensor([1.0, -1.0, 1.0, -1.0]))
    assert values.grad is not None
    assert values.grad.tolist() == [0.0, -1.0, 1.0, -1.0]


def test_the_density_fits_two_bumps_and_is_monotone() -> None:
    density = FactorisedDensity(1)
    centre = 6.0 * (torch.rand(20000) < 0.3) - 3
    samples = (centre + 0.8 * torch.randn(20000)).round()
    optimizer = torch.optim.Adam(density.parameters(), 3e-2)
    for _ in range(600):
        index = torch.randint(len(samples), (1024,))
        loss = density.bits(samples[index].reshape(1, 1, -1))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    values, counts = samples.unique(return_counts=True)
    shares = counts / counts.sum()
    mass = density.mass(values[None])[0].detach()
    assert float((shares * (shares / mass).log2()).sum()) < 0.02
    grid = torch.linspace(-20, 20, 1000)[None]
    assert (density._logits(grid).diff() > 0).all()
