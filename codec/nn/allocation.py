"""Bit allocation: the smallest set of widths whose summed damage stays within a budget, exactly.

The integer program of Hubara et al. 2020, "Improving Post Training Neural Quantization: Layer-wise Calibration and Integer
Programming", arXiv:2006.10518: one width a layer, additive damage. With sizes and damages that only add up it is a multiple-choice
knapsack, and a dynamic program over undominated partial sums solves it without a solver.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST_PARTIAL_SUMS = 2_000_000


@dataclass(frozen=True)
class WidthOption:
    """One way to store a layer.

    Attributes:
        bits: of a weight.
        size: in bytes.
        damage: what it adds to the loss; any unit in which the layers' damages add up.
    """

    bits: int
    size: int
    damage: float


def allocate(options: Sequence[Sequence[WidthOption]], budget: float) -> list[WidthOption]:
    """One option for each layer: the least total size with a total damage of at most `budget`."""
    if any(not layer for layer in options):
        raise ValueError("every layer needs at least one option")
    least = sum(min(option.damage for option in layer) for layer in options)
    if least > budget:
        raise ValueError(f"the budget is {budget:.4g} but the least possible damage is {least:.4g}: raise the budget")
    rest = np.cumsum([0.0, *(min(option.damage for option in layer) for layer in reversed(options))])[::-1]
    sizes, damages = np.zeros(1, dtype=np.int64), np.zeros(1)
    steps: list[
        tuple[NDArray[np.int64], int]
    ] = []  # of each layer: the partial sums that stay, and how many options it had
    for layer, to_come in zip(options, rest[1:], strict=True):
        all_sizes = np.add.outer(sizes, [option.size for option in layer]).ravel()
        all_damages = np.add.outer(damages, [option.damage for option in layer]).ravel()
        kept = _undominated(all_sizes, all_damages, budget - to_come)
        sizes, damages = all_sizes[kept], all_damages[kept]
        steps.append((kept, len(layer)))
    place, chosen = 0, []  # sorted by size: the first is the smallest
    for layer, (kept, count) in zip(reversed(options), reversed(steps), strict=True):
        place, picked = divmod(int(kept[place]), count)
        chosen.append(layer[picked])
    return chosen[::-1]


def _undominated(sizes: NDArray[np.int64], damages: NDArray[np.float64], budget: float) -> NDArray[np.int64]:
    """Indices of the sums that nothing smaller beats in damage and that can still meet the budget, smallest first."""
    order = np.lexsort((damages, sizes))
    order = order[damages[order] <= budget * (1 + 1e-12) + 1e-300]
    before = np.concatenate([[np.inf], np.minimum.accumulate(damages[order])[:-1]])
    kept = order[damages[order] < before]
    if len(kept) > MOST_PARTIAL_SUMS:
        raise ValueError(f"{len(kept)} partial sums: round the sizes to fewer different values")
    return kept
