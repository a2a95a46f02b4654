"""Look codes up in another, usually smaller space: a linear map before the quantizer and one after.

Yu et al. 2021 (ViT-VQGAN), "factorised codes", arXiv:2110.04627.
"""

import torch
from torch import Tensor, nn

from codec.quantizers.base import Quantized, Quantizer, prefixes_of
from codec.quantizers.processes import from_first_process, gather_rows


class Projected(nn.Module):
    """Any quantizer behind two linear maps.

    Args:
        dim: D of the outside vectors.
        quantizer: works at its own `quantizer.dim`.
    """

    def __init__(self, dim: int, quantizer: Quantizer) -> None:
        super().__init__()
        self.dim = dim
        self.quantizer = quantizer
        self.codebook_sizes, self.prefixes = quantizer.codebook_sizes, prefixes_of(quantizer)
        self.down = nn.Linear(dim, quantizer.dim)
        self.up = nn.Linear(quantizer.dim, dim)

    def encode(self, z: Tensor) -> Tensor:
        """`(..., dim)` vectors to int64 `(..., Q)` codes."""
        return self.quantizer.encode(self.down(z.float()))

    def decode(self, codes: Tensor) -> Tensor:
        """int64 `(..., Q)` codes to `(..., dim)` vectors."""
        return self.up(self.quantizer.decode(codes))

    @torch.no_grad()
    def start(self, z: Tensor) -> None:
        """Point the maps along the principal axes of `(N, dim)` vectors, scaled to unit variance inside."""
        rows = gather_rows(z.float())
        mean = rows.mean(0)
        _, spread, axes = torch.linalg.svd(rows[: 1 << 16] - mean, full_matrices=False)
        count = self.quantizer.dim
        deviation = (spread[:count] / len(rows[: 1 << 16]) ** 0.5).clamp_min(1e-6)
        down = from_first_process((axes[:count] / deviation[:, None]).contiguous())
        self.down.weight.copy_(down)
        self.down.bias.copy_(-down @ from_first_process(mean))
        self.up.weight.copy_(torch.linalg.pinv(down))
        self.up.bias.copy_(mean)
        self.quantizer.start(self.down(rows))

    def forward(self, z: Tensor) -> Quantized:
        """Quantize in the inner space."""
        with torch.autocast(z.device.type, enabled=False):
            inner = self.quantizer(self.down(z.float()))
            return Quantized(vectors=self.up(inner.vectors), codes=inner.codes, losses=inner.losses)
