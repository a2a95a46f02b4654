"""Convolutions that see the present and the past only, and the arithmetic of how far back a stack of them sees."""

from collections.abc import Iterable
from typing import TypeVar

from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize
from torch.nn.utils.parametrizations import weight_norm

Module = TypeVar("Module", bound=nn.Module)


class TimeMixing(nn.Module):
    """A layer whose output at one position depends on other positions; all layers that are not one keep to their own."""

    def first_input(self, position: int) -> int:
        """The first input position on which the output at `position` depends."""
        raise NotImplementedError


class CausalConv(TimeMixing):
    """Convolution over `(B, before, stride * T)` to `(B, after, T)`; zeros stand for what lies before.

    Output t depends on inputs up to `stride * (t + 1) - 1`, the last of its own.

    Args:
        before: channels of the input.
        after: channels of the output.
        kernel: taps, at least the stride.
        stride: inputs an output.
        dilation: inputs from one tap to the next.
        normed: learn direction and length of each filter apart (Salimans, Kingma 2016, arXiv:1602.07868).
    """

    def __init__(
        self, before: int, after: int, kernel: int, *, stride: int = 1, dilation: int = 1, normed: bool = False
    ) -> None:
        super().__init__()
        self.stride, self.padding = stride, dilation * (kernel - 1) + 1 - stride
        if self.padding < 0:
            raise ValueError(f"a kernel of {kernel} leaves gaps at stride {stride}: use at least {stride} taps")
        self.convolution = _normed(nn.Conv1d(before, after, kernel, stride, dilation=dilation), normed)

    def first_input(self, position: int) -> int:
        return position * self.stride - self.padding

    def forward(self, x: Tensor) -> Tensor:
        """Shapes as in the class text."""
        return self.convolution(F.pad(x, (self.padding, 0)))


class CausalUpsampling(TimeMixing):
    """Transposed convolution of `2 * stride` taps over `(B, before, T)` to `(B, after, stride * T)`.

    Outputs of position t depend on inputs t - 1 and t. Computed as an ordinary convolution of two taps that makes all outputs
    of a position at once, up to twice as fast on a processor.

    Args:
        before: channels of the input.
        after: channels of the output.
        stride: outputs an input.
        normed: as in `CausalConv`.
    """

    def __init__(self, before: int, after: int, stride: int, *, normed: bool = False) -> None:
        super().__init__()
        self.stride = stride
        self.phases = CausalConv(before, after * stride, 2, normed=normed)

    def first_input(self, position: int) -> int:
        return position // self.stride - 1

    def forward(self, x: Tensor) -> Tensor:
        """Shapes as in the class text."""
        return self.phases(x).unflatten(1, (-1, self.stride)).transpose(2, 3).flatten(2)


class Residual(TimeMixing):
    """What some layers make of their input, added to it.

    Args:
        layers: their output has the shape of their input.
    """

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def first_input(self, position: int) -> int:
        return first_input(self.layers, position)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, T)` to the same."""
        return x + self.layers(x)


def first_input(layers: Iterable[nn.Module], position: int) -> int:
    """The first input position on which the output at `position` of layers, one after another, depends."""
    for layer in reversed(list(layers)):
        if isinstance(layer, TimeMixing):
            position = layer.first_input(position)
    return position


def frames_back(layers: Iterable[nn.Module], samples: int = 1) -> int:
    """How many frames before its own the first position of a frame sees; `samples` is the hop of what goes in."""
    return -(first_input(layers, 0) // samples)


def fold_weight_norm(module: Module) -> Module:
    """The module with plain weights, the same to rounding: for use, as norms are otherwise computed in every call."""
    for part in module.modules():
        if parametrize.is_parametrized(part, "weight"):
            parametrize.remove_parametrizations(part, "weight")
    return module


def _normed(layer: Module, normed: bool) -> Module:
    return weight_norm(layer) if normed else layer
