"""Motion between two pictures by blocks of 8x8 pixels: an exact full search, compiled by numba.

Most places are ruled out before a pixel is compared, as the sums of two blocks differ by no more than their pixels do (Li and
Salari 1995, "Successive elimination algorithm for motion estimation", IEEE Transactions on Image Processing 4(1)).
"""

from functools import cache

import numpy as np
from numba import njit
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Motion = NDArray[np.int64]

BLOCK = 8
REACH = 16  # pixels either way
GAIN = (
    BLOCK * BLOCK // 2
)  # a vector unlike those of the neighbours has to save half a level a pixel: noise must not choose it
NOTHING_FOUND = 256 * BLOCK * BLOCK


def match_blocks(source: Pixels, target: Pixels) -> Motion:
    """Where each block of `source` lies in `target`.

    Args:
        source: `(H, W)`, both at least 8.
        target: the same shape.

    Returns:
        `(ceil(H / 8), ceil(W / 8), 2)`, down and right, at most 16 pixels each and never out of the picture. Where a side is no
        multiple of 8, the last block of a row or column is moved back to lie inside, and overlaps the one before.
    """
    if source.shape != target.shape or source.ndim != 2 or min(source.shape) < BLOCK:
        raise ValueError(f"expected two (H, W) of one shape, at least {BLOCK}, got {source.shape} and {target.shape}")
    height, width = source.shape
    motion = np.zeros((-(-height // BLOCK), -(-width // BLOCK), 2), np.int64)
    _match(source, target, _block_sums(target), _vectors(), motion)
    return motion


@cache
def _vectors() -> Motion:
    """All vectors, shortest first, so that the shortest of equal ones wins."""
    axis = np.arange(-REACH, REACH + 1)
    grid = np.stack(np.meshgrid(axis, axis, indexing="ij"), -1).reshape(-1, 2)
    return grid[np.argsort((grid**2).sum(1), kind="stable")]


def _block_sums(picture: Pixels) -> NDArray[np.int64]:
    """The sum of the block at each place where one fits: `(H - 7, W - 7)`."""
    corners = np.pad(picture.astype(np.int64).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    return corners[BLOCK:, BLOCK:] - corners[:-BLOCK, BLOCK:] - corners[BLOCK:, :-BLOCK] + corners[:-BLOCK, :-BLOCK]


@njit(cache=True, nogil=True)
def _match(source: Pixels, target: Pixels, sums: Motion, vectors: Motion, motion: Motion) -> None:
    height, width = source.shape
    for i in range(motion.shape[0]):
        for j in range(motion.shape[1]):
            top, left = min(BLOCK * i, height - BLOCK), min(BLOCK * j, width - BLOCK)
            block = source[top : top + BLOCK, left : left + BLOCK]
            total, found = block.sum(), motion[i, j]
            best = _difference(block, total, target, sums, top, left, NOTHING_FOUND)
            for near in ((i, j - 1), (i - 1, j)):
                if min(near) >= 0:
                    down, right = motion[near]
                    difference = _difference(block, total, target, sums, top + down, left + right, best)
                    if difference < best:
                        best, found[0], found[1] = difference, down, right
            best -= GAIN
            for k in range(len(vectors)):
                if best <= 0:
                    break
                down, right = vectors[k]
                difference = _difference(block, total, target, sums, top + down, left + right, best)
                if difference < best:
                    best, found[0], found[1] = difference, down, right


@njit(cache=True, nogil=True)
def _difference(block: Pixels, total: int, target: Pixels, sums: Motion, top: int, left: int, limit: int) -> int:
    """The sum of absolute differences of a block and that of `target` at a place; `limit` or more where it cannot be lower."""
    if not (0 <= top < sums.shape[0] and 0 <= left < sums.shape[1]) or abs(sums[top, left] - total) >= limit:
        return limit
    difference = 0
    for row in range(BLOCK):
        for column in range(BLOCK):
            difference += int(abs(np.int64(block[row, column]) - np.int64(target[top + row, left + column])))
        if difference >= limit:
            break
    return difference
