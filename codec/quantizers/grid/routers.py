"""Where a picture needs fine codes: a router decides, cell by cell, which cells of a level are split into finer ones.

A map of splits has one grid for each level but the finest, coarsest first: 1 where a cell is split, and 0 where it is not or where
a coarser cell already ended.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.quantizers.base import pass_gradient
from codec.quantizers.grid.resampling import area, repeat, resample


@dataclass(frozen=True)
class Routing:
    """What a router decided.

    Attributes:
        splits: `(B, *grid)` float for each level but the finest, coarsest first; 0 or 1, with a gradient where it is learned.
        losses: unweighted scalars by name.
    """

    splits: tuple[Tensor, ...]
    losses: dict[str, Tensor] = field(default_factory=dict)


class Router(Protocol):
    """Decides on the splits of each example by itself.

    Attributes:
        levels: of granularity, each twice as fine as the one before.
        axes: of the grids.
    """

    levels: int
    axes: int

    @property
    def guide_stride(self) -> int | None:
        """The first feature is a guide of width 1 that only the router sees, with so many cells to a cell of the finest level
        on each axis; None without such a feature.
        """

    def splits(self, features: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """`(B, *grid)` 0 or 1 for each level but the finest, coarsest first, from all features, finest first; deterministic."""

    def __call__(self, features: Sequence[Tensor]) -> Routing:
        """The same with gradient and, in training, draws."""


def occupancy(splits: Sequence[Tensor], axes: int) -> list[Tensor]:
    """`(B, *grid)` for each level, coarsest first: 1 where the level has its code, 0 where a coarser or finer one has."""
    reach, levels = torch.ones_like(splits[0]), []
    for split in splits:
        levels.append(reach * (1 - split))
        reach = repeat(reach * split, 2, axes)
    return [*levels, reach]


class LearnedRouter(nn.Module):
    """A small network for each level sees a cell and the mean of its children; in training a logistic draw decides.

    Huang et al. 2023 (DQ-VAE), "Towards Accurate Image Coding: Improved Autoregressive Image Generation with Dynamic Vector
    Quantization", arXiv:2305.11718. The draw is the difference of two Gumbel draws, seeded by a counter; the gradient is that
    of the soft decision. Norms are over channels: group norms would look over the whole picture.
    Loss `budget`: squared distance of the codes used from `target`, on a scale from all coarse (0) to all fine (1).

    Args:
        dim: width of the features.
        levels: of granularity, at least 2.
        target: where the budget lies.
        hidden: width of the networks' hidden layer.
        axes: of the grids.
    """

    guide_stride = None
    updates: Tensor  # number of training batches seen

    def __init__(self, dim: int, levels: int = 2, *, target: float = 0.5, hidden: int = 64, axes: int = 2) -> None:
        super().__init__()
        if levels < 2:
            raise ValueError(f"need at least 2 levels of granularity, got {levels}")
        self.target, self.levels, self.axes = target, levels, axes
        self.register_buffer("updates", torch.tensor(0))
        self.deciders = nn.ModuleList(
            nn.Sequential(nn.Linear(2 * dim, hidden), nn.SiLU(), nn.Linear(hidden, 1)) for _ in range(levels - 1)
        )

    def splits(self, features: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Of features of all levels, finest first, without a draw."""
        return tuple((logits > 0).float() for logits in self._logits(features))

    def forward(self, features: Sequence[Tensor]) -> Routing:
        """Decide with a gradient, in training by a draw."""
        generator = torch.Generator().manual_seed(int(self.updates))
        splits = []
        for logits in self._logits(features):
            if self.training:
                draw = torch.rand(logits.shape, generator=generator).clamp(1e-6, 1 - 1e-6).to(logits)
                logits = logits + draw.logit()
            soft = torch.sigmoid(logits)
            splits.append(pass_gradient(soft, (logits > 0).float()))
        if self.training:
            self.updates += 1
        return Routing(tuple(splits), {"budget": (self._spent(splits) - self.target).square()})

    def _logits(self, features: Sequence[Tensor]) -> list[Tensor]:
        """`(B, *grid)` for each level but the finest, coarsest first: above 0 where splitting is right."""
        placed = [F.layer_norm(feature.float(), feature.shape[-1:]) for feature in reversed(features)]
        logits = []
        for decider, coarse, fine in zip(self.deciders, placed[:-1], placed[1:], strict=True):
            children = resample(fine, coarse.shape[1:-1], area)
            logits.append(decider(torch.cat([coarse, children], -1)).squeeze(-1))
        return logits

    def _spent(self, splits: Sequence[Tensor]) -> Tensor:
        """Codes used, as a share of the way from all coarse to all fine."""
        levels = occupancy(splits, self.axes)
        used = torch.stack([level.sum() for level in levels]).sum()
        least, most = levels[0].numel(), levels[-1].numel()
        return (used - least) / max(1, most - least)
