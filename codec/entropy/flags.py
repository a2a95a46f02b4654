"""An entropy model of one plane of flags: a few passes over ever denser lattices, each flag given its neighbours and what lies beside.

Passes and neighbours are those of `MotionPrior`; what lies beside are planes that every decoder has, e.g. the flags of the last frame.
"""

from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from codec.entropy.base import FIXED_POINT, Frequencies, Known, Layout, Step
from codec.entropy.driver import batch_bits, percent_more
from codec.entropy.exact import IntegerNetwork
from codec.entropy.pass_networks import CROSS, PassNetworks, looked_up
from codec.entropy.schedule import LatticePass, lattice_passes
from codec.entropy.tables import frequencies_from_logits

PRECISION = 16
NAT = 1 / float(np.log(2))  # bits


class FlagPrior(PassNetworks):
    """Flags `(rows, columns)`, 0 or 1; the past of a layout are the planes beside them, int64 `(planes, rows, columns)` in 1/256.

    Args:
        planes: that lie beside.
        period: spacing of the first pass, a power of two.
        neighbours: how many known flags a network sees.
        width: hidden channels.
    """

    def __init__(self, planes: int, *, period: int = 8, neighbours: int = 6, width: int = 16) -> None:
        passes = lattice_passes(period, neighbours)
        super().__init__(passes, [len(one.offsets) + (planes + 1) * len(CROSS) for one in passes], 1, width)
        self.codebook_sizes: tuple[int, ...] = (2,)
        self.planes = planes

    def layout(self, grid: tuple[int, ...], beside: NDArray[np.int64] | None = None) -> Layout:
        """Flags on `(rows, columns)`; zeros beside them where nothing is given.

        Raises:
            ValueError: there are other planes beside them than the model is for.
        """
        if beside is None:
            beside = np.zeros((self.planes, *grid), np.int64)
        if beside.shape != (self.planes, *grid):
            raise ValueError(f"beside flags on {grid} are {self.planes} planes, got {beside.shape}")
        return Layout((grid,), past=beside)

    def forward(self, flags: Tensor, beside: Tensor) -> Tensor:
        """Float code length `(B,)` of flags int64 `(B, rows, columns)`, beside planes int64 `(B, planes, rows, columns)` in 1/256."""
        total = torch.zeros(len(flags), device=flags.device)
        with torch.autocast(flags.device.type, enabled=False):
            for p, one in enumerate(self.passes):
                frame, inputs, own = self._seen(one, flags, beside)
                logits = self.networks[p](inputs.float() / FIXED_POINT)[:, 0]
                bits = F.binary_cross_entropy_with_logits(logits, own.float(), reduction="none") * NAT
                total = total.index_add(0, frame, bits)
        return total

    def bits(self, planes: Sequence[Tensor]) -> Tensor:
        """Code length of a plane `(B, rows, columns)`, summed, with nothing beside: by the floats in training, exact in eval."""
        flags = planes[0].long()
        nothing = torch.zeros(len(flags), self.planes, *flags.shape[1:], dtype=torch.int64, device=flags.device)
        return self(flags, nothing).sum() if self.training else batch_bits(self, planes, nothing.cpu().numpy())

    @torch.no_grad()
    def freeze(self, planes: Sequence[Tensor], beside: NDArray[np.int64] | None = None) -> float:
        """Make the integer networks, calibrated on flags `(B, rows, columns)`; returns their cost there in percent."""
        flags = planes[0].long()
        given = np.zeros((len(flags), self.planes, *flags.shape[1:]), np.int64) if beside is None else beside
        near = torch.from_numpy(given).to(flags.device)
        for p, one in enumerate(self.passes):
            _, inputs, _ = self._seen(one, flags, near)
            self.convert(p, inputs)
        return percent_more(float(batch_bits(self, [flags], given)), float(self(flags, near).sum()))

    def steps(self, layout: Layout, known: Known) -> Iterator[Step]:
        """Pass by pass."""
        grid = layout.grids[0]
        beside = np.zeros((self.planes, *grid), np.int64) if layout.past is None else layout.past
        for p, one in enumerate(self.passes):
            flags = torch.from_numpy(known.codes[0].reshape(1, *grid))
            _, row, column = one.positions((1, grid[0], grid[1]))
            if not len(row):
                continue
            inputs = self._seen(one, flags, torch.from_numpy(beside)[None])[1]
            logit = cast(IntegerNetwork, self.twins[p])(inputs).numpy().astype(np.int64)
            logits = np.concatenate([np.zeros_like(logit), logit], 1)
            tables = Frequencies(frequencies_from_logits(logits, PRECISION), PRECISION)
            yield Step(0, (row * grid[1] + column).numpy(), tables)

    def _seen(self, one: LatticePass, flags: Tensor, beside: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Frames `(n,)` of the positions of a pass, what is seen there `(n, inputs)` in 1/256, and their own flags `(n,)`."""
        frame, row, column = (axis.to(flags.device) for axis in one.positions(cast(tuple[int, int, int], flags.shape)))
        near, there = looked_up(flags[:, None], frame, row, column, one.offsets)
        around, inside = looked_up(beside, frame, row, column, CROSS)
        signs = (2 * near[..., 0] - 1) * there * FIXED_POINT
        inputs = torch.cat([signs, around.flatten(1), inside * FIXED_POINT], 1)
        return frame, inputs, flags[frame, row, column]
