"""From one level's grid to the next finer one: a linear map of each cell to its children."""

from torch import Tensor, nn


class Enlarge(nn.Module):
    """`(B, *grid, before)` to `(B, *finer grid, after)`; no cell sees another.

    Args:
        before: width of the input.
        after: width of the output.
        factor: children of a cell on each axis.
        axes: of the grid.
    """

    def __init__(self, before: int, after: int, factor: int = 2, axes: int = 2) -> None:
        super().__init__()
        self.factor, self.axes = factor, axes
        self.spread = nn.Linear(before, factor**axes * after)

    def forward(self, x: Tensor) -> Tensor:
        """Shapes as in the class text."""
        grid, count = x.shape[1:-1], len(x.shape) - 2
        if count != self.axes:
            raise ValueError(f"expected a grid of {self.axes} axes, channel-last, got {tuple(x.shape)}")
        cells = self.spread(x).unflatten(-1, (*[self.factor] * count, -1))
        order = [0, *(axis for i in range(1, count + 1) for axis in (i, i + count)), 2 * count + 1]
        return cells.permute(order).reshape(len(x), *(side * self.factor for side in grid), -1)
