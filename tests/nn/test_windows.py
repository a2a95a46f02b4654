"""Window attention: partition, mask and bias against loops; tiles must lie on the windows."""

import math

import pytest
import torch
from torch import Tensor

from codec.nn import SwinAnalysis
from codec.nn.swin import SwinGroup
from codec.nn.windows import RelativeBias, WindowAttention, from_windows, into_windows, log_distances, relative_places


def test_windows_in_raster_order_and_back() -> None:
    picture = torch.arange(24).reshape(1, 4, 6, 1)
    windows = into_windows(picture, 2)
    assert windows[1, :, 0].tolist() == [2, 3, 8, 9]
    assert windows[3, :, 0].tolist() == [12, 13, 18, 19]
    assert torch.equal(from_windows(windows, 2, 3, 2), picture)


def test_distances_are_those_of_the_paper() -> None:
    """sign(d) log2(1 + |8 d / (W - 1)|) / log2 8 for d = -7 … 7 of a window of 8."""
    rows = log_distances(8)[::15, 0]
    assert rows[0] == pytest.approx(-math.log2(9) / 3)
    assert rows[7] == 0
    assert rows[8] == pytest.approx(math.log2(1 + 8 / 7) / 3)


def test_places_of_a_window_of_two() -> None:
    """The same position has the middle distance of 3 x 3; one row further down, three more."""
    assert relative_places(2).tolist() == [[4, 3, 1, 0], [5, 4, 2, 1], [7, 6, 4, 3], [8, 7, 5, 4]]


def test_bias_depends_on_the_distance_alone() -> None:
    bias = RelativeBias(4, 2)()
    assert bias.shape == (2, 16, 16)
    assert torch.equal(bias[:, 0, 5], bias[:, 10, 15])
    assert not torch.equal(bias[:, 0, 5], bias[:, 5, 0])
    assert (bias > 0).all()
    assert (bias < 16).all()


@torch.no_grad()
def by_loops(attention: WindowAttention, x: Tensor) -> Tensor:
    """Each position of `(H, W, C)` looks at those that share its window, one by one."""
    window, shift, heads = attention.window, attention.shift, attention.heads
    query, key, value = (
        layer(x).unflatten(-1, (heads, -1)) for layer in (attention.query, attention.key, attention.value)
    )
    scale, bias = attention.log_scale.exp().flatten(), attention.bias()
    places: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for row in range(x.shape[0]):
        for column in range(x.shape[1]):
            home = (row + shift) // window, (column + shift) // window
            places.setdefault(home, []).append((row, column))
    mixed = torch.zeros_like(x)
    for members in places.values():
        index = [(row + shift) % window * window + (column + shift) % window for row, column in members]
        for (row, column), own in zip(members, index, strict=True):
            logits = torch.stack(
                [
                    scale * torch.cosine_similarity(query[row, column], key[other], dim=-1) + bias[:, own, place]
                    for other, place in zip(members, index, strict=True)
                ]
            )
            values = torch.stack([value[other] for other in members])
            mixed[row, column] = (logits.softmax(0)[..., None] * values).sum(0).flatten()
    return attention.leave(mixed)


@pytest.mark.parametrize("shift", [0, 2])
@pytest.mark.parametrize("size", [(8, 8), (5, 7), (1, 1)])
@torch.no_grad()
def test_attention_equals_loops_over_odd_sizes(shift: int, size: tuple[int, int]) -> None:
    attention = WindowAttention(6, heads=2, window=4, shift=shift).double()
    x = torch.randn(2, *size, 6, dtype=torch.float64)
    torch.testing.assert_close(attention(x), torch.stack([by_loops(attention, one) for one in x]))


def test_attention_refuses_what_does_not_fit() -> None:
    with pytest.raises(ValueError, match="heads must divide the width"):
        WindowAttention(6, heads=4, window=4, shift=0)
    with pytest.raises(ValueError, match="widths must name 3 numbers"):
        SwinAnalysis(4, widths=(8, 8))


@torch.no_grad()
def test_a_group_is_a_plain_doubling_at_the_start() -> None:
    """Norms after the layers start at zero, so that blocks are the identity under the group's own residual."""
    x = torch.randn(1, 8, 6, 6)
    torch.testing.assert_close(SwinGroup(8, depth=2, heads=2, window=4)(x), 2 * x)


@torch.no_grad()
def test_tiles_off_the_windows_differ() -> None:
    """Why `alignment` is stated: one position to the side, another window."""
    group = SwinGroup(8, depth=2, heads=2, window=4)
    for parameter in group.parameters():
        parameter.add_(0.3 * torch.randn(parameter.shape))
    x = torch.randn(1, 8, 4, 32)
    whole = group(x)
    torch.testing.assert_close(group(x[..., 4:])[..., 12:], whole[..., 16:])
    assert not torch.allclose(group(x[..., 3:])[..., 13:], whole[..., 16:], atol=1e-3)


def test_alignment_and_halo_follow_the_window() -> None:
    """Windows of 8 at 1/8 resolution are 4 latent positions; 162 pixels of reach are 11 positions, 12 on that grid."""
    small, large = SwinAnalysis(4, window=4), SwinAnalysis(4)
    assert (large.alignment, large.halo) == (4, 12)
    assert (small.alignment, small.halo) == (2, 6)
