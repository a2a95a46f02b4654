"""Learned maps around quantizers: the attention projection of UniTok, the adapters and the penalty of FQGAN."""

import pytest
import torch
from torch import nn

from codec.quantizers import (
    FSQ,
    AttentionMap,
    BranchAdapters,
    Cosine,
    Disentanglement,
    GradientCodebook,
    LinearMap,
    Mapped,
    Product,
    VectorQuantizer,
)
from codec.quantizers.blocks import by_blocks


def unsettled(module: nn.Module) -> nn.Module:
    """With nothing left at zero."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return module


@pytest.mark.parametrize(("before", "after"), [(24, 8), (8, 24), (8, 8)])
def test_attention_map_begins_linear_and_keeps_positions_apart(before: int, after: int) -> None:
    layer = AttentionMap(before, after)
    x = torch.randn(2, 5, before)
    torch.testing.assert_close(layer(x), layer.linear(layer.norm(x)))
    unsettled(layer)
    y = layer(x)
    assert not torch.allclose(y, layer.linear(layer.norm(x)))
    moved = x.clone()
    moved[0, 2] = torch.randn(before)
    changed = (layer(moved) - y).abs().amax(-1) > 1e-5
    assert changed.nonzero().tolist() == [[0, 2]]


def test_attention_map_refuses_widths_that_do_not_divide() -> None:
    with pytest.raises(ValueError, match="got 24 and 7"):
        AttentionMap(24, 7)


def test_rows_come_out_of_blocks_the_same_whatever_comes_with_them() -> None:
    layer, rows = unsettled(AttentionMap(24, 8)), torch.randn(700, 24)
    whole = by_blocks(layer, rows)
    torch.testing.assert_close(whole, layer(rows))
    for count in (0, 1, 255, 257):
        assert torch.equal(by_blocks(layer, rows[:count]), whole[:count])
    order = torch.randperm(700)
    assert torch.equal(by_blocks(layer, rows[order]), whole[order])
    assert torch.equal(by_blocks(layer, rows.view(7, 100, 24)), whole.view(7, 100, 8))


def test_maps_start_at_the_principal_axes_and_their_least_squares_inverse() -> None:
    quantizer = Mapped(LinearMap(12, 4), FSQ([15, 15, 15, 15]), LinearMap(4, 12))
    z = torch.randn(3000, 4) @ torch.randn(4, 12) + 5
    quantizer.start(z)
    torch.testing.assert_close(quantizer.down(z).std(0), torch.ones(4), atol=0.05, rtol=0.05)
    error = (quantizer.eval()(z).vectors - z).detach()
    assert float(error.square().mean() / z.var()) < 0.1  # what the bounded corners of FSQ leave


def test_maps_that_do_not_meet_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(5, 4, 4\)"):
        Mapped(LinearMap(12, 5), FSQ([3] * 4), LinearMap(4, 12))
    with pytest.raises(ValueError, match="from 12 to 11"):
        Mapped(LinearMap(12, 4), FSQ([3] * 4), LinearMap(4, 11))


def test_disentanglement_is_the_mean_squared_cosine_of_all_pairs() -> None:
    a, b, c = torch.tensor([[1.0, 0.0]]), torch.tensor([[2.0, 2.0]]), torch.tensor([[0.0, 3.0]])
    assert float(Disentanglement()([a, b, c])["disentanglement"]) == pytest.approx((0.5 + 0 + 0.5) / 3)
    with pytest.raises(ValueError, match=r"\[2, 3\]"):
        Disentanglement()([a, torch.zeros(1, 3)])


def test_penalty_turns_branches_that_begin_nearly_alike_apart() -> None:
    parts = [VectorQuantizer(GradientCodebook(64, 4, kmeans_iterations=5), Cosine()) for _ in range(2)]
    quantizer = Mapped(BranchAdapters(16, [4, 4], 16), Product(parts, Disentanglement()), LinearMap(8, 16))
    z = torch.randn(600, 16)
    quantizer.start(z)
    linear = quantizer.down.linear
    with torch.no_grad():
        linear.weight[4:] = linear.weight[:4] + 0.1 * torch.randn(4, 16)
    parts[1].load_state_dict(parts[0].state_dict())
    cosines = []
    for _ in range(30):
        loss = quantizer(z).losses["disentanglement"]
        gradients = torch.autograd.grad(loss, [linear.weight, linear.bias])
        with torch.no_grad():
            for values, gradient in zip((linear.weight, linear.bias), gradients, strict=True):
                values -= 2.0 * gradient
        cosines.append(float(loss.detach()))
    assert cosines[0] > 0.7
    assert cosines[-1] < 0.5, cosines
