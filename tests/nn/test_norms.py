"""Norms and attention in bfloat16 by short roads: values and gradients as of the plain ones in single precision."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from codec.nn.norms import RMSNorm
from codec.nn.transformer import attend


def close(found: Tensor, expected: Tensor, share: float) -> bool:
    return float((found.float() - expected).norm()) < share * float(expected.norm())


@pytest.mark.parametrize("shape", [(5, 32), (2, 3, 7, 16)])
def test_the_norm_and_its_gradients(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    norm, x, onto = RMSNorm(shape[-1], 2.0**-16), 3 * torch.randn(shape), torch.randn(shape)
    torch.nn.init.normal_(norm.weight)
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        own = x.detach().to(dtype).requires_grad_()
        norm.zero_grad()
        y = norm(own)
        y.backward(onto.to(dtype))
        assert own.grad is not None
        assert norm.weight.grad is not None
        found.append((y.detach(), own.grad, norm.weight.grad.clone()))
    for plain, short in zip(*found, strict=True):
        assert close(short, plain, 0.02)


@pytest.mark.parametrize("masked", [False, True])
def test_attention_and_its_gradients(masked: bool) -> None:
    torch.manual_seed(0)
    parts, onto = torch.randn(3, 2, 4, 9, 16), torch.randn(2, 4, 9, 16)
    mask = (torch.rand(2, 1, 1, 9) < 0.6) | (torch.arange(9) == 0) if masked else None
    found = []
    for dtype in (torch.float32, torch.bfloat16):
        query, key, value = (part.to(dtype).requires_grad_() for part in parts.clone().unbind(0))
        mixed = attend(query, key, value, mask)
        found.append((mixed.detach(), *torch.autograd.grad(mixed, (query, key, value), onto.to(dtype))))
    for plain, short in zip(*found, strict=True):
        assert close(short, plain, 0.03)
    assert close(found[0][0], F.scaled_dot_product_attention(*parts.unbind(0), attn_mask=mask), 1e-6)
