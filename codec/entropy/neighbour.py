"""A token prior that looks at decoded neighbours: two checkerboard passes with an integer network.

He et al. 2021, "Checkerboard context model for efficient learned image compression", arXiv:2103.15306, for tokens. Small on
purpose: it proves `steps()` for tables that an integer network builds from what is already decoded.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from codec.entropy.base import Frequencies, Known, Layout, Step
from codec.entropy.exact import IntegerNetwork, sequential
from codec.entropy.tables import LOGIT_BITS, frequencies_from_logits

PRECISION = 16


class NeighbourTokenPrior(nn.Module):
    """One plane of tokens over rows and columns; half of the positions first, then the rest given their neighbours.

    Args:
        codebook_size: K, small: the network sees one-hot codes.
        width: hidden channels.
    """

    def __init__(self, codebook_size: int, width: int = 24) -> None:
        super().__init__()
        self.codebook_sizes = (codebook_size,)
        self.network = sequential(nn.Conv2d(codebook_size, width, 3, padding=1), nn.Conv2d(width, codebook_size, 1))
        self.integers = IntegerNetwork(self.network, input_bits=0, output_bits=LOGIT_BITS)

    def bits(self, planes: Sequence[Tensor]) -> Tensor:
        """Code length of int64 planes `(B, rows, columns)`, summed, by the float network: differentiable."""
        (codes,) = planes
        even = torch.from_numpy(parity(codes.shape[-2:]) == 0)
        one_hot = self._one_hot(codes)
        logits = torch.where(even, self.network(torch.zeros_like(one_hot)), self.network(one_hot * even))
        return F.cross_entropy(logits, codes, reduction="sum") / np.log(2)

    @torch.no_grad()
    def convert(self, planes: Sequence[Tensor]) -> None:
        """Fill the integer network; planes `(B, rows, columns)` calibrate it."""
        (codes,) = planes
        self.integers.convert(self.network, self._one_hot(codes))

    @torch.no_grad()
    def steps(self, layout: Layout, known: Known) -> Iterator[Step]:
        """Even positions by what is common, odd ones by their neighbours."""
        (grid,) = layout.grids
        colours = parity(grid).reshape(-1)
        for colour in (0, 1):
            where = np.flatnonzero(colours == colour)
            seen = self._one_hot(torch.from_numpy(known.codes[0].reshape(1, *grid)))
            seen = seen * torch.from_numpy((colours < colour).reshape(grid))
            logits = self.integers(seen)[0].flatten(1).T.numpy()[where].astype(np.int64)
            yield Step(0, where, Frequencies(frequencies_from_logits(logits, PRECISION), PRECISION))

    def _one_hot(self, codes: Tensor) -> Tensor:
        return F.one_hot(codes, self.codebook_sizes[0]).movedim(-1, 1).float()


def parity(grid: Sequence[int]) -> NDArray[np.int64]:
    """0 and 1 like a checkerboard over `(rows, columns)`."""
    rows, columns = grid
    return (np.arange(rows)[:, None] + np.arange(columns)) % 2
