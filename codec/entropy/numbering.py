"""An order of codewords in which neighbours are alike: a tree that splits along principal directions.

The leading digits of a code's rank then say roughly which vector it is, so a prior can code them first.
"""

from collections.abc import Sequence

import torch
from torch import Tensor


@torch.no_grad()
def principal_order(vectors: Tensor, radices: Sequence[int]) -> Tensor:
    """Codes of each rank, int64 `(K,)`.

    Args:
        vectors: `(K, D)`.
        radices: of the digits of a rank, lowest place first; each digit is split further by its prime factors, so that 128
            parts come from seven cuts in two.
    """
    groups = torch.arange(len(vectors))[None]
    for radix in reversed(radices):
        for factor in _prime_factors(radix):
            groups = torch.cat([_split(group, vectors.double()[group]).view(factor, -1) for group in groups])
    return groups.flatten()


def _split(group: Tensor, vectors: Tensor) -> Tensor:
    """The group sorted along the direction in which its vectors vary most."""
    centred = vectors - vectors.mean(0)
    if len(centred) < centred.shape[1]:  # the same places, up to a factor, from the smaller of the two products
        places = torch.linalg.eigh(centred @ centred.T).eigenvectors[:, -1]
    else:
        places = centred @ torch.linalg.eigh(centred.T @ centred).eigenvectors[:, -1]
    return group[places.argsort(stable=True)]


def _prime_factors(number: int) -> list[int]:
    factors, divisor = [], 2
    while number > 1:
        while number % divisor == 0:
            factors.append(divisor)
            number //= divisor
        divisor += 1
    return factors
