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
        cells: rows and columns modulo `periods`.
        periods: of the lattice in rows and columns.
        offsets: known positions that a position of this pass looks at, nearest first; empty for the first pass.
    """

    cells: tuple[Cell, ...]
    periods: Cell
    offsets: tuple[Cell, ...]

    def positions(self, shape: tuple[int, int, int]) -> tuple[Tensor, Tensor, Tensor]:
        """Frame, row and column, int64 `(n,)` each, of all positions of this pass in `(frames, rows, columns)`."""
        chosen = torch.zeros(self.periods, dtype=torch.bool)
        for cell in self.cells:
            chosen[cell] = True
        frames, rows, columns = shape
        tiled = chosen.repeat(-(-rows // self.periods[0]), -(-columns // self.periods[1]))[:rows, :columns]
        frame, row, column = tiled.expand(frames, -1, -1).nonzero(as_tuple=True)
        return frame, row, column


def quincunx(period: int) -> tuple[tuple[Cell, ...], ...]:
    """Cells of each pass: corners of a coarse lattice, their centres, the mid-points between both, then half the spacing.

    Of the last and largest mid-points those on even rows come first, so that the final quarter sees all eight neighbours.

    Args:
        period: spacing of the first pass, a power of two.
    """
    passes: list[tuple[Cell, ...]] = [((0, 0),)]
    for spacing in _spacings(period):
        half = spacing // 2
        for shifts in ((half, half),), ((0, half), (half, 0)):
            if spacing == 2 and len(shifts) == 2:
                passes += [_shifted(shift, spacing, period) for shift in shifts]
            else:
                passes.append(tuple(cell for shift in shifts for cell in _shifted(shift, spacing, period)))
    return tuple(passes)


def halvings(period: int) -> tuple[tuple[Cell, ...], ...]:
    """Cells of each pass along one row: every `period`-th column, those half way between, then half the spacing."""
    between = (tuple((0, column) for column in range(spacing // 2, period, spacing)) for spacing in _spacings(period))
    return ((0, 0),), *between


def lattice_passes(period: int, neighbours: int, axes: int = 2) -> tuple[LatticePass, ...]:
    """The passes of `quincunx`, or of `halvings`, each with the offsets of its `neighbours` nearest known positions.

    Args:
        period: spacing of the first pass, a power of two.
        neighbours: how many.
        axes: 2 for rows and columns, 1 for columns alone.
    """
    if axes not in (1, 2):
        raise ValueError(f"a lattice has 1 or 2 axes, got {axes}")
    periods = (period, period) if axes == 2 else (1, period)
    reach = (2 * period, 2 * period) if axes == 2 else (0, period * (neighbours + 1) // 2)
    done: set[Cell] = set()
    passes = []
    for cells in quincunx(period) if axes == 2 else halvings(period):
        passes.append(LatticePass(cells, periods, _nearest_known(cells[0], done, periods, reach)[:neighbours]))
        done.update(cells)
    return tuple(passes)


def _spacings(period: int) -> list[int]:
    """`period`, its half, and so on down to 2."""
    if period < 1 or period & (period - 1):
        raise ValueError(f"the period must be a power of two, got {period}")
    return [period >> step for step in range(period.bit_length() - 1)]


def _shifted(shift: Cell, spacing: int, period: int) -> tuple[Cell, ...]:
    steps = range(0, period, spacing)
    return tuple((row + shift[0], column + shift[1]) for row, column in product(steps, steps))


def _nearest_known(cell: Cell, done: set[Cell], periods: Cell, reach: Cell) -> tuple[Cell, ...]:
    """All known offsets up to `reach`, nearest first."""
    known = [
        (down, right)
        for down, right in product(*(range(-far, far + 1) for far in reach))
        if ((cell[0] + down) % periods[0], (cell[1] + right) % periods[1]) in done
    ]
    return tuple(sorted(known, key=_distance))


def _distance(offset: Cell) -> tuple[int, Cell]:
    return offset[0] ** 2 + offset[1] ** 2, offset
