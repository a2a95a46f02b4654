"""Probabilities to integer frequencies that cost the fewest bits.

Among all integer vectors with entries of at least one and a fixed sum, giving one count after the other to the
symbol that gains most minimises the cross entropy, since the gain `p * log(1 + 1/f)` only falls as f grows (Fox
1966, "Discrete optimization via marginal analysis"). The counts whose gain exceeds a threshold are found for all
symbols at once; bisection finds the threshold.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MAX_PRECISION_BITS = 24


def quantise_frequencies(pmf: NDArray[np.float64], precision: int) -> NDArray[np.uint32]:
    """The optimal frequencies, uint32 `(A,)`, each at least 1, for probabilities `(A,)`; they sum to 2^precision.

    Args:
        pmf: not negative; its sum need not be one.
        precision: 1 to 24 bits, with 2^precision at least A.
    """
    weights = np.asarray(pmf, np.float64)
    if not 1 <= precision <= MAX_PRECISION_BITS:
        raise ValueError(f"precision must lie in 1..{MAX_PRECISION_BITS} bits, got {precision}")
    if weights.ndim != 1 or not 1 <= weights.size <= 1 << precision:
        raise ValueError(f"probabilities must be (A,) with A in 1..2^{precision}, got shape {weights.shape}")
    if not np.isfinite(weights).all() or weights.min() < 0 or weights.max() == 0:
        raise ValueError("probabilities must be finite, not negative and not all zero")
    weights = weights / weights.max()
    weights /= weights.sum()
    total = 1 << precision
    frequencies = _at_threshold(weights, _threshold(weights, total))
    while missing := total - int(frequencies.sum()):
        gains = weights * np.log1p(1 / frequencies)
        frequencies[np.argsort(-gains, kind="stable")[:missing]] += 1
    return frequencies.astype(np.uint32)


def _at_threshold(weights: NDArray[np.float64], threshold: float) -> NDArray[np.float64]:
    """The smallest frequencies at which no further count gains more than `threshold`."""
    with np.errstate(over="ignore", divide="ignore"):
        return np.maximum(1, np.ceil(1 / np.expm1(threshold / weights)))


def _threshold(weights: NDArray[np.float64], total: int) -> float:
    """The smallest threshold whose frequencies sum to at most `total`."""
    low, high = 0.0, 1.0  # the first gain is at most log 2
    while (middle := (low + high) / 2) not in (low, high):
        low, high = (low, middle) if _at_threshold(weights, middle).sum() <= total else (middle, high)
    return high
