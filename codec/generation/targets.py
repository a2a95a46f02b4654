"""What a causal model is told of the code that it has to predict: its plane, its place in the grid, and the condition there."""

import torch
from torch import Tensor, nn

from codec.generation.conditions import Condition, Conditions
from codec.generation.patterns import EMPTY, Places

FREQUENCIES = 16
LONGEST = 4096.0  # positions that the slowest sinusoid takes to turn


class Targets(nn.Module):
    """Steps of a pattern to vectors.

    Args:
        dim: channels of the transformer.
        planes: Q.
        conditions: what the model may be told.
    """

    def __init__(self, dim: int, planes: int, conditions: Conditions) -> None:
        super().__init__()
        self.dim, self.conditions = dim, conditions
        self.planes = nn.Embedding(planes, dim)
        self.places = nn.Linear(4 * FREQUENCIES, dim)
        nn.init.normal_(self.planes.weight, std=0.02)

    def forward(self, places: Places, condition: Condition, batch: int, grid: tuple[int, int]) -> Tensor:
        """`(B, steps, dim)`, of the first code of each step."""
        device = self.planes.weight.device
        row = (places.planes != EMPTY).int().argmax(1)
        step = torch.arange(len(row))
        plane, position = places.planes[step, row].to(device), places.positions[step, row].to(device)
        axes = torch.stack([position // grid[1], position % grid[1]], 1)
        told = self.conditions(condition, batch, grid)
        if isinstance(told, Tensor):
            told = told.expand(batch, *grid, self.dim).flatten(1, 2)[:, position]
        found: Tensor = (self.planes(plane) + self.places(sinusoids(axes)))[None] + told
        return found.expand(batch, -1, -1)


def sinusoids(places: Tensor) -> Tensor:
    """int64 `(n, axes)` to `(n, axes 2 FREQUENCIES)`."""
    speeds = LONGEST ** (-torch.arange(FREQUENCIES, device=places.device) / (FREQUENCIES - 1))
    angles = places[:, :, None] * speeds
    return torch.cat([angles.sin(), angles.cos()], 2).flatten(1)
