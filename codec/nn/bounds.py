"""A lower bound that keeps gradients alive."""

import torch
from torch import Tensor


class _LowerBound(torch.autograd.Function):
    """max(values, bound), whose gradient still passes where a step would raise a value that is below the bound."""

    @staticmethod
    def forward(ctx: torch.autograd.function.FunctionCtx, values: Tensor, bound: float) -> Tensor:
        ctx.below = values < bound  # type: ignore[attr-defined]
        return values.clamp_min(bound)

    @staticmethod
    def backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient * (~ctx.below | (gradient < 0)), None  # type: ignore[attr-defined]


def lower_bound(values: Tensor, bound: float) -> Tensor:
    """max(values, bound); unlike a plain clamp it lets values that are below come back."""
    return _LowerBound.apply(values, bound)
