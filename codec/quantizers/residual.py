"""Residual quantization: each stage quantizes what the stages before it left over.

Juang, Gray 1982, "Multiple stage vector quantization for speech coding"; Zeghidour et al. 2021 (SoundStream), arXiv:2107.03312.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from codec.quantizers.base import Quantized, Quantizer
from codec.quantizers.estimators import StraightThrough


class Residual(nn.Module):
    """A stack of quantizers with one gradient estimator around all of them.

    Stages see detached residuals: were each to pass gradients on, the encoder's gradient would grow with the depth.
    The loss `commitment` is the mean over stages of the distance between the residual and its codeword, with gradient
    to `z`; losses of a stage's own rule are averaged over the stages.

    Args:
        stages: quantizers of one dimension, coarse to fine.
        dropout: share of training batches that use only the first n stages, n uniform.
        estimator: how the gradient of the sum reaches `z`.
    """

    def __init__(self, stages: Sequence[Quantizer], dropout: float = 0.0, estimator: nn.Module | None = None) -> None:
        super().__init__()
        dims = {stage.dim for stage in stages}
        if len(dims) != 1:
            raise ValueError(f"stages must share one dimension, got {sorted(dims)}")
        self.stages = nn.ModuleList(stages)  # type: ignore[arg-type]
        self.dropout = dropout
        self.estimator = estimator if estimator is not None else StraightThrough()
        self.dim = dims.pop()
        self.codebook_sizes = tuple(size for stage in stages for size in stage.codebook_sizes)
        self._ordered = tuple(stages)
        self._widths = [len(stage.codebook_sizes) for stage in stages]

    def encode(self, z: Tensor) -> Tensor:
        """`(..., D)` vectors to int64 `(..., Q)` codes, coarse to fine."""
        residual, codes = z.float(), []
        for stage in self._ordered:
            codes.append(stage.encode(residual))
            residual = residual - stage.decode(codes[-1])
        return torch.cat(codes, -1)

    def decode(self, codes: Tensor) -> Tensor:
        """int64 `(..., q)` codes of the first stages, q at most Q, to `(..., D)` vectors."""
        used = [width for i, width in enumerate(self._widths) if sum(self._widths[: i + 1]) <= codes.shape[-1]]
        if sum(used) != codes.shape[-1] or not used:
            raise ValueError(f"{codes.shape[-1]} codes a position do not fill whole stages of {self._widths}")
        parts = codes.split(used, dim=-1)
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
            total, codes, losses = torch.zeros_like(z), [], dict[str, Tensor]()
            count = self._stage_count()
            for stage in self._ordered[:count]:
                out = stage((z - total).detach())
                terms = out.losses | {"commitment": (z - total - out.vectors.detach()).square().mean()}
                for name, value in terms.items():
                    losses[name] = losses.get(name, z.new_zeros(())) + value / count
                total = total + out.vectors.detach()
                codes.append(out.codes)
            return Quantized(vectors=self.estimator(z, total), codes=torch.cat(codes, -1), losses=losses)

    def _stage_count(self) -> int:
        if not self.training or float(torch.rand(())) >= self.dropout:
            return len(self._ordered)
        return int(torch.randint(1, len(self._ordered) + 1, ()))
