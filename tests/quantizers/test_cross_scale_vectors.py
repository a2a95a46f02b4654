"""Cross-scale quantization inside single vectors: what coarser parts say about finer ones is not coded again."""

from typing import Any

import pytest
import torch
from torch import Tensor

from codec.quantizers import CrossScale, CrossScaleVectors, EMACodebook, Product, VectorQuantizer
from codec.quantizers.base import Quantizer

DIMS = (3, 4, 6)  # finest first


def table(dim: int, size: int = 32) -> VectorQuantizer:
    return VectorQuantizer(EMACodebook(size, dim, kmeans_iterations=5))


def related(count: int, independent: float = 0.3) -> Tensor:
    """`(count, 13)`: every part is a linear map of the next coarser one, and something of its own."""
    generator = torch.Generator().manual_seed(7)
    parts = [torch.randn(count, DIMS[-1])]
    for dim in DIMS[-2::-1]:
        said = parts[0] @ torch.randn(parts[0].shape[1], dim, generator=generator) / parts[0].shape[1] ** 0.5
        parts.insert(0, 1 + said + independent * torch.randn(count, dim))
    return torch.cat(parts, -1)


def stack(dropout: float = 0.0, levels: list[Quantizer] | None = None) -> Any:
    quantizer = CrossScaleVectors(levels or [table(dim) for dim in reversed(DIMS)], dropout=dropout)
    quantizer.start(related(3000))
    return quantizer.eval()


def error(quantizer: Any, z: Tensor, codes: Tensor) -> float:
    return float((quantizer.decode(codes) - z).square().mean())


@torch.no_grad()
def test_every_level_lowers_the_error_and_levels_may_be_missing() -> None:
    quantizer, z = stack(), related(400)
    codes = quantizer.encode(z)
    errors = [error(quantizer, z, codes[:, :count]) for count in (1, 2, 3)]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] < 0.7 * float((z - z.mean(0)).square().mean())  # finer parts are predicted, not zero
    with pytest.raises(ValueError, match="do not fill"):
        quantizer.decode(codes[:, :0])
    with pytest.raises(ValueError, match="need 13 channels, got 12"):
        quantizer.encode(z[:, 1:])


@torch.no_grad()
def test_levels_of_several_codes_are_dropped_as_a_whole() -> None:
    quantizer, z = stack(levels=[Product([table(3), table(3)]), table(4), table(3)]), related(50)
    codes = quantizer.encode(z)
    assert quantizer.codebook_sizes == (32,) * 4
    assert quantizer.decode(codes[:, :2]).shape == z.shape
    with pytest.raises(ValueError, match="do not fill"):
        quantizer.decode(codes[:, :1])


@torch.no_grad()
def test_prediction_saves_what_coarser_parts_say() -> None:
    """The finer parts against the same tables side by side, at the same bits."""
    apart, quantizer, z = Product([table(dim) for dim in DIMS]), stack(), related(1000)
    apart.start(related(3000))
    errors = [each.decode(each.encode(z)) - z for each in (quantizer, apart.eval())]
    together, alone = (float(each[:, : -DIMS[-1]].square().mean()) for each in errors)
    assert together < 0.75 * alone


@torch.no_grad()
def test_the_start_finds_the_linear_relation() -> None:
    quantizer, z = stack(), related(2000, independent=0.0)
    quantizer.start(z)
    fine, middle, coarse = z.split(DIMS, -1)
    first, second = quantizer.scales.synthesis
    torch.testing.assert_close(first(coarse), middle, atol=0.02, rtol=0)
    torch.testing.assert_close(second(middle), fine, atol=0.02, rtol=0)


@torch.no_grad()
def test_it_is_cross_scale_on_a_grid_of_one_scale() -> None:
    quantizer, z = stack(), related(60)
    scales: CrossScale = quantizer.scales
    planes = scales.encode(z[None].split(DIMS, -1))
    assert torch.equal(quantizer.encode(z.reshape(3, 4, 5, 13)), torch.stack(planes, -1).reshape(3, 4, 5, 3))
    assert torch.equal(quantizer.decode(torch.stack(planes, -1)[0]), torch.cat(scales.decode(planes), -1)[0])


def test_training_with_fewer_levels_gives_what_a_decoder_of_those_codes_gives() -> None:
    quantizer, decoder, z = stack(dropout=1.0), stack(), related(200)
    seen = set()
    for _ in range(8):
        decoder.load_state_dict(quantizer.state_dict())
        out = quantizer.train()(z)
        seen.add(out.codes.shape[-1])
        torch.testing.assert_close(out.vectors, decoder.decode(out.codes))
    assert seen == {1, 2, 3}


def test_each_part_hears_the_decoder_once_and_predictions_learn() -> None:
    quantizer, z = stack(), related(40).requires_grad_()
    weights = torch.randn(40, 13)
    (quantizer(z).vectors * weights).sum().backward()
    assert z.grad is not None
    assert torch.equal(z.grad[:, : DIMS[0]], weights[:, : DIMS[0]])  # coarser parts are heard through predictions too
    assert all(parameter.grad.any() for parameter in quantizer.scales.synthesis.parameters())
