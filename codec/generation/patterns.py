"""Interleaving patterns: in which order a model of sequences reads planes of codes, and which codes it predicts at once.

Copet et al. 2023, "Simple and Controllable Music Generation", arXiv:2306.05284, for delays; Wang et al. 2023, "Neural Codec Language
Models are Zero-Shot Text to Speech Synthesizers", arXiv:2301.02111, for coarse first; Tian et al. 2024, "Visual Autoregressive
Modeling", arXiv:2404.02905, for scales.

A sequence has steps; the codes of one step are predicted at once from those of all steps before, one a row. Every code of every plane
has one place, so that each pattern can be undone. Grids are `(time,)`, `(rows, columns)` or `(frames, rows, columns)`; positions count in
raster order, the last axis fastest.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

Grid = tuple[int, ...]
EMPTY = -1  # of a place without a code


@dataclass(frozen=True)
class Places:
    """What stands in each row of each step.

    Attributes:
        planes: int64 `(steps, rows)`; `EMPTY` where nothing stands.
        positions: likewise, in the grid of the plane.
    """

    planes: Tensor
    positions: Tensor


class Pattern(Protocol):
    """An order of the codes of several planes.

    Attributes:
        chunk: slices of the first axis that are ordered by themselves, one after another; 0 where the order needs all of them.
    """

    chunk: int

    def places(self, grids: Sequence[Grid]) -> Places:
        """For planes of these grids."""

    def tail(self, planes: int) -> int:
        """Steps behind the last chunk until all planes have ended."""


class Flatten:
    """Position by position, at each the planes from coarse to fine: one code a step, exact and long."""

    chunk = 1

    def places(self, grids: Sequence[Grid]) -> Places:
        """`(positions * planes, 1)`."""
        count = positions_of_all(grids)
        planes = torch.arange(len(grids)).repeat(count)
        return Places(planes[:, None], torch.arange(count).repeat_interleave(len(grids))[:, None])

    def tail(self, _planes: int) -> int:
        """None."""
        return 0


class CoarseFirst:
    """Plane by plane, each in raster order: one code a step. Planes may have grids of their own, as those of several scales.

    Args:
        chunk: order so many slices of the first axis at a time, for streams; 1 goes through a picture line by line, the planes of a
            line one after another. All planes then need one grid.
    """

    def __init__(self, chunk: int = 0) -> None:
        if chunk < 0:
            raise ValueError(f"a chunk has at least 1 slice, or 0 for all, got {chunk}")
        self.chunk = chunk

    def places(self, grids: Sequence[Grid]) -> Places:
        """`(positions of all planes, 1)`."""
        if not self.chunk:
            counts = [math.prod(grid) for grid in grids]
            planes = torch.arange(len(grids)).repeat_interleave(torch.tensor(counts))
            return Places(planes[:, None], torch.cat([torch.arange(count) for count in counts])[:, None])
        count = positions_of_all(grids)
        chunks = list(torch.arange(count).split(self.chunk * (count // grids[0][0])))
        parts = [torch.arange(len(grids)).repeat_interleave(len(positions)) for positions in chunks]
        positions = torch.cat([part.repeat(len(grids)) for part in chunks])
        return Places(torch.cat(parts)[:, None], positions[:, None])

    def tail(self, _planes: int) -> int:
        """None."""
        return 0


class Parallel:
    """Position by position, all planes of one at once, as if they did not depend on each other."""

    chunk = 1

    def places(self, grids: Sequence[Grid]) -> Places:
        """`(positions, planes)`."""
        return Delay([0] * len(grids)).places(grids)

    def tail(self, _planes: int) -> int:
        """None."""
        return 0


class Delay:
    """As `Parallel`, but each plane is some positions late, so that it sees the coarser codes of its own position.

    Args:
        shifts: positions that each plane is late, the least 0; by default one more for each plane.
    """

    chunk = 1

    def __init__(self, shifts: Sequence[int] | None = None) -> None:
        if shifts is not None and (not shifts or min(shifts) != 0):
            raise ValueError(f"shifts are at least 0, and one of them is, got {list(shifts)}")
        self._shifts = None if shifts is None else tuple(shifts)

    def shifts(self, planes: int) -> tuple[int, ...]:
        """Of so many planes."""
        shifts = tuple(range(planes)) if self._shifts is None else self._shifts
        if len(shifts) != planes:
            raise ValueError(f"{len(shifts)} shifts cannot be those of {planes} planes")
        return shifts

    def places(self, grids: Sequence[Grid]) -> Places:
        """`(positions + the largest shift, planes)`."""
        count = positions_of_all(grids)
        late = torch.tensor(self.shifts(len(grids)))
        positions = torch.arange(count + int(late.max()))[:, None] - late
        inside = (positions >= 0) & (positions < count)
        return Places(torch.arange(len(grids)).where(inside, EMPTY), positions.where(inside, EMPTY))

    def tail(self, planes: int) -> int:
        """The largest shift."""
        return max(self.shifts(planes))


class Scales:
    """Plane by plane, all codes of one at once: next-scale prediction."""

    chunk = 0

    def places(self, grids: Sequence[Grid]) -> Places:
        """`(planes, positions of the largest plane)`."""
        counts = torch.tensor([math.prod(grid) for grid in grids])[:, None]
        positions = torch.arange(int(counts.max())).expand(len(grids), -1)
        inside = positions < counts
        return Places(torch.arange(len(grids))[:, None].where(inside, EMPTY), positions.where(inside, EMPTY))

    def tail(self, _planes: int) -> int:
        """None."""
        return 0


def positions_of_all(grids: Sequence[Grid]) -> int:
    """Positions of the one grid that all planes have."""
    if len(set(grids)) != 1:
        raise ValueError(f"this pattern needs planes of one grid, got {list(grids)}; CoarseFirst() takes any")
    return math.prod(grids[0])


def interleave(planes: Sequence[Tensor], pattern: Pattern) -> Tensor:
    """Integer planes `(B, *grid)` to `(B, steps, rows)`, `EMPTY` where nothing stands."""
    places = pattern.places([tuple(plane.shape[1:]) for plane in planes])
    codes = torch.cat([plane.flatten(1) for plane in planes], 1)
    found = codes[:, _numbers(places, planes)]
    return found.masked_fill(places.planes == EMPTY, EMPTY)


def deinterleave(sequence: Tensor, grids: Sequence[Grid], pattern: Pattern) -> list[Tensor]:
    """`(B, steps, rows)` back to planes `(B, *grid)`; what stands in empty places does not matter."""
    places = pattern.places(grids)
    if sequence.shape[1:] != places.planes.shape:
        raise ValueError(
            f"expected {tuple(places.planes.shape)} steps and rows of planes {list(grids)}, got {tuple(sequence.shape[1:])}"
        )
    empty = [sequence.new_empty(1, *grid) for grid in grids]
    filled = places.planes != EMPTY
    codes = sequence.new_empty(len(sequence), sum(plane.numel() for plane in empty))
    codes[:, _numbers(places, empty)[filled]] = sequence[:, filled]
    parts = codes.split([plane.numel() for plane in empty], 1)
    return [part.unflatten(1, grid) for part, grid in zip(parts, grids, strict=True)]


def _numbers(places: Places, planes: Sequence[Tensor]) -> Tensor:
    """`(steps, rows)`: the number of each code among those of all planes; of empty places any."""
    sizes = torch.tensor([plane[0].numel() for plane in planes])
    firsts = sizes.cumsum(0) - sizes
    return (firsts[places.planes.clamp_min(0)] + places.positions.clamp_min(0)).to(planes[0].device)
