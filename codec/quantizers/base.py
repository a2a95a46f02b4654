"""What every quantizer promises, and the one place where its result is described.

Legend: `z` continuous vectors from the encoder, `e` codebook rows, `q` the vectors that codes stand for, `K` codes, `D` dimensions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class Quantized:
    """What a quantizer made of `z`.

    Attributes:
        vectors: `(..., D)`, in the forward pass exactly `decode(codes)`; carries the estimator's gradient to `z`.
        codes: int64 `(..., Q)`.
        losses: unweighted scalars by name, e.g. `commitment`; weights live in the training configuration.
    """

    vectors: Tensor
    codes: Tensor
    losses: dict[str, Tensor] = field(default_factory=dict)


class Quantizer(Protocol):
    """Vectors to integers and back, channel-last and blind to modality; classes only inherit from `nn.Module`.

    Attributes:
        dim: length D of the vectors.
        codebook_sizes: alphabet of each of the Q codes at one position.
    """

    dim: int
    codebook_sizes: tuple[int, ...]

    def encode(self, z: Tensor) -> Tensor:
        """`(..., D)` to int64 `(..., Q)`; deterministic, independent of batch neighbours."""

    def decode(self, codes: Tensor) -> Tensor:
        """int64 `(..., Q)` to `(..., D)`; a residual quantizer, which has `prefixes`, decodes so many first codes too."""

    def start(self, z: Tensor) -> None:
        """Set what depends on data from `(N, D)` vectors, once, before training; the same on every process."""

    def __call__(self, z: Tensor) -> Quantized:
        """Quantize with gradients and, in training, statistics."""


def pass_gradient(z: Tensor, q: Tensor) -> Tensor:
    """`q` in the forward pass; its gradient goes to `z` as well, of the same shape (straight-through)."""
    return _PassGradient.apply(z, q) if z.requires_grad else q


class _PassGradient(torch.autograd.Function):
    """Costs no arithmetic, where `q + (z - z.detach())` takes two passes over memory; `z + (q - z).detach()` is not even q."""

    @staticmethod
    def forward(_: Any, z: Tensor, q: Tensor) -> Tensor:
        """A view, so that autograd tells it from its argument."""
        return q.view_as(q)

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """The same to both."""
        return gradient, gradient


def average_losses(stages: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Mean of each loss over several stages or parts; one that does not have it counts 0."""
    names = dict.fromkeys(name for losses in stages for name in losses)
    return {
        name: torch.stack([losses[name] for losses in stages if name in losses]).sum() / len(stages) for name in names
    }


def prefixes_of(quantizer: Quantizer) -> tuple[int, ...]:
    """Numbers of first codes of a position that decode, ascending: those that the quantizer's `prefixes` states, or only all of them."""
    stated: tuple[int, ...] | None = getattr(quantizer, "prefixes", None)
    return (len(quantizer.codebook_sizes),) if stated is None else stated


def whole_stages(widths: Sequence[int], count: int) -> list[int]:
    """Widths of the first stages that `count` codes fill; refused where they end inside a stage or before the first."""
    used = [width for i, width in enumerate(widths) if sum(widths[: i + 1]) <= count]
    if sum(used) != count or not used:
        raise ValueError(f"{count} codes a position do not fill whole stages of {list(widths)}")
    return used


@dataclass(frozen=True)
class GridQuantized:
    """What a grid quantizer made of features.

    Attributes:
        vectors: `(B, *grid, D)` each, finest first; in the forward pass exactly `decode(planes)`.
        planes: int64 `(B, *grid)` each, coarse to fine; in training a stack with dropout may leave out the last ones.
        losses: unweighted scalars by name.
    """

    vectors: tuple[Tensor, ...]
    planes: tuple[Tensor, ...]
    losses: dict[str, Tensor] = field(default_factory=dict)


class GridQuantizer(Protocol):
    """Feature grids to integer planes and back, for quantizers that need a grid or several features.

    Features are channel-last, `(B, h, w, D)` for pictures or `(B, t, D)` for sound, finest first. `grid` is always that of
    the first feature, and must be a multiple of every stride.

    Attributes:
        axes: of a grid, 2 for pictures, 1 for sound.
        dims: length D of the vectors of each feature.
        strides: size of a cell of each feature in cells of the first.
        codebook_sizes: alphabet of each plane.
    """

    axes: int
    dims: tuple[int, ...]
    strides: tuple[int, ...]
    codebook_sizes: tuple[int, ...]

    def layout(self, grid: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        """The grid of each plane, from the grid of the first feature alone: what a decoder allocates."""

    def encode(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Features to int64 planes `(B, *grid)`; deterministic, each example by itself."""

    def decode(self, planes: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Planes to vectors `(B, *grid, D)`, finest first."""

    def start(self, features: Sequence[Tensor]) -> None:
        """Set what depends on data, once, before training; the same on every process."""

    def __call__(self, features: Sequence[Tensor]) -> GridQuantized:
        """Quantize with gradients and, in training, statistics."""
