"""Region prototypes and predicted kernels against plain arithmetic."""

import pytest
import torch
from torch.nn import functional as F

from codec.nn import RegionAnalysis, RegionSynthesis
from codec.nn.prototypes import grid_prototypes, mask_prototypes, spread_prototypes
from codec.nn.region import RegionAdaptation, filter_positions


def test_grid_prototypes_are_means_of_cells() -> None:
    features = torch.arange(64.0).reshape(1, 1, 8, 8)
    assert grid_prototypes(features)[0, 0, 0].tolist() == [4.5, 6.5, 8.5, 10.5]


def test_mask_prototypes_are_means_of_regions() -> None:
    """Regions 0 and 2 of a picture, 1 and 2 of another; who has no position gets the mean of all."""
    features = torch.tensor([[[[1.0, 2.0, 6.0]]], [[[1.0, 3.0, 8.0]]]])
    masks = torch.tensor([[[0, 0, 2]], [[1, 1, 2]]])
    prototypes = mask_prototypes(features, masks, 3)
    assert prototypes.tolist() == [[[1.5, 3.0, 6.0]], [[4.0, 2.0, 8.0]]]


def test_each_position_gets_the_prototype_of_its_region() -> None:
    """Pooled at 1/16 resolution, given back at 1/4."""
    masks = torch.zeros(1, 32, 32, dtype=torch.long)
    masks[..., 16:] = 1
    source = torch.tensor([[[[1.0, 5.0], [2.0, 7.0]]]])
    field = spread_prototypes(source, (8, 8), 16, masks)
    assert torch.equal(field[0, 0, 3], torch.tensor([1.5] * 4 + [6.0] * 4))
    cells = spread_prototypes(source, (8, 8), 16, None)
    assert torch.equal(cells[0, 0, ::4, ::4], source[0, 0])


def test_masks_must_fit_the_picture_in_size_and_kind() -> None:
    for masks in (torch.zeros(1, 32, 16, dtype=torch.long), torch.zeros(1, 32, 32)):
        with pytest.raises(ValueError, match=r"masks must be integers \(1, 32, 32\)"):
            spread_prototypes(torch.ones(1, 1, 2, 2), (8, 8), 16, masks)


def test_the_same_kernel_everywhere_is_a_depthwise_convolution() -> None:
    features, kernel = torch.randn(2, 3, 5, 4), torch.randn(3, 1, 3, 3)
    kernels = kernel.reshape(1, 3, 9, 1, 1).expand(2, 3, 9, 5, 4)
    torch.testing.assert_close(filter_positions(features, kernels), F.conv2d(features, kernel, padding=1, groups=3))


def test_a_kernel_works_at_its_own_position_alone() -> None:
    kernels = torch.zeros(1, 1, 9, 3, 3)
    kernels[0, 0, 5, 1, 1] = 1  # the neighbour to the right
    filtered = filter_positions(torch.arange(9.0).reshape(1, 1, 3, 3), kernels)
    assert filtered.flatten().tolist() == [0, 0, 0, 0, 5, 0, 0, 0, 0]


@torch.no_grad()
def test_adaptation_is_nothing_at_first_and_follows_prototypes_later() -> None:
    adaptation, features = RegionAdaptation(6, guide=2, hidden=4), torch.randn(1, 6, 4, 4)
    assert torch.equal(adaptation(features, torch.randn(1, 2, 4, 4)), features)
    adaptation.leave.weight.normal_()
    one, other = (adaptation(features, torch.full((1, 2, 4, 4), value)) for value in (0.0, 1.0))
    assert not torch.allclose(one, other)


def test_masks_are_a_privilege_of_training() -> None:
    analysis, synthesis = RegionAnalysis(6, widths=(4, 6, 8), hidden=4), RegionSynthesis(6, widths=(4, 6, 8), hidden=4)
    x, masks = torch.rand(2, 3, 32, 48), torch.randint(0, 5, (2, 32, 48))
    for module in (analysis, synthesis):
        torch.nn.init.normal_(module.adapt.leave.weight)
    torch.nn.init.normal_(analysis.linear.gain)
    for parameter in synthesis.after.stages[-1].parameters():
        torch.nn.init.normal_(parameter, 0, 0.1)
    n, levels = analysis(x, masks), torch.full((2, 1, 2, 3), 0.5)
    assert not torch.allclose(n, analysis(x))
    assert not torch.allclose(synthesis(n, levels, masks), synthesis(n, levels))
    with pytest.raises(ValueError, match="masks are for training"):
        analysis.eval()(x, masks)
    with pytest.raises(ValueError, match="masks are for training"):
        synthesis.eval()(n, levels, masks)
