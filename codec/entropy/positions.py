"""Which positions of a grid each phase codes, and planes stored so that those of one phase lie side by side.

A checkerboard read from whole planes takes every other number of a row. *Split* planes `(phases, C, height, columns)` hold the
positions of each phase in rows of their own: column q of row r in phase p is column `phases q + (r + p) mod phases` of the grid.
Where that is beyond the width, and in `PAD` more columns at both ends of a row, split planes hold 0.
"""

from functools import cached_property, lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codec.entropy.kernels import PAD

Floats = NDArray[np.float64]


@lru_cache(maxsize=64)
def positions_of(height: int, width: int, phases: int) -> "Positions":
    """One object for each grid: a picture has few."""
    return Positions(height, width, phases)


class Positions:
    """Positions of a grid by the phase that codes them: all in one, or those of even and of odd row + column in turn.

    Args:
        height: rows.
        width: columns.
        phases: 1 or 2.
    """

    def __init__(self, height: int, width: int, phases: int) -> None:
        self.height, self.width, self.phases = height, width, phases
        self.columns = -(-width // phases)

    def index(self, phase: int) -> NDArray[np.int64]:
        """Flat positions `(n,)` of a phase, ascending."""
        return self._flat[phase][self._is_there[phase]]

    def entries(self, phase: int) -> NDArray[np.int64]:
        """Where they are in a flat split plane of their phase, `(n,)`."""
        return np.flatnonzero(self._is_there[phase])

    def span(self, phase: int, first: int, last: int) -> tuple[int, int]:
        """Which of a phase's positions lie in rows `first` to `last`: the first, and the one after the last."""
        starts = self._starts[phase]
        return int(starts[first]), int(starts[last])

    def those_there(self, phase: int, first: int, last: int, values: Floats) -> Floats:
        """Values `((last - first) columns, …)` of a phase's rows, without those beyond the width."""
        there = self._is_there[phase, first * self.columns : last * self.columns]
        return values if there.all() else values[there]

    def known(self, phase: int, device: torch.device) -> Tensor:
        """bool `(height, width)`: what earlier phases have coded."""
        rows, columns = torch.arange(self.height, device=device)[:, None], torch.arange(self.width, device=device)
        return (rows + columns) % self.phases < phase

    def empty(self, batch: int, channels: int) -> Floats:
        """Split planes `(batch, phases, channels, height, columns + 2 PAD)` of zeros."""
        return np.zeros((batch, self.phases, channels, self.height, self.columns + 2 * PAD))

    def whole(self, split: Floats) -> Floats:
        """Split planes as they are in the grid: `(B, phases, C, height, columns + 2 PAD)` to `(B, C, height, width)`."""
        planes = np.empty((split.shape[0], split.shape[2], self.height, self.width))
        for phase in range(self.phases):
            for parity in range(self.phases):
                first = (parity + phase) % self.phases
                into = planes[:, :, parity :: self.phases, first :: self.phases]
                into[:] = split[:, phase, :, parity :: self.phases, PAD : PAD + into.shape[3]]
        return planes

    @cached_property
    def _columns(self) -> NDArray[np.int64]:
        """Column of the grid for each entry, `(phases, height, columns)`."""
        phase, row, column = np.ogrid[: self.phases, : self.height, : self.columns]
        return self.phases * column + (row + phase) % self.phases

    @cached_property
    def _starts(self) -> NDArray[np.int64]:
        """How many positions a phase has before each row, `(phases, height + 1)`."""
        counts = self._is_there.reshape(self.phases, self.height, self.columns).sum(2)
        return np.pad(np.cumsum(counts, 1), [(0, 0), (1, 0)])

    @cached_property
    def _is_there(self) -> NDArray[np.bool_]:
        return (self._columns < self.width).reshape(self.phases, -1)

    @cached_property
    def _flat(self) -> NDArray[np.int64]:
        """Flat positions, with those beyond the width."""
        return (self._columns + self.width * np.arange(self.height)[:, None]).reshape(self.phases, -1)
