"""Residual quantization: each stage quantizes what the stages before it left over.

Juang, Gray 1982, "Multiple stage vector quantization for speech coding"; Zeghidour et al. 2021 (SoundStream), arXiv:2107.03312.
"""

from collections.abc import Sequence
from itertools import accumulate
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.quantizers.base import Quantized, Quantizer, average_losses, pass_gradient, whole_stages
from codec.quantizers.dropout import StageDropout
from codec.quantizers.estimators import StraightThrough
from codec.quantizers.paths import Followed, can_be_followed, search


class Residual(nn.Module):
    """A stack of quantizers with one gradient estimator around all of them.

    Stages see detached residuals: were each to pass gradients on, the encoder's gradient would grow with the depth. What a
    stage learns by gradient (a projection, say) hears the decoder through the sum of the stages' vectors.
    The loss `commitment` is the mean over stages of the distance between the residual and its vector, with gradient to `z`;
    a stage's own commitment adds its gradient to the stage's parameters. Other losses are averaged over the stages.

    Stages may hold several codes each. So the masked channels of Language-Codec (Ji et al. 2024, arXiv:2402.12208) are a
    first stage that is a `Product`, and the groups of HiFi-Codec (Yang et al. 2023, arXiv:2305.02765) stages that all are.

    Args:
        stages: quantizers of one dimension, coarse to fine.
        dropout: share of training batches that use only the first n stages, n uniform.
        estimator: how the gradient of the sum reaches `z`.
        paths: how many sums of codewords are followed from stage to stage in eval, each stage one code; training follows one.
            More find better codes of the same kind, in as many times the time. Fewer than all codes are then not the best of their number.
    """

    def __init__(
        self,
        stages: Sequence[Quantizer],
        dropout: float = 0.0,
        estimator: nn.Module | None = None,
        paths: int = 1,
    ) -> None:
        super().__init__()
        if paths < 1 or (paths > 1 and not can_be_followed(stages, paths)):
            raise ValueError(
                f"{paths} paths: 1, or more through stages of one table each, of at least as many codes, nearest by distance"
            )
        self.paths = paths
        dims = {stage.dim for stage in stages}
        if len(dims) != 1:
            raise ValueError(f"stages must share one dimension, got {sorted(dims)}")
        self.stages = nn.ModuleList(stages)  # type: ignore[arg-type]
        self.dropout = StageDropout(dropout)
        self.estimator = estimator if estimator is not None else StraightThrough()
        self.dim = dims.pop()
        self.codebook_sizes = tuple(size for stage in stages for size in stage.codebook_sizes)
        self._ordered = tuple(stages)
        self._widths = [len(stage.codebook_sizes) for stage in stages]
        self.prefixes = tuple(accumulate(self._widths))

    def encode(self, z: Tensor) -> Tensor:
        """`(..., D)` vectors to int64 `(..., Q)` codes, coarse to fine."""
        with torch.autocast(z.device.type, enabled=False):
            z = z.float()
            if self.paths > 1 and not self.training:
                return search(cast(Sequence[Followed], self._ordered), z, self.paths)
            total, codes = torch.zeros_like(z), []
            for stage in self._ordered:
                codes.append(stage.encode(z - total))
                total = total + stage.decode(codes[-1])
            return torch.cat(codes, -1)

    def decode(self, codes: Tensor) -> Tensor:
        """int64 `(..., q)` codes of the first stages, q at most Q, to `(..., D)` vectors."""
        parts = codes.split(whole_stages(self._widths, codes.shape[-1]), dim=-1)
        total = self._ordered[0].decode(parts[0])
        for stage, part in zip(self._ordered[1:], parts[1:], strict=False):
            total = total + stage.decode(part)
        return total

    @torch.no_grad()
    def start(self, z: Tensor) -> None:
        """Start each stage on what the stages before it leave of `(N, D)` vectors."""
        residual = z.float()
        for stage in self._ordered:
            stage.start(residual)
            residual = residual - stage.decode(stage.encode(residual))

    def forward(self, z: Tensor) -> Quantized:
        """Quantize with all stages, or in training sometimes with the first few."""
        with torch.autocast(z.device.type, enabled=False):
            z = z.float()
            if self.paths > 1 and not self.training:
                return self._searched(z)
            total, codes, losses = torch.zeros_like(z), [], []
            for stage in self._ordered[: self.dropout(len(self._ordered))]:
                out = stage((z - total).detach())
                total = total + out.vectors
                codes.append(out.codes)
                distance = F.mse_loss(z, total.detach())
                own = out.losses.get("commitment", z.new_zeros(()))
                losses.append(out.losses | {"commitment": pass_gradient(own, distance)})
            vectors = pass_gradient(total, self.estimator(z, total.detach()))
            return Quantized(vectors=vectors, codes=torch.cat(codes, -1), losses=average_losses(losses))

    def _searched(self, z: Tensor) -> Quantized:
        """The codes of `encode`, with the distance that each number of stages leaves."""
        codes = self.encode(z)
        distances = [F.mse_loss(z, self.decode(codes[..., :count])) for count in self.prefixes]
        decoded = self.decode(codes)
        vectors = pass_gradient(decoded, self.estimator(z, decoded))
        return Quantized(vectors=vectors, codes=codes, losses=average_losses([{"commitment": d} for d in distances]))
