"""Multi-scale residual quantization: one map as a sum of coarser and finer token maps.

Tian et al. 2024 (VAR), "Visual Autoregressive Modeling: Scalable Image Generation via Next-Scale Prediction", arXiv:2404.02905.
"""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from codec.quantizers.base import GridQuantized, Quantizer, pass_gradient
from codec.quantizers.dropout import StageDropout
from codec.quantizers.estimators import StraightThrough
from codec.quantizers.grid.features import check_features, check_grid, one_by_one, quantize_one_by_one
from codec.quantizers.grid.resampling import area, cubic, resample

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}


class MultiScale(nn.Module):
    """Each scale quantizes, at its own resolution, what the coarser scales left over; one quantizer serves all.

    down to the scale by areas ─ codes ─ up to the full grid by cubic convolution ─ refine ─ added to the sum

    As in `SharedResidual`, a training step finds the residuals of all scales first and quantizes them together.
    Losses: `commitment`, the mean over scales of the squared distance of the feature from the (fixed) sum so far; `refinement`, the
    same with the feature fixed, for the refining convolutions and what the quantizer learns by gradient; and the quantizer's own.
    A prefix of the planes decodes.

    Args:
        quantizer: for all scales; must choose the same codes in training as in `encode`.
        sizes: of the scales, ascending; the last stands for the full grid, on other grids the sides grow in proportion.
        refinements: convolutions, spread over the scales.
        dropout: share of training batches that use only the first n scales, n uniform.
        estimator: how the gradient of the sum reaches the feature.
        axes: of the grid.
    """

    dims: tuple[int, ...]
    strides: tuple[int, ...]

    def __init__(
        self,
        quantizer: Quantizer,
        sizes: Sequence[int],
        *,
        refinements: int = 4,
        dropout: float = 0.0,
        estimator: nn.Module | None = None,
        axes: int = 2,
    ) -> None:
        super().__init__()
        if not sizes or sizes[0] < 1 or list(sizes) != sorted(sizes):
            raise ValueError(f"sizes must be positive and ascend, got {list(sizes)}")
        self.quantizer, self.sizes, self.axes = quantizer, tuple(sizes), axes
        self.dims, self.strides = (quantizer.dim,), (1,)
        self.codebook_sizes = tuple(quantizer.codebook_sizes) * len(sizes)
        self.dropout = StageDropout(dropout)
        self.estimator = estimator if estimator is not None else StraightThrough()
        convolution = CONVOLUTIONS[axes]
        self.refinements = nn.ModuleList(
            convolution(quantizer.dim, quantizer.dim, 3, padding=1) for _ in range(refinements)
        )
        self._width = len(quantizer.codebook_sizes)

    def layout(self, grid: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        """Each scale's grid, once for each code at a position."""
        return tuple(shape for shape in self._shapes(check_grid(self, grid)) for _ in range(self._width))

    def encode(self, features: Sequence[Tensor]) -> list[Tensor]:
        """One feature `(B, *grid, D)` to int64 planes, coarse to fine."""
        check_features(self, features)
        return one_by_one(lambda example: self._planes(self._descend(example[0].float(), len(self.sizes))[1]), features)

    def decode(self, planes: Sequence[Tensor], grid: tuple[int, ...] | None = None) -> tuple[Tensor]:
        """Planes of the first scales to one grid of vectors; `grid` where those of the last scale are missing."""
        if len(planes) % self._width or not 0 < len(planes) <= len(self.codebook_sizes):
            raise ValueError(f"{len(planes)} planes are not 1 to {len(self.sizes)} scales of {self._width}")
        if grid is None:
            if len(planes) < len(self.codebook_sizes):
                raise ValueError(f"{len(planes)} of {len(self.codebook_sizes)} planes do not tell the grid; pass it")
            grid = tuple(planes[-1].shape[1:])
        scales = [torch.stack(list(planes[i : i + self._width]), -1) for i in range(0, len(planes), self._width)]
        vectors = [self.quantizer.decode(codes) for codes in scales]
        return (self._sums(vectors, grid)[-1],)

    @torch.no_grad()
    def start(self, features: Sequence[Tensor]) -> None:
        """Start on what all scales see of the feature, each scale tried with a quantizer of its own."""
        check_features(self, features)
        (rest,), pool = [feature.float() for feature in features], []
        grid = tuple(rest.shape[1:-1])
        for k, shape in enumerate(self._shapes(grid)):
            small = resample(rest, shape, area)
            pool.append(small.reshape(-1, self.quantizer.dim))
            trial = copy.deepcopy(self.quantizer)
            trial.start(pool[-1])
            rest = rest - self._raise(k, trial.decode(trial.encode(small)), grid)
        self.quantizer.start(torch.cat(pool))

    def forward(self, features: Sequence[Tensor]) -> GridQuantized:
        """Quantize at all scales, or in training sometimes at the first few."""
        check_features(self, features)
        return self._quantize(features) if self.training else quantize_one_by_one(self._quantize, features)

    def _quantize(self, features: Sequence[Tensor]) -> GridQuantized:
        z = features[0].float()
        with torch.autocast(z.device.type, enabled=False):
            grid = tuple(z.shape[1:-1])
            seen, _ = self._descend(z.detach(), self.dropout(len(self.sizes)))
            out = self.quantizer(torch.cat([small.reshape(-1, self.quantizer.dim) for small in seen]))
            counts = [small.shape[:-1].numel() for small in seen]
            rows = zip(seen, out.vectors.split(counts), out.codes.split(counts), strict=True)
            vectors, codes = zip(
                *((e.view(small.shape), c.view(*small.shape[:-1], -1)) for small, e, c in rows), strict=True
            )
            sums = self._sums(vectors, grid)
            distance = torch.stack([(z - total.detach()).square().mean() for total in sums]).mean()
            refinement = torch.stack([(z.detach() - total).square().mean() for total in sums]).mean()
            own = out.losses.get("commitment", z.new_zeros(()))
            return GridQuantized(
                vectors=(pass_gradient(sums[-1], self.estimator(z, sums[-1].detach())),),
                planes=tuple(self._planes(codes)),
                losses=out.losses | {"commitment": pass_gradient(own, distance), "refinement": refinement},
            )

    @torch.no_grad()
    def _descend(self, z: Tensor, count: int) -> tuple[list[Tensor], list[Tensor]]:
        """What each of the first scales sees, `(B, *shape, D)`, and its codes `(B, *shape, Q)`."""
        grid = tuple(z.shape[1:-1])
        rest, seen, codes = z, [], []
        with torch.autocast(z.device.type, enabled=False):
            for k, shape in enumerate(self._shapes(grid)[:count]):
                seen.append(resample(rest, shape, area))
                codes.append(self.quantizer.encode(seen[-1]))
                rest = rest - self._raise(k, self.quantizer.decode(codes[-1]), grid)
        return seen, codes

    def _sums(self, vectors: Sequence[Tensor], grid: tuple[int, ...]) -> list[Tensor]:
        """The sum after each scale, `(B, *grid, D)`."""
        sums = [self._raise(0, vectors[0], grid)]
        for k, scale in enumerate(vectors[1:], 1):
            sums.append(sums[-1] + self._raise(k, scale, grid))
        return sums

    def _raise(self, k: int, vectors: Tensor, grid: tuple[int, ...]) -> Tensor:
        """What scale k adds to the full grid: enlarged, then half of it convolved."""
        large = resample(vectors.float(), grid, cubic)
        if not len(self.refinements):
            return large
        convolution = self.refinements[self._refinement(k)]
        with torch.autocast(large.device.type, enabled=False):
            return 0.5 * large + 0.5 * convolution(large.movedim(-1, 1)).movedim(1, -1)

    def _refinement(self, k: int) -> int:
        """The convolution whose tick is nearest to scale k, the later one of two.

        Scale k lies at k / (S - 1); the R ticks are spread evenly from 1 / 3R to 1 - 1 / 3R.
        """
        count, steps = len(self.refinements), max(1, len(self.sizes) - 1)
        above, unit = (3 * count * k - steps) * (count - 1), steps * (3 * count - 2)
        return min(max((2 * above + unit) // (2 * unit), 0), count - 1)

    def _shapes(self, grid: tuple[int, ...]) -> list[tuple[int, ...]]:
        """The grid of each scale: sides in proportion to the sizes, rounded, at least 1."""
        last = self.sizes[-1]
        return [tuple(max(1, (2 * side * size + last) // (2 * last)) for side in grid) for size in self.sizes]

    def _planes(self, codes: Sequence[Tensor]) -> list[Tensor]:
        """Codes `(B, *shape, Q)` of the scales to planes."""
        return [plane.contiguous() for scale in codes for plane in scale.unbind(-1)]
