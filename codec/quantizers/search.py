"""Nearest codeword without the N x K score matrix, by one of two roads with the same answer.

A road filters in float32, where a score is off by a known slack, and decides between the few codewords within the slack of the
best by the scores of `search_exact.py`. A code is therefore a function of query and codebook alone: the same for every road,
batch, order, thread count, processor and accelerator.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn import functional as F

from codec.quantizers import kernel
from codec.quantizers.search_exact import exact_scores, score_slack

QUERY_ROWS = 1024  # scores of so many queries
CODE_ROWS = 2048  # and so many codewords exist at a time: 8 MB
ACCELERATOR_QUERY_ROWS = 4096
GROUP = 64  # codewords of which first only the lowest score is looked at
CANDIDATES = 2048  # pairs scored exactly at a time
ROAD_VARIABLE = "CODEC_SEARCH"

Road = Callable[[Tensor, Tensor, Tensor | None], Tensor]


@torch.no_grad()
def nearest(z: Tensor, codebook: Tensor, bias: Tensor | None = None, *, road: Road | None = None) -> Tensor:
    """Index of the codeword with the smallest squared distance plus bias; the lowest index wins a tie.

    A codeword at a distance that is not a number or infinite never wins; if none is left, the index is 0.

    Args:
        z: `(N, D)`.
        codebook: `(K, D)`, K and D at least 1.
        bias: `(K,)` cost added to each codeword, in units of squared distance.
        road: `by_matmul` or `kernel.by_kernel`; the answer does not depend on it. By default the kernel, on CPU and where it was
            built, unless the environment says `CODEC_SEARCH=torch`; with `CODEC_SEARCH=kernel` a missing kernel is an error.

    Returns:
        int64 `(N,)`.
    """
    if z.ndim != 2 or codebook.ndim != 2 or z.shape[1] != codebook.shape[1]:
        raise ValueError(
            f"expected (N, D) queries and a (K, D) codebook, got {tuple(z.shape)} and {tuple(codebook.shape)}"
        )
    if 0 in codebook.shape:
        raise ValueError(f"expected at least one codeword of at least one dimension, got {tuple(codebook.shape)}")
    if bias is not None and bias.shape != codebook.shape[:1]:
        raise ValueError(f"expected a bias for each of {len(codebook)} codewords, got {tuple(bias.shape)}")
    road = road if road is not None else default_road(z.device)
    with torch.autocast(z.device.type, enabled=False):
        return road(z.float(), codebook.float(), None if bias is None else bias.float())


def default_road(device: torch.device) -> Road:
    """The fastest road that there is on this device."""
    wanted = os.environ.get(ROAD_VARIABLE, "")
    if wanted not in ("", "torch", "kernel"):
        raise ValueError(f"{ROAD_VARIABLE} must be torch or kernel, got {wanted!r}")
    if device.type != "cpu" or wanted == "torch":
        return by_matmul
    return kernel.by_kernel if wanted == "kernel" or kernel.is_built() else by_matmul


def by_matmul(z: Tensor, e: Tensor, bias: Tensor | None) -> Tensor:
    """The torch road: float32 `(N, D)`, `(K, D)` and `(K,)` to int64 `(N,)`, on any device."""
    best = z.new_full((len(z),), torch.inf, dtype=torch.float64)
    codes = torch.zeros_like(best, dtype=torch.int64)
    query_rows = QUERY_ROWS if z.device.type == "cpu" else ACCELERATOR_QUERY_ROWS
    lengths = z.norm(dim=1)
    with _full_precision(z.device):
        for first in range(0, len(e), CODE_ROWS):
            block = _CodeBlock(e, bias, first)
            for rows in (slice(i, i + query_rows) for i in range(0, len(z), query_rows)):
                query, code = block.candidates(z[rows], lengths[rows], best[rows])
                for part in range(0, len(query), CANDIDATES):
                    pairs = slice(part, part + CANDIDATES)
                    _decide(z[rows], e, bias, query[pairs], code[pairs], best[rows], codes[rows])
    return codes


class _CodeBlock:
    """Codewords from `first` on, and which of them may be nearest as far as float32 can tell."""

    def __init__(self, e: Tensor, bias: Tensor | None, first: int) -> None:
        rows = slice(first, first + CODE_ROWS)
        lengths = torch.linalg.vector_norm(e[rows], dim=1, dtype=torch.float64)
        costs = lengths.square() if bias is None else lengths.square() + bias[rows]
        self.first, self.count = first, len(costs)
        self.cost_bound = costs.abs().where(costs < torch.inf, 0).amax().float()
        self.length_bound = lengths.amax().float()
        spare = -len(costs) % GROUP  # places that never win fill the last group
        self.costs = F.pad(costs.float(), (0, spare), value=torch.inf)
        self.transposed = F.pad(e[rows], (0, 0, 0, spare)).T

    def candidates(self, z: Tensor, lengths: Tensor, best: Tensor) -> tuple[Tensor, Tensor]:
        """Pairs of a query `(n, D)` and a codeword that may beat its `best` so far; sorted, codes counted from 0."""
        scores = torch.addmm(self.costs, z, self.transposed, alpha=-2)
        groups = scores.unflatten(1, (-1, GROUP))
        lows = groups.amin(2)
        slack = score_slack(lengths, self.cost_bound, self.length_bound, z.shape[1])
        limit = torch.fmin(best.float() + slack, lows.amin(1) + 2 * slack)
        query, group = (~(lows > limit[:, None])).nonzero(as_tuple=True)
        hit, place = (~(groups[query, group] > limit[query, None])).nonzero(as_tuple=True)
        code = group[hit] * GROUP + place
        there = code < self.count
        return query[hit][there], self.first + code[there]


def _decide(
    z: Tensor, e: Tensor, bias: Tensor | None, query: Tensor, code: Tensor, best: Tensor, codes: Tensor
) -> None:
    """Score pairs exactly; lower `best` and set `codes` in place where one beats what was found before."""
    scores = exact_scores(z[query], e[code], None if bias is None else bias[code])
    low = best.scatter_reduce(0, query, scores, "amin")
    tied = code.where(scores == low[query], len(e))
    winner = torch.full_like(codes, len(e)).scatter_reduce(0, query, tied, "amin")
    codes.copy_(winner.where(low < best, codes))
    best.copy_(low)


@contextmanager
def _full_precision(device: torch.device) -> Iterator[None]:
    """The slack holds for float32 products, so a wish for faster, coarser ones is set aside."""
    matmul = torch.backends.cuda.matmul if device.type == "cuda" else torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
    wish = matmul.fp32_precision
    matmul.fp32_precision = "ieee"
    try:
        yield
    finally:
        matmul.fp32_precision = wish
