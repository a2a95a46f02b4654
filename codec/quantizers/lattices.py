"""The E8 lattice in numbers: nearest points, the points within a ball, and the table of QuIP#.

Conway, Sloane 1982, "Fast quantizing and decoding algorithms for lattice quantizers and codes"; Tseng et al. 2024 (QuIP#),
arXiv:2402.04396. E8 is D8 (integer vectors of even sum) together with D8 + 1/2.
"""

from itertools import combinations, product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

DIM = 8
NORM_12 = 29  # vectors of squared norm 12 that fill the table of 227 up to 256


def nearest_of_e8(z: Tensor) -> Tensor:
    """`(..., 8)` vectors to their nearest lattice points; D8 wins a tie against D8 + 1/2."""
    whole, half = _nearest_of_d8(z), _nearest_of_d8(z - 0.5) + 0.5
    closer = (z - half).square().sum(-1, keepdim=True) < (z - whole).square().sum(-1, keepdim=True)
    return torch.where(closer, half, whole)


def _nearest_of_d8(z: Tensor) -> Tensor:
    """Round; where the sum is odd, the entry with the largest error goes to its other neighbour."""
    rounded = z.round()
    error = z - rounded
    worst = error.abs().argmax(-1, keepdim=True)
    other = torch.where(error.gather(-1, worst) < 0, -1.0, 1.0)
    return rounded.scatter_add(-1, worst, other * (rounded.sum(-1, keepdim=True) % 2))


def ball_of_e8(squared_radius: int) -> NDArray[np.int64]:
    """Twice the points of E8 with squared norm up to the radius, `(K, 8)`, by norm and then in lexical order."""
    halves = []
    for odd in (0, 1):
        vectors = np.zeros((1, 0), np.int64)
        reach = int((4 * squared_radius) ** 0.5)
        values = np.array([value for value in range(-reach, reach + 1) if value % 2 == odd])
        for _ in range(DIM):
            vectors = np.hstack([np.repeat(vectors, len(values), 0), np.tile(values, len(vectors))[:, None]])
            vectors = vectors[(vectors**2).sum(1) <= 4 * squared_radius]
        halves.append(vectors[vectors.sum(1) % 4 == 0])
    points = np.concatenate(halves)
    return points[np.lexsort([*points.T[::-1], (points**2).sum(1)])]


def table_of_e8p() -> NDArray[np.float64]:
    """The `(65536, 8)` points in the order of their codes."""
    absolute = absolute_vectors()
    later = np.arange(128)[:, None] >> np.arange(7) & 1
    signs = 1.0 - 2 * np.hstack([np.zeros((128, 1), np.int64), later])
    points = absolute[:, None] * signs
    points[..., 0] *= np.where(points.sum(-1) % 2 == 0, 1, -1)
    return (points[..., None, :] + np.array([-0.25, 0.25])[:, None]).reshape(-1, DIM)


def absolute_vectors() -> NDArray[np.float64]:
    """The 256 absolute vectors `(256, 8)`; of norm 12, those whose three halves stand at places of even sum, and one more."""
    small = np.array(list(product((0.5, 1.5, 2.5), repeat=DIM)))
    small = small[(small**2).sum(1) <= 10]
    places = sorted(combinations(range(DIM), 3), key=lambda triple: sum(triple) % 2)[:NORM_12]
    large = np.full((NORM_12, DIM), 1.5)
    for row, triple in zip(large, places, strict=True):
        row[list(triple)] = 0.5
    return np.concatenate([small, large])


def nearest_of_e8p(z: Tensor, absolute: Tensor) -> Tensor:
    """`(n, 8)` vectors to the codes `(n,)` of their nearest points of the table: each absolute vector with its best signs."""
    lower, upper = (_best_signs(z - shift, absolute) for shift in (-0.25, 0.25))
    codes = torch.stack([2 * lower[1], 2 * upper[1] + 1], 1)
    return codes.gather(1, (upper[0] < lower[0]).long()[:, None]).squeeze(1)


def _best_signs(z: Tensor, absolute: Tensor) -> tuple[Tensor, Tensor]:
    """Squared distances `(n,)` of the nearest unshifted points, and their codes without the shift's bit.

    The signs of z are best; where they make the sum odd, the cheapest one is flipped.
    """
    products = z.abs().T[:, :, None] * absolute.T[:, None]  # (8, n, 256)
    price, entry = products.min(0)
    negative = z < 0
    odd = (absolute.sum(1) + negative.sum(1, keepdim=True)) % 2
    costs = absolute.square().sum(1) - 2 * products.sum(0) + 4 * odd * price
    cost, row = costs.min(1, keepdim=True)
    flipped = torch.zeros_like(negative).scatter(1, entry.gather(1, row), odd.gather(1, row) > 0)
    places = 1 << torch.arange(DIM - 1, device=z.device)
    signs = ((negative ^ flipped)[:, 1:] * places).sum(1)
    return cost.squeeze(1) + z.square().sum(1), row.squeeze(1) * 128 + signs
