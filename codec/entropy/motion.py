"""An entropy model of motion: a few passes over ever denser lattices, each vector given its neighbours and the last frame's.

What is expected is the median of the nearest known vectors and that of the last frame at the same place: fields are constant in
pieces, so it is most often the very vector. Networks say how far off it may be. Most vectors are what is expected and some are
nothing like it, so their distances are Cauchy: sharp, with heavy tails.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codec.coding import FrozenTables, tables_from_pmfs
from codec.entropy.base import FIXED_POINT, Known, Layout, Rows, Step
from codec.entropy.driver import batch_bits, percent_more
from codec.entropy.exact import IntegerNetwork
from codec.entropy.likelihood import LEAST_LOG2_SCALE
from codec.entropy.pass_networks import CROSS, PassNetworks, looked_up
from codec.entropy.schedule import LatticePass, lattice_passes
from codec.entropy.tables import StoredTables, nearest_row, scales
from codec.nn import lower_bound

Integers = NDArray[np.int64]
NEAREST = 4  # neighbours of which the median is taken
FINE, COARSE = 64, 16  # a step of a vector in inputs, in 1/256: of short differences, which tell most, and of long ones
SHORT, LONG = 2, 64  # steps at which they are cut off
WIDTH_OF_SCALE = 1 / 8  # half-width of the distribution for a unit of the scale that chooses its table
REACH = 96  # of the tables, in steps


@dataclass(frozen=True)
class _Around:
    """What a pass sees at n positions.

    Attributes:
        inputs: int64 `(n, inputs)` in 1/256.
        base: int64 `(n, 2)`, the vector that is expected.
    """

    inputs: Tensor
    base: Tensor


class MotionPrior(PassNetworks):
    """One plane of vectors `(2, rows, columns)` in whole steps, down and right; the past of a layout is that of the last frame.

    Args:
        period: spacing of the first pass, a power of two.
        neighbours: how many known vectors of its own frame a network sees.
        width: hidden channels.
    """

    def __init__(self, *, period: int = 8, neighbours: int = 6, width: int = 32) -> None:
        passes = lattice_passes(period, neighbours)
        super().__init__(passes, [5 + 6 * (len(one.offsets) + len(CROSS)) for one in passes], 2, width)
        self.codebook_sizes: tuple[int, ...] = (0,)
        self.tables = StoredTables(cauchy_tables())

    def layout(self, grid: tuple[int, ...], gain: int = 0, past: Integers | None = None) -> Layout:
        """Vectors on `(rows, columns)` of blocks, after those of the last frame `(2, rows, columns)`."""
        return Layout(((2, *grid),), gain, past)

    def forward(self, motion: Tensor, past: Tensor | None = None) -> Tensor:
        """Float code length `(B,)` of vectors int64 `(B, 2, rows, columns)`, given those of the last frame, shaped alike."""
        with torch.autocast(motion.device.type, enabled=False):
            return self._float_bits(motion, past)

    def _float_bits(self, motion: Tensor, past: Tensor | None) -> Tensor:
        total = torch.zeros(len(motion), device=motion.device)
        for p, one in enumerate(self.passes):
            frame, around, own = self._seen(p, one, motion, past)
            if not len(frame):
                continue
            log2_scale = self.networks[p](around.inputs.float() / FIXED_POINT)
            bits = cauchy_bits((own - around.base).float(), lower_bound(log2_scale, LEAST_LOG2_SCALE))
            total = total.index_add(0, frame, bits.sum(1))
        return total

    def bits(self, planes: Sequence[Tensor]) -> Tensor:
        """Code length of a plane `(B, 2, rows, columns)`, summed, with nothing before: by the floats in training, exact in eval."""
        return self(planes[0].long()).sum() if self.training else batch_bits(self, planes)

    @torch.no_grad()
    def freeze(self, planes: Sequence[Tensor], past: Integers | None = None) -> float:
        """Make the integer networks, calibrated on vectors `(B, 2, rows, columns)`; returns their cost there in percent."""
        motion = planes[0].long()
        before = None if past is None else torch.from_numpy(past).to(motion.device)
        for p, one in enumerate(self.passes):
            _, around, _ = self._seen(p, one, motion, before)
            self.convert(p, around.inputs)
        whole = [plane.double() for plane in planes]
        return percent_more(float(batch_bits(self, whole, past)), float(self(motion, before).sum()))

    def steps(self, layout: Layout, known: Known) -> Iterator[Step]:
        """Pass by pass."""
        grid = layout.grids[0]
        past = None if layout.past is None else torch.from_numpy(layout.past)[None]
        for p, one in enumerate(self.passes):
            motion = torch.from_numpy(known.latents[0].reshape(1, *grid)) // FIXED_POINT
            where, around = self._spot(one, grid), self._seen(p, one, motion, past)[1]
            if not len(where):
                continue
            log2_scale = cast(IntegerNetwork, self.twins[p])(around.inputs).numpy()
            index = nearest_row(log2_scale).T.ravel()
            yield Step(0, where, Rows(index, self.tables.tables), means=around.base.numpy().T.ravel() * FIXED_POINT)

    def _spot(self, one: LatticePass, grid: tuple[int, ...]) -> Integers:
        """Flat places of the symbols of a pass: all downs, then all rights."""
        _, row, column = one.positions((1, grid[1], grid[2]))
        flat = (row * grid[2] + column).numpy()
        return np.concatenate([flat, flat + grid[1] * grid[2]])

    def _seen(self, p: int, one: LatticePass, motion: Tensor, past: Tensor | None) -> tuple[Tensor, _Around, Tensor]:
        """Frames `(n,)` of the positions of a pass, what is seen there, and their own vectors `(n, 2)`."""
        batch, _, rows, columns = motion.shape
        frame, row, column = (axis.to(motion.device) for axis in one.positions((batch, rows, columns)))
        near, near_there = looked_up(motion, frame, row, column, one.offsets)
        far, far_there = looked_up(torch.zeros_like(motion) if past is None else past, frame, row, column, CROSS)
        far_there = far_there & (past is not None)
        vectors, there = torch.cat([near, far], 1), torch.cat([near_there, far_there], 1)
        counted = torch.arange(near.shape[1], device=motion.device) < NEAREST
        base = _median(torch.cat([near, far[:, :1]], 1), torch.cat([near_there & counted, far_there[:, :1]], 1))
        away = torch.where(there[..., None], vectors - base[:, None], 0)
        farthest = away.abs().amax(2)
        inputs = torch.cat(
            [
                base.clamp(-LONG, LONG) * COARSE,
                (base != 0) * FINE,
                away.clamp(-SHORT, SHORT).flatten(1) * FINE,
                away.clamp(-LONG, LONG).flatten(1) * COARSE,
                farthest.clamp_max(2 * SHORT) * FINE,
                (farthest > 0).sum(1, keepdim=True) * FINE,
                there * FIXED_POINT,
            ],
            1,
        )
        return frame, _Around(inputs, base), motion[frame, :, row, column]


def _median(vectors: Tensor, there: Tensor) -> Tensor:
    """Of vectors int64 `(n, k, 2)` that are there, bool `(n, k)`, each component's lower median `(n, 2)`; 0 if none is."""
    ordered = torch.where(there[..., None], vectors, 1 << 32).sort(1).values
    count = there.sum(1)
    found = ordered.gather(1, ((count - 1).clamp_min(0) // 2)[:, None, None].expand(-1, 1, 2))[:, 0]
    return torch.where(count[:, None] > 0, found, 0)


def cauchy_bits(distance: Tensor, log2_scale: Tensor) -> Tensor:
    """-log2 of the mass of a Cauchy distribution on the unit interval around whole distances, any shape."""
    width = torch.exp2(log2_scale) * WIDTH_OF_SCALE
    centre = 2 * torch.atan(0.5 / width)
    side = torch.atan(width / (width.square() + distance.square().clamp_min(1) - 0.25))
    return -torch.log2(torch.where(distance.abs() < 0.5, centre, side) / math.pi)


@cache
def cauchy_tables() -> FrozenTables:
    """One table for each row of scales. Made from floats: a model stores the integers and never makes them again."""
    pmfs = []
    for scale in scales():
        edges = np.arctan((np.arange(REACH + 1) + 0.5) / (scale * WIDTH_OF_SCALE)) / math.pi
        half = np.diff(edges, prepend=-edges[0])
        pmfs.append(np.concatenate([half[:0:-1], half, [1 - 2 * edges[-1]]]))
    return tables_from_pmfs(pmfs, [-REACH] * len(pmfs), has_escape=True)
