"""Quantizers of grids and levels: several scales of one map, levels of a U-shaped codec, two levels."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.quantizers import CrossScale, EMACodebook, Enlarge, GradientCodebook, MultiScale, TwoLevel, VectorQuantizer
from codec.quantizers.grid.resampling import area, cubic, resample

VAR_SIZES = (1, 2, 3, 4, 5, 6, 8, 10, 13, 16)


def table(size: int = 32, dim: int = 6) -> VectorQuantizer:
    return VectorQuantizer(EMACodebook(size, dim, kmeans_iterations=5))


def smooth(batch: int, *grid: int, dim: int = 6) -> Tensor:
    """Features that have something on every scale."""
    coarse = torch.randn(batch, *[max(1, side // 4) for side in grid], dim)
    return resample(coarse, grid, cubic) + 0.3 * torch.randn(batch, *grid, dim)


@pytest.mark.parametrize(("before", "after"), [((16, 16), (5, 10)), ((16, 12), (1, 13)), ((7, 9), (3, 2))])
def test_resampling_equals_that_of_torch(before: tuple[int, int], after: tuple[int, int]) -> None:
    x = torch.randn(2, *before, 3)
    down = F.interpolate(x.movedim(-1, 1), after, mode="area").movedim(1, -1)
    up = F.interpolate(down.movedim(-1, 1), before, mode="bicubic").movedim(1, -1)
    torch.testing.assert_close(resample(x, after, area), down)
    torch.testing.assert_close(resample(down, before, cubic), up)
    torch.testing.assert_close(resample(x[:, :, 0], after[:1], area), resample(x, (after[0], before[1]), area)[:, :, 0])


def test_multi_scale_has_the_published_scales() -> None:
    quantizer = MultiScale(table(), VAR_SIZES)
    assert quantizer.layout((16, 16)) == tuple((size, size) for size in VAR_SIZES)
    assert sum(height * width for height, width in quantizer.layout((16, 16))) == 680
    assert [quantizer._refinement(k) for k in range(10)] == [0, 0, 1, 1, 1, 2, 2, 3, 3, 3]
    assert quantizer.layout((8, 24))[0] == (1, 2)
    assert quantizer.layout((8, 24))[-1] == (8, 24)
    assert MultiScale(table(), (1, 2), axes=1).layout((9,)) == ((5,), (9,))


def multi_scale() -> Any:
    quantizer: Any = MultiScale(table(64), (1, 2, 4, 8))
    for convolution in quantizer.refinements:
        nn.init.dirac_(convolution.weight)
        nn.init.zeros_(convolution.bias)
    quantizer.start([smooth(24, 8, 8)])
    return quantizer.eval()


def test_every_scale_lowers_the_error_and_any_prefix_decodes() -> None:
    quantizer, z = multi_scale(), smooth(6, 8, 8)
    planes = quantizer.encode([z])
    sums = [quantizer.decode(planes[: n + 1], (8, 8))[0].detach() for n in range(4)]
    errors = [float((total - z).square().mean()) for total in sums]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] < float(z.square().mean())
    with pytest.raises(ValueError, match="do not tell the grid"):
        quantizer.decode(planes[:2])
    with pytest.raises(ValueError, match="not 1 to 4 scales"):
        quantizer.decode([])


def test_multi_scale_learns_once_a_step_and_refines_by_the_decoder() -> None:
    quantizer, z = multi_scale().train(), smooth(3, 8, 8).requires_grad_()
    weights = torch.randn(3, 8, 8, 6)
    (quantizer([z]).vectors[0] * weights).sum().backward()
    assert int(quantizer.quantizer.codebook.updates) == 1
    assert z.grad is not None
    assert torch.equal(z.grad, weights)
    assert all(parameter.grad.abs().sum() > 0 for parameter in quantizer.refinements.parameters())


def test_multi_scale_losses_are_means_over_the_running_sums() -> None:
    quantizer, z = multi_scale(), smooth(1, 8, 8)
    planes = quantizer.encode([z])
    sums = [quantizer.decode(planes[: n + 1], (8, 8))[0] for n in range(4)]
    expected = torch.stack([(z - total).square().mean() for total in sums]).mean()
    losses = quantizer([z]).losses
    torch.testing.assert_close(losses["commitment"], expected)
    torch.testing.assert_close(losses["refinement"], expected)


def cross_scale(levels: int = 3, dropout: float = 0.0) -> Any:
    quantizer: Any = CrossScale(
        [table(64) for _ in range(levels)],
        [Enlarge(6, 6, axes=1) for _ in range(levels - 1)],
        dropout=dropout,
    )
    for block in quantizer.synthesis:  # children begin as their parent
        with torch.no_grad():
            block.spread.weight.copy_(torch.eye(6).repeat(2, 1))
            block.spread.bias.zero_()
    quantizer.start(pyramid(20, levels))
    return quantizer


def pyramid(batch: int, levels: int = 3, time: int = 16) -> list[Tensor]:
    """A feature and its means over 2, 4 ... frames."""
    features = [smooth(batch, time)]
    for _ in range(levels - 1):
        features.append(resample(features[-1], (features[-1].shape[1] // 2,), area))
    return features


def test_children_of_a_cell_lie_where_the_cell_was() -> None:
    enlarge = Enlarge(3, 2, factor=2)
    x = torch.randn(1, 4, 5, 3)
    y = enlarge(x)
    assert y.shape == (1, 8, 10, 2)
    torch.testing.assert_close(y[0, 4:6, 2:4].reshape(-1), enlarge.spread(x[0, 2, 1]))
    with pytest.raises(ValueError, match="2 axes"):
        enlarge(x[0])


def test_every_level_lowers_the_error_and_levels_may_be_missing() -> None:
    quantizer, features = cross_scale().eval(), pyramid(5)
    planes = quantizer.encode(features)
    decoded = [quantizer.decode(planes[: n + 1])[0].detach() for n in range(3)]
    errors = [float((vectors - features[0]).square().mean()) for vectors in decoded]
    assert errors == sorted(errors, reverse=True)
    assert [tuple(level.shape) for level in quantizer.decode(planes[:1])] == [(5, 16, 6), (5, 8, 6), (5, 4, 6)]
    with pytest.raises(ValueError, match="do not fill"):
        quantizer.decode([])


def test_training_with_fewer_levels_gives_what_a_decoder_of_those_planes_gives() -> None:
    quantizer, features = cross_scale(dropout=1.0), pyramid(4)
    decoder = cross_scale().eval()
    seen = set()
    for _ in range(8):
        decoder.load_state_dict(quantizer.state_dict())
        out = quantizer.train()(features)
        seen.add(len(out.planes))
        torch.testing.assert_close(out.vectors, decoder.decode(out.planes))
    assert seen == {1, 2, 3}


def test_each_level_hears_the_decoder_once_and_so_does_the_synthesis() -> None:
    quantizer, features = cross_scale(2).eval(), [feature.requires_grad_() for feature in pyramid(2, 2)]
    decoder = quantizer.decode(quantizer.encode(features))[0]  # given the codes, only the synthesis can learn
    weights = torch.randn(2, 16, 6)
    (quantizer(features).vectors[0] * weights).sum().backward()
    assert features[0].grad is not None
    assert torch.equal(features[0].grad, weights)
    gradient = quantizer.synthesis[0].spread.weight.grad.clone()
    (decoder * weights).sum().backward()
    torch.testing.assert_close(quantizer.synthesis[0].spread.weight.grad, 2 * gradient)


def two_level() -> TwoLevel:
    bottom, top = VectorQuantizer(GradientCodebook(64, 6, kmeans_iterations=5)), table(64, 8)
    quantizer = TwoLevel(bottom, top, Enlarge(8, 6))
    quantizer.start([smooth(6, 8, 8), smooth(6, 4, 4, dim=8)])
    return quantizer.eval()


def test_bottom_is_coded_given_the_top_and_may_be_missing() -> None:
    quantizer, features = two_level(), [smooth(2, 8, 8), smooth(2, 4, 4, dim=8)]
    planes = quantizer.encode(features)
    bottom, top = quantizer.decode(planes[:1])
    assert not bottom.any()
    assert torch.equal(top, quantizer.decode(planes)[1])
    assert quantizer.layout((8, 8)) == ((4, 4), (8, 8))
    with torch.no_grad():  # the merge begins as the bottom alone; once it listens, another top gives other codes
        quantizer.merge.weight[:, 6:] = torch.eye(6)
    other = quantizer.encode([features[0], -features[1]])
    assert not torch.equal(other[1], quantizer.encode(features)[1])
    with pytest.raises(ValueError, match="got 3"):
        quantizer.decode([*planes, planes[0]])


def test_top_hears_the_decoder_by_both_ways() -> None:
    quantizer, top = two_level(), smooth(1, 4, 4, dim=8).requires_grad_()
    with torch.no_grad():
        quantizer.merge.weight[:, 6:] = torch.eye(6)
    out = quantizer([smooth(1, 8, 8), top])
    (by_bottom,) = torch.autograd.grad(out.vectors[0].sum(), top, retain_graph=True)
    (by_top,) = torch.autograd.grad(out.vectors[1].sum(), top)
    assert by_bottom.abs().sum() > 0
    assert torch.equal(by_top, torch.ones_like(by_top))
