"""Root-mean-square norm: torch's own but for bfloat16 on a processor, where that one takes many passes."""

from typing import Any

import torch
from torch import Tensor, nn


class RMSNorm(nn.RMSNorm):
    """Zhang and Sennrich 2019, "Root Mean Square Layer Normalization", arXiv:1910.07467, over the last axis; arguments as torch's."""

    def forward(self, x: Tensor) -> Tensor:
        """`(..., dim)` to the same."""
        if x.dtype == torch.bfloat16 and x.device.type == "cpu":
            normed: Tensor = _Normed.apply(x, self.weight, self.eps)
            return normed
        return super().forward(x)


class _Normed(torch.autograd.Function):
    """The same by few passes over what is normed, all in its own precision; sums are wide."""

    @staticmethod
    def forward(context: Any, x: Tensor, weight: Tensor, floor: float) -> Tensor:
        power = torch.linalg.vecdot(x, x).unsqueeze(-1).float() / x.shape[-1]
        scale = (power + floor).rsqrt().to(x.dtype)
        unit = x * scale
        context.save_for_backward(unit, scale, weight)
        return unit * weight.to(x.dtype)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        unit, scale, weight = context.saved_tensors
        (gradient,) = gradients
        of_weight = (gradient * unit).flatten(0, -2).sum(0, dtype=torch.float32).to(weight.dtype)
        inner = gradient * weight.to(gradient.dtype)
        along = torch.linalg.vecdot(inner, unit).unsqueeze(-1) / unit.shape[-1]
        return torch.addcmul(inner, unit, along, value=-1) * scale, of_weight, None
