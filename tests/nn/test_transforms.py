"""Transforms start at principal components and learn from there; levels scale channels."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.media import read_image
from codec.nn import (
    RegionAnalysis,
    RegionSynthesis,
    ResidualAnalysis,
    ResidualSynthesis,
    SwinAnalysis,
    SwinSynthesis,
    principal_basis,
)
from codec.nn.levels import LevelScale
from codec.nn.residual import GatedAttention

LATENT = 12
PAIRS: dict[str, Callable[[], tuple[Any, Any]]] = {
    "residual": lambda: (
        ResidualAnalysis(LATENT, widths=(8, 12, 16), depth=1),
        ResidualSynthesis(LATENT, widths=(8, 12, 16), depth=1),
    ),
    "swin": lambda: (
        SwinAnalysis(LATENT, widths=(8, 12, 16), heads=(2, 2, 2), window=4),
        SwinSynthesis(LATENT, widths=(8, 12, 16), heads=(2, 2, 2), window=4),
    ),
    "region": lambda: (
        RegionAnalysis(LATENT, widths=(8, 12, 16), hidden=8),
        RegionSynthesis(LATENT, widths=(8, 12, 16), hidden=8, guide=8),
    ),
}


@cache
def crops() -> Tensor:
    """A crop of each sample picture: float `(3, 3, 64, 64)`."""
    pictures = [read_image(path).samples for path in sorted(Path("docs/samples").glob("*.png"))]
    return torch.stack([picture[..., 250:314, 200:264] for picture in pictures]).float() / 255


@pytest.fixture(params=PAIRS)
def pair(request: pytest.FixtureRequest) -> tuple[Any, Any]:
    """Started at the principal components of the crops."""
    analysis, synthesis = PAIRS[request.param]()
    basis = principal_basis([crops()], LATENT, 16, step=0.06)
    analysis.start_from(basis), synthesis.start_from(basis)
    return analysis, synthesis


@torch.no_grad()
def test_step_zero_is_a_principal_component_transform(pair: tuple[Any, Any]) -> None:
    analysis, synthesis = pair
    n = analysis(crops())
    basis = principal_basis([crops()], LATENT, 16, step=0.06)
    patches = F.pixel_unshuffle(crops(), 16).permute(0, 2, 3, 1)
    mean = basis.mean.repeat_interleave(256)
    kept = (patches - mean) @ basis.directions.T @ basis.directions + mean
    decoded = synthesis(n, torch.rand(3, 1, 4, 4))
    torch.testing.assert_close(F.pixel_unshuffle(decoded, 16).permute(0, 2, 3, 1), kept, atol=1e-4, rtol=0)
    torch.testing.assert_close(n.square().mean((0, 2, 3)), torch.ones(LATENT), atol=0.1, rtol=0)


def test_a_few_steps_lower_the_loss(pair: tuple[Any, Any]) -> None:
    """Autoencoding under a fixed noise; the linear path rests, so that it is the networks that learn."""
    analysis, synthesis = pair
    for part in pair:
        part.linear.map.requires_grad_(False)
    parameters = [p for part in pair for p in part.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(parameters, lr=5e-3)
    noise = 0.2 * torch.rand(3, LATENT, 4, 4) - 0.1
    levels = torch.linspace(0, 1, 3)[:, None, None, None].expand(3, 1, 4, 4)
    losses = []
    for _ in range(15):
        loss = F.mse_loss(synthesis(analysis(crops()) + noise, levels), crops())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.85 * losses[0], losses


@torch.no_grad()
def test_each_position_follows_its_level_once_trained(pair: tuple[Any, Any]) -> None:
    synthesis = pair[1]
    for parameter in synthesis.parameters():
        if not parameter.any():
            parameter.normal_(0, 0.1)
    n = torch.randn(1, LATENT, 2, 3)
    coarse, fine = (synthesis(n, torch.full((1, 1, 2, 3), level)) for level in (0.0, 0.9))
    assert (coarse != fine).any(1).float().mean() > 0.99


@torch.no_grad()
def test_levels_between_two_knots_mix_their_factors() -> None:
    scale = LevelScale(2, 3)
    features = torch.ones(1, 2, 2, 4)
    assert torch.equal(scale(features, torch.rand(1, 1, 1, 2)), features)
    scale.change.copy_(torch.tensor([[0.0, 1.0, 3.0], [-0.5, 0.0, 0.0]]))
    scaled = scale(features, torch.tensor([[[[0.0, 0.75]]]]))
    assert scaled[0, 0].tolist() == [[1, 1, 3, 3]] * 2
    assert scaled[0, 1].tolist() == [[0.5, 0.5, 1, 1]] * 2


@torch.no_grad()
def test_attention_is_a_gated_residual() -> None:
    """A mask network that says nothing is the sigmoid of its bias: here one half."""
    attention, x = GatedAttention(4), torch.randn(1, 4, 3, 3)
    last = attention.mask[-2]
    assert isinstance(last, nn.Conv2d)
    for parameter in last.parameters():
        nn.init.zeros_(parameter)
    torch.testing.assert_close(attention(x), x + attention.branch(x) / 2)
