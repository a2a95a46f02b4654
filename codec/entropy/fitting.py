"""Frozen tables of scales, fitted to the symbols that really occur: residuals have heavier tails than a Gaussian, and more zeros."""

import numpy as np
from numpy.typing import NDArray

from codec.coding import FrozenTables, tables_from_pmfs
from codec.entropy.base import Rows, Step

PRIOR_COUNT = 2000.0  # symbols that the Gaussian counts for in each table


class TableCounts:
    """A recorder that counts, for each table of some frozen tables, how often each entry was coded.

    Args:
        tables: whose rows are counted; steps with other tables pass by.
    """

    def __init__(self, tables: FrozenTables) -> None:
        self.tables = tables
        self.counts = np.zeros(len(tables.frequencies), np.int64)

    def record(self, step: Step, symbols: NDArray[np.int64]) -> None:
        """Count one step."""
        if not isinstance(step.tables, Rows) or step.tables.tables is not self.tables:
            return
        tables, rows = self.tables, step.tables.index
        entries = symbols - tables.offsets[rows]
        limits = tables.sizes[rows] - 1  # the escape comes last
        inside = (entries >= 0) & (entries < limits)
        found = tables.starts[rows] + np.where(inside, entries, limits)
        self.counts += np.bincount(found, minlength=len(self.counts))

    def fitted(self) -> FrozenTables:
        """Tables of the same layout: symmetric counts, mixed with what was there before."""
        tables, pmfs = self.tables, []
        for start, size in zip(tables.starts, tables.sizes, strict=True):
            part = slice(start, start + size)
            before = tables.frequencies[part] / (1 << tables.precision)
            counts = self.counts[part].astype(np.float64)
            counts[:-1] = (counts[:-1] + counts[-2::-1]) / 2
            pmfs.append((counts + PRIOR_COUNT * before) / (counts.sum() + PRIOR_COUNT))
        return tables_from_pmfs(pmfs, tables.offsets.tolist(), tables.precision, has_escape=True)
