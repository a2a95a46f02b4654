"""What a generative model is told beside codes: a class, and a coarse picture as means of code vectors."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.generation.patterns import EMPTY


@dataclass(frozen=True)
class Condition:
    """Of a batch.

    Attributes:
        labels: int64 `(B,)`, `EMPTY` where there is none; None if there is none at all.
        coarse: floats `(B, rows, columns, D)`, as of `coarse_vectors`; None if there is nothing.
        seen: bool `(B,)`, whose coarse picture is there; None: that of all.
    """

    labels: Tensor | None = None
    coarse: Tensor | None = None
    seen: Tensor | None = None

    @property
    def is_empty(self) -> bool:
        """Nothing is said."""
        return self.labels is None and self.coarse is None

    def dropped(self, share: float, random: torch.Generator) -> "Condition":
        """The same, class and coarse picture each left out for a random share of the batch."""
        labels, seen = self.labels, self.seen
        if labels is not None:
            labels = labels.masked_fill(_chosen(len(labels), share, random).to(labels.device), EMPTY)
        if self.coarse is not None:
            kept = ~_chosen(len(self.coarse), share, random).to(self.coarse.device)
            seen = kept if seen is None else seen & kept
        return replace(self, labels=labels, seen=seen)


NOTHING = Condition()


def told_apart(condition: Condition, guidance: float) -> list[Condition]:
    """What a sampler runs its model with: the condition, and nothing too where guidance goes away from that."""
    return [condition] if guidance == 1 or condition.is_empty else [condition, NOTHING]


class Conditions(nn.Module):
    """Condition to what is added at every position of a grid.

    Args:
        dim: channels of the transformer.
        classes: number of classes, 0 without.
        coarse_dim: D of the coarse picture's vectors, 0 without.
        coarse_step: positions a side that one vector of the coarse picture stands for.
    """

    def __init__(self, dim: int, *, classes: int = 0, coarse_dim: int = 0, coarse_step: int = 4) -> None:
        super().__init__()
        self.dim, self.classes, self.coarse_dim, self.coarse_step = dim, classes, coarse_dim, coarse_step
        self.labels = nn.Embedding(1 + classes, dim) if classes else None
        self.coarse = nn.Linear(coarse_dim, dim) if coarse_dim else None
        self.no_coarse = nn.Parameter(torch.zeros(dim)) if coarse_dim else None

    def forward(self, condition: Condition, batch: int, grid: tuple[int, int]) -> Tensor | int:
        """`(B, rows, columns, dim)`, or what broadcasts to it; 0 if the model takes no conditions."""
        self.check(condition)
        total: Tensor | int = 0
        if self.labels is not None:
            labels = condition.labels
            numbers = torch.full((batch,), EMPTY) if labels is None else labels
            total = self.labels(numbers.to(self.labels.weight.device) - EMPTY)[:, None, None]
        if self.coarse is not None:
            assert self.no_coarse is not None
            total = total + self._spread(condition, grid) if condition.coarse is not None else total + self.no_coarse
        return total

    def untold(self) -> Tensor:
        """What is added where nothing is told: `(dim,)`."""
        total = torch.zeros(self.dim) if self.labels is None else self.labels.weight[0].detach()
        return total if self.no_coarse is None else total.to(self.no_coarse.device) + self.no_coarse.detach()

    def _spread(self, condition: Condition, grid: tuple[int, int]) -> Tensor:
        assert self.coarse is not None
        assert self.no_coarse is not None
        assert condition.coarse is not None
        vectors = self.coarse(condition.coarse.to(self.coarse.weight.dtype))
        if condition.seen is not None:
            vectors = torch.where(condition.seen[:, None, None, None], vectors, self.no_coarse)
        spread = vectors.repeat_interleave(self.coarse_step, 1).repeat_interleave(self.coarse_step, 2)
        if spread.shape[1] < grid[0] or spread.shape[2] < grid[1]:
            raise ValueError(
                f"a coarse picture of {tuple(vectors.shape[1:3])} positions, {self.coarse_step} a side each, does not cover {grid}"
            )
        return spread[:, : grid[0], : grid[1]]

    def check(self, condition: Condition) -> None:
        """Refuse what the model was not trained with: `ValueError`."""
        if condition.labels is not None and self.labels is None:
            raise ValueError("this model was trained without classes")
        if condition.labels is not None and int(condition.labels.max()) >= self.classes:
            raise ValueError(f"the model knows classes 0..{self.classes - 1}, got {int(condition.labels.max())}")
        if condition.coarse is not None and self.coarse is None:
            raise ValueError("this model was trained without coarse pictures")


def coarse_vectors(vectors: Tensor, step: int) -> Tensor:
    """Means of what codes stand for, `(B, rows, columns, D)`, over squares of `step`; those at the border are smaller."""
    moved = vectors.movedim(-1, 1)
    pooled = F.avg_pool2d(moved, step, ceil_mode=True, count_include_pad=False)
    return pooled.movedim(1, -1)


def _chosen(count: int, share: float, random: torch.Generator) -> Tensor:
    return torch.rand(count, generator=random, device=random.device) < share
