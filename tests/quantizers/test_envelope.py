"""Envelope and shape: levels of bands come first, and the noise of the shape follows a power of them."""

import pytest
import torch
from torch import Tensor

from codec.quantizers import EMACodebook, EnvelopeShape, GainShape, Residual, VectorQuantizer

EDGES, DIM = (0, 4, 8, 16), 32


def table(size: int, dim: int) -> VectorQuantizer:
    return VectorQuantizer(EMACodebook(size, dim, kmeans_iterations=10))


def spectra(count: int = 4000) -> Tensor:
    """Noise whose bands are of very different levels, which wander."""
    generator = torch.Generator().manual_seed(0)
    levels = torch.tensor([4.0, 1.0, 0.3, 0.05]) * (0.3 * torch.randn(count, 4, generator=generator)).exp()
    widths = torch.tensor([4, 4, 8, 16])
    return levels.repeat_interleave(widths, 1) * torch.randn(count, DIM, generator=generator)


def started(power: float) -> EnvelopeShape:
    quantizer = EnvelopeShape(table(64, 4), Residual([table(256, DIM) for _ in range(3)]), EDGES, power).eval()
    quantizer.start(spectra())
    return quantizer


def band_errors(power: float) -> Tensor:
    """Root mean square error of each band over its level."""
    z, quantizer = spectra(), started(power)
    error = (quantizer.decode(quantizer.encode(z)) - z).square().mean(0)
    parts = [slice(low, high) for low, high in zip(EDGES, (*EDGES[1:], DIM), strict=True)]
    return torch.stack([(error[part].mean() / z[:, part].square().mean()).sqrt() for part in parts])


def test_noise_follows_the_envelope_with_its_power() -> None:
    flat, half, whole = (band_errors(power) for power in (0.0, 0.5, 1.0))
    assert flat[0] < half[0] < whole[0]  # the loudest band is worth most without division
    assert flat[3] > 0.8  # and the softest next to nothing
    assert whole.max() / whole.min() < half.max() / half.min()


def test_the_first_codes_are_the_levels() -> None:
    quantizer = started(0.5)
    z = spectra(100)
    codes = quantizer.encode(z)
    assert codes.shape == (100, 4)
    louder = quantizer.encode(z * torch.tensor([1.0] * 4 + [20.0] * 28))
    assert (louder[:, 0] != codes[:, 0]).float().mean() > 0.9
    assert quantizer.prefixes == (2, 3, 4)


def test_gradient_to_the_encoder_is_one() -> None:
    quantizer = started(0.5).train()
    z = spectra(50).requires_grad_()
    quantizer(z).vectors.sum().backward()
    torch.testing.assert_close(z.grad, torch.ones_like(z), rtol=1e-4, atol=1e-4)


def test_silence_is_a_vector_like_others() -> None:
    quantizer = started(0.5)
    z = torch.zeros(3, DIM, requires_grad=True)
    out = quantizer(z)
    out.vectors.square().sum().backward()
    assert out.vectors.isfinite().all()
    assert z.grad is not None
    assert z.grad.isfinite().all()


@pytest.mark.parametrize("edges", [(1, 4), (0, 4, 4), (0, 40)])
def test_edges_must_ascend(edges: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="edges must ascend"):
        EnvelopeShape(table(8, len(edges)), table(8, DIM), edges)


def test_bands_must_agree() -> None:
    with pytest.raises(ValueError, match="4 bands, but the envelope's quantizer works on 3"):
        EnvelopeShape(table(8, 3), table(8, DIM), EDGES)


def test_the_gradient_of_a_direction_does_not_change_the_length() -> None:
    """And has a bound in silence, where a direction is nothing."""
    quantizer = GainShape(Residual([table(64, DIM)]), 16).eval()
    quantizer.start(spectra())
    z = spectra(50).requires_grad_()
    quantizer(z).losses["commitment"].backward()
    assert z.grad is not None
    assert (z.grad * z).sum(1).abs().max() < 1e-5 * z.grad.norm(dim=1).max() * z.norm(dim=1).max()
    silence = torch.zeros(3, DIM, requires_grad=True)
    quantizer(silence).vectors.sum().backward()
    assert silence.grad is not None
    assert silence.grad.abs().max() < 10
