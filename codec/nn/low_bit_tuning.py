"""Fine-tuning of low-bit weights: learned scales and a straight-through gradient that knows how near a weight is to flipping.

Bao et al. 2025, "DynaQuant", arXiv:2511.07903, for the idea of a gradient factor that is a bounded function of the distance to the
rounding boundary. The paper's formula was not at hand: the factor here, linear in the distance to the nearest integer and 1 on
average, is our own form of it. Only weights are rounded; its widths chosen per input are left out, as they make decoding depend on
data. Scales learn as in Esser et al. 2020, "Learned Step Size Quantization", arXiv:1902.08153.
"""

import copy
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from codec.nn.low_bit import LowBit, channel_axis, layer_named, round_weight

Inputs = tuple[Tensor, ...]  # of one call of a transform


def gradient_factor(distance: Tensor, slope: float) -> Tensor:
    """What replaces the 1 of a straight-through gradient, in [0.5, 1.5].

    Args:
        distance: of a weight to its integer, in steps, from 0 to 0.5, where it flips; uniform distances average 1/4.
        slope: 0 gives the plain straight-through gradient.
    """
    return (1 + slope * (distance - 0.25)).clamp(0.5, 1.5)


class _Round(torch.autograd.Function):
    """Rows of weights to the nearest multiples of their scales, within `top` steps."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, scale: Tensor, top: int, slope: float) -> Tensor:
        scale = scale.bfloat16().float()  # as it is stored
        places = rows / scale
        codes = places.round().clamp(-top, top)
        ctx.save_for_backward(places, codes)
        ctx.top, ctx.slope = top, slope
        return codes * scale

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        places, codes = ctx.saved_tensors
        inside = places.abs() <= ctx.top
        factor = gradient_factor((places - places.round()).abs(), ctx.slope)
        to_scale = gradients[0] * torch.where(inside, codes - places, codes)
        return gradients[0] * factor * inside, to_scale.sum(1, keepdim=True), None, None


class LearnedGrid(nn.Module):
    """Parametrisation of a weight: it is used rounded, and the scale of each output channel is learned."""

    def __init__(self, scale: Tensor, bits: int, axis: int, slope: float) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(scale.float().log()[:, None])
        self.top, self.axis, self.slope = 2 ** (bits - 1) - 1, axis, slope

    def forward(self, weight: Tensor) -> Tensor:
        """The rounded weight, in the shape of the weight."""
        moved = weight.movedim(self.axis, 0)
        rounded = cast(Tensor, _Round.apply(moved.flatten(1), self.log_scale.exp(), self.top, self.slope))
        return rounded.reshape(moved.shape).movedim(0, self.axis)


def tune(
    low: LowBit, original: nn.Module, examples: Sequence[Inputs], *, steps: int, rate: float = 2e-4, slope: float = 2.0
) -> list[float]:
    """Let the low-bit transform give the original's output again; returns the squared error of each step.

    Args:
        low: changed in place: the integers and scales of its layers, and its other parameters.
        original: the float transform, the teacher.
        examples: inputs of calls, visited in turn.
        steps: of Adam, the rate falling linearly to zero; scales learn at ten times the rate, as they are logarithms.
        rate: of weights.
        slope: of `gradient_factor`.
    """
    student = copy.deepcopy(original).train().requires_grad_(True)
    grids = [_learn_grid(student, low, name, slope) for name in low.bits]
    scales = [grid.log_scale for grid in grids]
    others = [parameter for name, parameter in student.named_parameters() if not name.endswith("log_scale")]
    optimizer = torch.optim.Adam([{"params": others, "lr": rate}, {"params": scales, "lr": 10 * rate}])
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 1 / steps, steps)
    errors = []
    with torch.no_grad():
        targets = [original(*inputs) for inputs in examples]
    for step in range(steps):
        place = step % len(examples)
        error = nn.functional.mse_loss(student(*examples[place]), targets[place])
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        schedule.step()
        errors.append(error.item())
    _store(student, low)
    return errors


def _learn_grid(student: nn.Module, low: LowBit, name: str, slope: float) -> LearnedGrid:
    layer = layer_named(student, name)
    grid = LearnedGrid(low.stored(name).scale, low.bits[name], channel_axis(layer), slope)
    parametrize.register_parametrization(layer, "weight", grid)
    return grid


@torch.no_grad()
def _store(student: nn.Module, low: LowBit) -> None:
    """Move what was learned into the low-bit transform."""
    for name, width in low.bits.items():
        layer = layer_named(student, name)
        parts = cast(Any, layer.parametrizations)["weight"]
        scale = parts[0].log_scale.exp()[:, 0]
        low.store(name, round_weight(parts.original, width, channel_axis(layer), scale))
    learned = dict(student.named_parameters())
    for name, parameter in cast(nn.Module, low.module).named_parameters():
        parameter.copy_(learned[name])
