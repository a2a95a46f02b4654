"""Nearest codewords without the N x K score matrix, by one of two roads with the same answer.

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
LAST = torch.iinfo(torch.int64).max  # behind all codes
ROAD_VARIABLE = "CODEC_SEARCH"

Road = Callable[[Tensor, Tensor, Tensor | None, int], tuple[Tensor, Tensor]]


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
    return few_nearest(z, codebook, 1, bias, road=road)[1].squeeze(1)


@torch.no_grad()
def few_nearest(
    z: Tensor, codebook: Tensor, count: int, bias: Tensor | None = None, *, road: Road | None = None
) -> tuple[Tensor, Tensor]:
    """The `count` codewords with the smallest squared distances plus bias, nearest first; lower indices win ties.

    Args:
        z: `(N, D)`.
        codebook: `(K, D)`, K and D at least 1.
        count: at least 1. Places that no codeword wins have an infinite score and index 0.
        bias: as of `nearest`.
        road: likewise.

    Returns:
        Scores, float64 `(N, count)`: squared distances plus bias less |z|^2; and their int64 indices.
    """
    if z.ndim != 2 or codebook.ndim != 2 or z.shape[1] != codebook.shape[1]:
        raise ValueError(
            f"expected (N, D) queries and a (K, D) codebook, got {tuple(z.shape)} and {tuple(codebook.shape)}"
        )
    if 0 in codebook.shape:
        raise ValueError(f"expected at least one codeword of at least one dimension, got {tuple(codebook.shape)}")
    if bias is not None and bias.shape != codebook.shape[:1]:
        raise ValueError(f"expected a bias for each of {len(codebook)} codewords, got {tuple(bias.shape)}")
    if count < 1:
        raise ValueError(f"expected at least one codeword to be wanted, got {count}")
    road = road if road is not None else default_road(z.device)
    with torch.autocast(z.device.type, enabled=False):
        return road(z.float(), codebook.float(), None if bias is None else bias.float(), count)


def default_road(device: torch.device) -> Road:
    """The fastest road that there is on this device."""
    wanted = os.environ.get(ROAD_VARIABLE, "")
    if wanted not in ("", "torch", "kernel"):
        raise ValueError(f"{ROAD_VARIABLE} must be torch or kernel, got {wanted!r}")
    if device.type != "cpu" or wanted == "torch":
        return by_matmul
    return kernel.by_kernel if wanted == "kernel" or kernel.is_built() else by_matmul


def by_matmul(z: Tensor, e: Tensor, bias: Tensor | None, count: int = 1) -> tuple[Tensor, Tensor]:
    """The torch road, on any device: float32 `(N, D)`, `(K, D)` and `(K,)` to float64 scores and int64 codes `(N, count)`."""
    scores = z.new_full((len(z), count), torch.inf, dtype=torch.float64)
    codes = torch.zeros_like(scores, dtype=torch.int64)
    query_rows = QUERY_ROWS if z.device.type == "cpu" else ACCELERATOR_QUERY_ROWS
    lengths = z.norm(dim=1)
    with _full_precision(z.device):
        for first in range(0, len(e), CODE_ROWS):
            block = _CodeBlock(e, bias, first)
            for rows in (slice(i, i + query_rows) for i in range(0, len(z), query_rows)):
                query, code = block.candidates(z[rows], lengths[rows], scores[rows])
                for part in range(0, len(query), CANDIDATES):
                    pairs = slice(part, part + CANDIDATES)
                    _decide(z[rows], e, bias, query[pairs], code[pairs], scores[rows], codes[rows])
    return scores, codes


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
        """Pairs of a query `(n, D)` and a codeword that may be among its `best` `(n, count)`; sorted, codes counted from 0."""
        scores = torch.addmm(self.costs, z, self.transposed, alpha=-2)
        groups = scores.unflatten(1, (-1, GROUP))
        lows = groups.amin(2)
        slack = score_slack(lengths, self.cost_bound, self.length_bound, z.shape[1])
        limit = torch.fmin(best[:, -1].float() + slack, _bound(scores, lows, best.shape[1]) + 2 * slack)
        query, group = (~(lows > limit[:, None])).nonzero(as_tuple=True)
        hit, place = (~(groups[query, group] > limit[query, None])).nonzero(as_tuple=True)
        code = group[hit] * GROUP + place
        there = code < self.count
        return query[hit][there], self.first + code[there]


def _bound(scores: Tensor, lows: Tensor, count: int) -> Tensor:
    """`(n,)`: at least `count` of each row's scores are no higher."""
    if count == 1:
        return lows.amin(1)
    values = lows if count <= lows.shape[1] else scores
    return values.kthvalue(count, dim=1).values if count <= values.shape[1] else torch.full_like(lows[:, 0], torch.inf)


def _decide(
    z: Tensor, e: Tensor, bias: Tensor | None, query: Tensor, code: Tensor, best: Tensor, codes: Tensor
) -> None:
    """Score pairs exactly, of which all codes are above those in `codes`; update these and their scores `best` in place."""
    scores = exact_scores(z[query], e[code], None if bias is None else bias[code])
    keep = _keep_one if best.shape[1] == 1 else _keep_few
    keep(query, code, scores, best, codes)


def _keep_one(query: Tensor, code: Tensor, scores: Tensor, best: Tensor, codes: Tensor) -> None:
    """Without sorting."""
    low = best[:, 0].scatter_reduce(0, query, scores, "amin")
    tied = code.where(scores == low[query], LAST)
    winner = torch.full_like(codes[:, 0], LAST).scatter_reduce(0, query, tied, "amin")
    codes[:, 0] = winner.where(low < best[:, 0], codes[:, 0])
    best[:, 0] = low


def _keep_few(query: Tensor, code: Tensor, scores: Tensor, best: Tensor, codes: Tensor) -> None:
    """Sorts what was found before and what is new."""
    rows, count = best.shape
    queries = torch.cat([torch.arange(rows, device=query.device).repeat_interleave(count), query])
    all_scores, all_codes = torch.cat([best.flatten(), scores]), torch.cat([codes.flatten(), code])
    order = all_scores.argsort(stable=True)
    order = order[queries[order].argsort(stable=True)]
    starts = queries.bincount(minlength=rows).cumsum(0) - queries.bincount(minlength=rows)
    kept = order[(starts[:, None] + torch.arange(count, device=query.device)).flatten()]
    best.copy_(all_scores[kept].view_as(best))
    codes.copy_(all_codes[kept].view_as(codes))


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
