"""Fixed tables of eight dimensions from the E8 lattice, the densest packing there.

Conway, Sloane 1982, "Fast quantizing and decoding algorithms for lattice quantizers and codes"; Tseng et al. 2024 (QuIP#),
arXiv:2402.04396.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from codec.quantizers.implicit import Implicit
from codec.quantizers.lattices import DIM, absolute_vectors, ball_of_e8, nearest_of_e8, nearest_of_e8p, table_of_e8p
from codec.quantizers.search import nearest

LARGEST_SQUARED_RADIUS = 14  # 199 921 points
ROWS = 1024  # vectors that meet the 256 absolute ones at once, in 8 MB


class _FixedPoints(Implicit):
    """One code per position: the nearest of fixed points. The gradient reaches `z` unchanged.

    Loss `commitment`: mean squared distance from the point, which keeps the encoder where points are.
    """

    points: Tensor  # (K, D) in units of the scale
    scale: Tensor

    def __init__(self, points: NDArray[np.float64], scale: float, estimator: nn.Module | None) -> None:
        super().__init__(estimator)
        if scale <= 0:
            raise ValueError(f"the scale must be positive, got {scale}")
        self.codebook_sizes, self.dim = (points.shape[0],), points.shape[1]
        self.register_buffer("points", torch.from_numpy(points).float(), persistent=False)
        self.register_buffer("scale", torch.tensor(scale))

    def choose(self, placed: Tensor) -> Tensor:
        """Code of the nearest point."""
        return self._search(placed.reshape(-1, self.dim) / self.scale).reshape(*placed.shape[:-1], 1)

    def decode(self, codes: Tensor) -> Tensor:
        """int64 `(..., 1)` codes to `(..., D)` points."""
        return self.scale * self.points[codes.squeeze(-1)]

    def losses(self, placed: Tensor, q: Tensor) -> dict[str, Tensor]:
        """Commitment."""
        return {"commitment": (placed - q).square().mean()}

    def _search(self, z: Tensor) -> Tensor:
        """`(N, D)` vectors in units of the scale to codes `(N,)`."""
        raise NotImplementedError


class E8(_FixedPoints):
    """One code per position: the points of `scale` times E8 within a ball, shortest first.

    A vector inside takes its nearest lattice point by two roundings; one outside takes the nearest point of the ball by search.

    Args:
        squared_radius: of the ball in lattice units, even, 2 to 14: 2, 4, 6, 8, 10, 12 hold 241, 2401, 9121, 26 641, 56 881,
            117 361 points.
        scale: size of the lattice; small ones err less inside the ball and more outside.
        estimator: how the gradient of the point reaches `z`.
    """

    keys: Tensor  # (K,) ascending, each point as one integer
    order: Tensor  # (K,) the code of each key

    def __init__(self, squared_radius: int, scale: float, *, estimator: nn.Module | None = None) -> None:
        if squared_radius not in range(2, LARGEST_SQUARED_RADIUS + 1, 2):
            raise ValueError(f"the squared radius must be even, 2 to {LARGEST_SQUARED_RADIUS}, got {squared_radius}")
        super().__init__(ball_of_e8(squared_radius) / 2, scale, estimator)
        self.squared_radius, self._reach = squared_radius, int(2 * squared_radius**0.5)
        keys, order = self._key(self.points).sort()
        self.register_buffer("keys", keys, persistent=False)
        self.register_buffer("order", order, persistent=False)

    def _search(self, z: Tensor) -> Tensor:
        point = nearest_of_e8(z)
        inside = point.square().sum(1) <= self.squared_radius
        codes = torch.zeros(len(z), dtype=torch.int64, device=z.device)
        codes[inside] = self.order[torch.searchsorted(self.keys, self._key(point[inside]))]
        codes[~inside] = nearest(z[~inside], self.points)
        return codes

    def _key(self, points: Tensor) -> Tensor:
        """`(N, 8)` points of the ball to one int64 each."""
        places = (2 * self._reach + 1) ** torch.arange(DIM, device=points.device)
        return (((2 * points).long() + self._reach) * places).sum(1)


class E8P(_FixedPoints):
    """One code of 16 bits per position, two bits a dimension: the points of E8 + 1/4 that QuIP# chose for Gaussian vectors.

    A point is the absolute value of a half-integer vector (code bits 8 to 15), signs that make its sum even (bits 1 to 7; the first
    entry's sign follows from the others) and a shift by -1/4 or 1/4 (bit 0). Of the absolute vectors, 227 are all with squared
    norm up to 10; which 29 of squared norm 12 join them is our choice, so codes are not those of the released kernels.
    The search tries the 256 absolute vectors, not the 2^16 points.

    Args:
        scale: what the points are multiplied by; 1 / 1.03 is best for Gaussian vectors of unit variance.
        estimator: how the gradient of the point reaches `z`.
    """

    absolute: Tensor  # (256, 8)

    def __init__(self, scale: float = 1 / 1.03, *, estimator: nn.Module | None = None) -> None:
        super().__init__(table_of_e8p(), scale, estimator)
        self.register_buffer("absolute", torch.from_numpy(absolute_vectors()).float(), persistent=False)

    def _search(self, z: Tensor) -> Tensor:
        return torch.cat([nearest_of_e8p(rows, self.absolute) for rows in z.split(ROWS)])
