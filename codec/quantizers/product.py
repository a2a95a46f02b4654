"""Product quantization: cut the vector into parts and quantize each by itself.

Jégou, Douze, Schmid 2011, "Product quantization for nearest neighbor search". One table for all parts is `Grouped`.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from codec.quantizers.base import Quantized, Quantizer, average_losses

Penalty = Callable[[Sequence[Tensor]], dict[str, Tensor]]


class Product(nn.Module):
    """A quantizer of its own for each run of channels: K^M combinations from M tables of K rows.

    Losses are averaged over the parts. The parts have no order, so a prefix of the codes means nothing.

    Args:
        parts: quantizers whose dimensions add up to D.
        penalty: further losses from the vectors `(..., d)` of all parts.
    """

    def __init__(self, parts: Sequence[Quantizer], penalty: Penalty | None = None) -> None:
        super().__init__()
        if not parts:
            raise ValueError("a product needs at least one part")
        self.parts = nn.ModuleList(parts)  # type: ignore[arg-type]
        self.penalty = penalty
        self.codebook_sizes = tuple(size for part in parts for size in part.codebook_sizes)
        self._ordered = tuple(parts)
        self._dims = [part.dim for part in parts]
        self._widths = [len(part.codebook_sizes) for part in parts]
        self.dim = sum(self._dims)

    def encode(self, z: Tensor) -> Tensor:
        """`(..., D)` vectors to int64 `(..., Q)` codes, part after part."""
        return torch.cat([part.encode(rows) for part, rows in self._cut(z)], -1)

    def decode(self, codes: Tensor) -> Tensor:
        """int64 `(..., Q)` codes to `(..., D)` vectors."""
        groups = codes.split(self._widths, dim=-1)
        return torch.cat([part.decode(group) for part, group in zip(self._ordered, groups, strict=True)], -1)

    def start(self, z: Tensor) -> None:
        """Start each part on its channels of `(N, D)` vectors."""
        for part, rows in self._cut(z):
            part.start(rows)

    def forward(self, z: Tensor) -> Quantized:
        """Quantize every part; each has its own estimator."""
        with torch.autocast(z.device.type, enabled=False):
            outs = [part(rows) for part, rows in self._cut(z.float())]
            losses = average_losses([out.losses for out in outs])
            if self.penalty is not None:
                losses |= self.penalty([out.vectors for out in outs])
            return Quantized(
                vectors=torch.cat([out.vectors for out in outs], -1),
                codes=torch.cat([out.codes for out in outs], -1),
                losses=losses,
            )

    def _cut(self, z: Tensor) -> list[tuple[Quantizer, Tensor]]:
        if z.shape[-1] != self.dim:
            raise ValueError(f"the parts {self._dims} need {self.dim} channels, got {z.shape[-1]}")
        return [(part, rows.contiguous()) for part, rows in zip(self._ordered, z.split(self._dims, -1), strict=True)]
