"""Pyramid vector quantization: directions as integer points of fixed L1 norm, numbered by counting.

Fischer 1986, "A pyramid vector quantizer"; used in CELT and Opus: Valin et al. 2010, "A high-quality speech and audio codec with
less than 10 ms delay".
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.quantizers.digits import LARGEST_CODE
from codec.quantizers.implicit import Spherical


class Pyramid(Spherical):
    """One code per position: the number of an integer vector y with |y|_1 = pulses, which stands for the unit vector y / |y|_2.

    There are N(L, K) = N(L - 1, K) + N(L, K - 1) + N(L - 1, K - 1) points, counted in Python integers and numbered in int64, so exact.
    No table of points exists; longer vectors are cut by `Grouped`. The length is not coded: see `GainShape`. The gradient
    reaches the unit vector. Where energy differs between channels, rotate first.

    Args:
        dim: L.
        pulses: K.
        estimator: how the gradient of the point reaches the unit vector.
    """

    starts: (
        Tensor  # (L, K + 1, K + 1): with l positions and k pulses left, the first number whose next entry has size a
    )
    counts: Tensor  # (L, K + 1): N(l, k) for l below L

    def __init__(self, dim: int, pulses: int, *, estimator: nn.Module | None = None) -> None:
        super().__init__(estimator)
        if dim < 2 or pulses < 1:
            raise ValueError(f"a pyramid needs at least 2 dimensions and 1 pulse, got {dim} and {pulses}")
        self.dim, self.pulses = dim, pulses
        counts = pyramid_counts(dim, pulses)
        self.codebook_sizes = (counts[dim][pulses],)
        if self.codebook_sizes[0] > LARGEST_CODE:
            raise ValueError(
                f"{dim} dimensions and {pulses} pulses make {self.codebook_sizes[0]} codes, more than 2^62; cut by Grouped"
            )
        self.register_buffer("starts", torch.tensor(_starts(counts, dim, pulses)), persistent=False)
        self.register_buffer("counts", torch.tensor(counts[:dim]), persistent=False)

    def choose(self, placed: Tensor) -> Tensor:
        """Number of the integer point of (nearly) the smallest angle."""
        return self.rank(self.points(placed.reshape(-1, self.dim))).reshape(*placed.shape[:-1], 1)

    def decode(self, codes: Tensor) -> Tensor:
        """int64 `(..., 1)` codes to `(..., L)` unit vectors."""
        points = self.unrank(codes.reshape(-1).contiguous()).reshape(*codes.shape[:-1], self.dim)
        return F.normalize(points.float(), dim=-1)

    def points(self, z: Tensor) -> Tensor:
        """`(N, L)` vectors to int64 `(N, L)` points of the pyramid.

        Most pulses by rounding towards zero; each that is left goes where it raises the cosine most. A zero vector puts all
        on the first entry.
        """
        size = z.double().abs()
        share = size / size.sum(1, keepdim=True).clamp_min(torch.finfo(torch.float64).tiny)
        y = (self.pulses * share).floor()
        missing = self.pulses - y.sum(1, keepdim=True)
        for pulse in range(int(missing.max()) if len(missing) else 0):
            dot, energy = (size * y).sum(1, keepdim=True), y.square().sum(1, keepdim=True)
            best = ((dot + size).square() / (energy + 2 * y + 1)).argmax(1, keepdim=True)
            y.scatter_add_(1, best, (missing > pulse).double())
        return torch.where(z < 0, -y, y).long()

    def rank(self, points: Tensor) -> Tensor:
        """int64 `(N, L)` points to their numbers `(N,)`; an entry's values come in the order 0, 1, -1, 2, -2, ..."""
        number = torch.zeros(len(points), dtype=torch.int64, device=points.device)
        left = torch.full_like(number, self.pulses)
        for i in range(self.dim):
            last, size = self.dim - i - 1, points[:, i].abs()
            negative = (points[:, i] < 0) * self.counts[last, left - size]
            number = number + self.starts[last, left, size] + negative
            left = left - size
        return number

    def unrank(self, numbers: Tensor) -> Tensor:
        """int64 `(N,)` numbers to `(N, L)` points: `rank` backwards."""
        left = torch.full_like(numbers, self.pulses)
        entries = []
        for i in range(self.dim):
            last = self.dim - i - 1
            size = torch.searchsorted(self.starts[last, left], numbers[:, None], right=True).squeeze(1) - 1
            numbers = numbers - self.starts[last, left, size]
            positive = self.counts[last, left - size]
            negative = (size > 0) & (numbers >= positive)
            numbers = numbers - negative * positive
            entries.append(torch.where(negative, -size, size))
            left = left - size
        return torch.stack(entries, 1)


def pyramid_counts(dim: int, pulses: int) -> list[list[int]]:
    """N(l, k), the integer points of l entries with L1 norm k, for l up to `dim` and k up to `pulses`."""
    counts = [[1] + [0] * pulses]
    for _ in range(dim):
        row = [1]
        for k in range(1, pulses + 1):
            row.append(counts[-1][k] + row[-1] + counts[-1][k - 1])
        counts.append(row)
    return counts


def _starts(counts: list[list[int]], dim: int, pulses: int) -> list[list[list[int]]]:
    """For l positions after this entry and k pulses left: how many points have an entry smaller than a; 2^62 where a > k."""
    return [[_starts_of_entry(row, left) for left in range(pulses + 1)] for row in counts[:dim]]


def _starts_of_entry(row: list[int], left: int) -> list[int]:
    starts = [0]
    for size in range(left):
        starts.append(starts[-1] + row[left - size] * (1 if size == 0 else 2))
    return starts + [LARGEST_CODE] * (len(row) - len(starts))
