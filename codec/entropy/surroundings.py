"""What lies around the positions of a pass: frames with a border of unknowns, and the codes known so far, looked up at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from codec.entropy.schedule import Cell, LatticePass

UNKNOWN = 0  # symbol of what is outside the chunk or not coded yet; symbol 1 + k is code k
Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Spot:
    """Where a pass codes: int64 positions in the flat frames with their border, and without."""

    bordered: Tensor
    flat: Tensor


@dataclass(frozen=True)
class BorderedFrames:
    """Frames with as many unknown positions around each as a network may look away.

    Attributes:
        shape: frames, rows, columns.
        border: rows above and below, columns left and right.
    """

    shape: tuple[int, int, int]
    border: Cell

    @property
    def sides(self) -> Cell:
        """Rows and columns with the border."""
        return self.shape[1] + 2 * self.border[0], self.shape[2] + 2 * self.border[1]

    def place(self, symbols: Tensor) -> Tensor:
        """Symbols of that shape to flat ones with the border."""
        down, right = self.border
        return F.pad(symbols, (right, right, down, down), value=UNKNOWN).flatten()

    def spot(self, lattice: LatticePass, device: torch.device | None = None) -> Spot:
        """The positions of a pass."""
        frame, row, column = (axis.to(device) for axis in lattice.positions(self.shape))
        (height, width), (_, rows, columns), (down, right) = self.sides, self.shape, self.border
        return Spot((frame * height + row + down) * width + column + right, (frame * rows + row) * columns + column)

    def steps(self, offsets: Sequence[Cell]) -> list[int]:
        """How far each offset leads in flat frames with the border."""
        return [row * self.sides[1] + column for row, column in offsets]


class KnownSymbols:
    """The codes of all planes that are known so far, ready to be seen by integer networks.

    Args:
        embeddings: of each plane, int16 `(1 + K, dim)`; row 0 stands for what is unknown.
        frames: that every plane has.
    """

    def __init__(self, embeddings: Sequence[Tensor], frames: BorderedFrames) -> None:
        self._frames, self._table = frames, np.concatenate([rows.cpu().numpy() for rows in embeddings])
        self._first = np.cumsum([0, *map(len, embeddings)])[:-1]  # row of each plane's unknown
        self._rows = np.repeat(self._first, frames.shape[0] * frames.sides[0] * frames.sides[1])

    def learn(self, plane: int, spot: Spot, codes: Integers) -> None:
        """Take in the codes `(n,)` of a pass."""
        self._plane(plane)[spot.bordered.numpy()] = self._first[plane] + 1 + codes

    def around(self, spot: Spot, seen: Sequence[tuple[int, Cell]]) -> Tensor:
        """The embedded codes at offsets in planes, `(n, len(seen) dim)`: integer-valued float64."""
        away = self._frames.steps([offset for _, offset in seen])
        size = len(self._rows) // len(self._first)
        steps = np.array([plane * size + step for (plane, _), step in zip(seen, away, strict=True)], np.int64)
        found = np.empty((len(spot.bordered), len(seen) * self._table.shape[1]))
        _look_up(self._rows, spot.bordered.numpy(), steps, self._table, found)
        return torch.from_numpy(found)

    def _plane(self, plane: int) -> Integers:
        size = len(self._rows) // len(self._first)
        return self._rows[plane * size : (plane + 1) * size]


@njit(cache=True, nogil=True)
def _look_up(rows, places, steps, table, found):  # type: ignore[no-untyped-def]
    """found[i] = the table's rows named at places[i] + steps, one after the other."""
    dim = table.shape[1]
    for i in range(places.size):
        for k in range(steps.size):
            source = table[rows[places[i] + steps[k]]]
            for d in range(dim):
                found[i, k * dim + d] = source[d]
