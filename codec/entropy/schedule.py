"""In which order the positions of a grid are coded: a few passes, each parallel, each denser than the one before.

Known positions always form a regular lattice, so every position of a pass sees the same pattern of known neighbours and one
network per pass needs no masks (fixed dispersed orders do as well as adaptive ones: Mentzer et al. 2023, arXiv:2304.07313).
"""

from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

Cell = tuple[int, int]


@dataclass(frozen=True)
class LatticePass:
    """Positions coded at once.

    Attributes:
        cells: rows and columns modulo `period`.
        period: of the lattice.
        offsets: known positions that a position of this pass looks at, nearest first; empty for the first pass.
    """

    cells: tuple[Cell, ...]
    period: int
    offsets: tuple[Cell, ...]

    def positions(self, shape: tuple[int, int, int]) -> tuple[Tensor, Tensor, Tensor]:
        """Frame, row and column, int64 `(n,)` each, of all positions of this pass in `(frames, rows, columns)`."""
        chosen = torch.zeros(self.period, self.period, dtype=torch.bool)
        for cell in self.cells:
            chosen[cell] = True
        frames, rows, columns = shape
        tiled = chosen.repeat(-(-rows // self.period), -(-columns // self.period))[:rows, :columns]
        frame, row, column = tiled.expand(frames, -1, -1).nonzero(as_tuple=True)
        return frame, row, column


def quincunx(period: int) -> tuple[tuple[Cell, ...], ...]:
    """Cells of each pass: corners of a coarse lattice, their centres, the mid-points between both, then half the spacing.

    Of the last and largest mid-points those on even rows come first, so that the final quarter sees all eight neighbours.

    Args:
        period: spacing of the first pass, a power of two.
    """
    if period < 1 or period & (period - 1):
        raise ValueError(f"the period must be a power of two, got {period}")
    passes: list[tuple[Cell, ...]] = [((0, 0),)]
    spacing = period
    while spacing > 1:
        half = spacing // 2
        for shifts in ((half, half),), ((0, half), (half, 0)):
            if spacing == 2 and len(shifts) == 2:
                passes += [_shifted(shift, spacing, period) for shift in shifts]
            else:
                passes.append(tuple(cell for shift in shifts for cell in _shifted(shift, spacing, period)))
        spacing = half
    return tuple(passes)


def lattice_passes(period: int, neighbours: int) -> tuple[LatticePass, ...]:
    """The passes of `quincunx`, each with the offsets of its `neighbours` nearest known positions."""
    done: set[Cell] = set()
    passes = []
    for cells in quincunx(period):
        passes.append(LatticePass(cells, period, _nearest_known(cells[0], done, period, neighbours)))
        done.update(cells)
    return tuple(passes)


def _shifted(shift: Cell, spacing: int, period: int) -> tuple[Cell, ...]:
    steps = range(0, period, spacing)
    return tuple((row + shift[0], column + shift[1]) for row, column in product(steps, steps))


def _nearest_known(cell: Cell, done: set[Cell], period: int, count: int) -> tuple[Cell, ...]:
    reach = range(-2 * period, 2 * period + 1)
    known = [
        (down, right)
        for down, right in product(reach, reach)
        if ((cell[0] + down) % period, (cell[1] + right) % period) in done
    ]
    return tuple(sorted(known, key=_distance)[:count])


def _distance(offset: Cell) -> tuple[int, Cell]:
    return offset[0] ** 2 + offset[1] ** 2, offset
