"""Fixed random matrices, and products with them that do not depend on the batch."""

import torch
from torch import Tensor

from codec.quantizers.blocks import by_blocks


def random_rotation(dim: int, seed: int) -> Tensor:
    """`(dim, dim)` orthogonal matrix, uniform over rotations and reflections: the Q of a Gaussian matrix."""
    q, r = torch.linalg.qr(random_gaussian(dim, seed).double())
    return (q * r.diagonal().sign()).float()


def random_gaussian(dim: int, seed: int) -> Tensor:
    """`(dim, dim)` standard normal entries."""
    return torch.randn(dim, dim, generator=torch.Generator().manual_seed(seed))


def rows_times(rows: Tensor, matrix: Tensor) -> Tensor:
    """`(..., D)` rows times a `(D, E)` matrix, the same for a row in any batch."""
    return by_blocks(lambda block: block @ matrix, rows)
