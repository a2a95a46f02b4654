"""Residual quantization with one quantizer for all depths.

Lee et al. 2022 (RQ-VAE), "Autoregressive Image Generation using Residual Quantization", arXiv:2203.01941.
"""

import copy

import torch
from torch import Tensor, nn

from codec.quantizers.base import Quantized, Quantizer, pass_gradient
from codec.quantizers.dropout import StageDropout
from codec.quantizers.estimators import StraightThrough


class SharedResidual(nn.Module):
    """The same table quantizes the vector and what is left of it, `depth` times: up to K^depth points from K rows.

    A training step first finds the residuals of all depths with the table as it stands, then quantizes them together, so that
    the table learns once a step, from all depths alike, and does not move between them. That is two searches where `encode` needs one.
    `commitment` is the mean over depths of the distance of `z` from the sum so far; like `Residual`, it has the one estimator.

    Args:
        quantizer: for all depths; must choose the same codes in training as in `encode`.
        depth: codes it makes of one position, times its own number.
        dropout: share of training batches that use only the first n depths, n uniform.
        estimator: how the gradient of the sum reaches `z`.
    """

    def __init__(
        self, quantizer: Quantizer, depth: int, dropout: float = 0.0, estimator: nn.Module | None = None
    ) -> None:
        super().__init__()
        if depth < 1:
            raise ValueError(f"the depth must be at least 1, got {depth}")
        self.quantizer, self.depth = quantizer, depth
        self.dropout = StageDropout(dropout)
        self.estimator = estimator if estimator is not None else StraightThrough()
        self.dim = quantizer.dim
        self.codebook_sizes = tuple(quantizer.codebook_sizes) * depth
        width = len(quantizer.codebook_sizes)
        self.prefixes = tuple(range(width, width * depth + 1, width))

    def encode(self, z: Tensor) -> Tensor:
        """`(..., D)` vectors to int64 `(..., Q)` codes, coarse to fine."""
        with torch.autocast(z.device.type, enabled=False):
            return self._descend(z.float(), self.depth)[1]

    def decode(self, codes: Tensor) -> Tensor:
        """int64 `(..., q)` codes of the first depths to `(..., D)` vectors."""
        width = len(self.quantizer.codebook_sizes)
        if codes.shape[-1] % width or not 0 < codes.shape[-1] <= len(self.codebook_sizes):
            raise ValueError(f"{codes.shape[-1]} codes a position are not 1 to {self.depth} depths of {width}")
        return self.quantizer.decode(codes.unflatten(-1, (codes.shape[-1] // width, width))).sum(-2)

    @torch.no_grad()
    def start(self, z: Tensor) -> None:
        """Start on the residuals of all depths of `(N, D)` vectors, each depth tried with a table of its own."""
        residual, pool = z.float(), []
        for _ in range(self.depth):
            pool.append(residual)
            trial = copy.deepcopy(self.quantizer)
            trial.start(residual)
            residual = residual - trial.decode(trial.encode(residual))
        self.quantizer.start(torch.cat(pool))

    def forward(self, z: Tensor) -> Quantized:
        """Quantize to the full depth, or in training sometimes less."""
        with torch.autocast(z.device.type, enabled=False):
            z = z.float()
            out = self.quantizer(self._descend(z.detach(), self.dropout(self.depth))[0])
            total, sums = out.vectors.sum(-2), out.vectors.detach().cumsum(-2)
            distance = (z.unsqueeze(-2) - sums).square().mean()
            own = out.losses.get("commitment", z.new_zeros(()))
            return Quantized(
                vectors=pass_gradient(total, self.estimator(z, total.detach())),
                codes=out.codes.flatten(-2),
                losses=out.losses | {"commitment": pass_gradient(own, distance)},
            )

    @torch.no_grad()
    def _descend(self, z: Tensor, depth: int) -> tuple[Tensor, Tensor]:
        """Residuals `(..., depth, D)` before each depth, and codes `(..., Q)`."""
        residuals, codes = [z], []
        for _ in range(depth):
            codes.append(self.quantizer.encode(residuals[-1]))
            residuals.append(residuals[-1] - self.quantizer.decode(codes[-1]))
        return torch.stack(residuals[:-1], -2), torch.cat(codes, -1)
