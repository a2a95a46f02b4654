"""Functions of single rows, computed in blocks of one shape.

A float kernel may round a row differently when it comes with more or fewer others; in blocks that are always full it does not.
"""

from collections.abc import Callable

import torch
from torch import Tensor

BLOCK_ROWS = 256


def by_blocks(function: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """Apply to `(..., D)` a function that maps `(N, D)` row by row; the last block is filled up with zeros."""
    flat = rows.reshape(-1, rows.shape[-1])
    done = [function(_filled(block))[: len(block)] for block in flat.split(BLOCK_ROWS)]
    found = torch.cat(done)
    return found.reshape(*rows.shape[:-1], found.shape[1])


def _filled(block: Tensor) -> Tensor:
    return torch.cat([block, block.new_zeros(BLOCK_ROWS - len(block), block.shape[1])])
