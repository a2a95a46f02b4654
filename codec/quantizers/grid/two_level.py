"""Two levels of codes: the top holds what is global, the bottom what is local, given the top.

Razavi, van den Oord, Vinyals 2019 (VQ-VAE-2), "Generating Diverse High-Fidelity Images with VQ-VAE-2", arXiv:1906.00446.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from codec.quantizers.base import GridQuantized, Quantizer, average_losses
from codec.quantizers.grid.cross_scale import Synthesis
from codec.quantizers.grid.features import check_features, check_grid, one_by_one, quantize_one_by_one


class TwoLevel(nn.Module):
    """q_top = quantized(top); q_bottom = quantized(merge([bottom, synthesis(q_top)])); the decoder is given both.

    The decoder's gradient reaches the top by both ways. The merge begins as the bottom alone. Losses are averaged over the levels.
    Without the bottom's planes its vectors are zero.

    Args:
        bottom: quantizer of the fine feature.
        top: quantizer of the coarse feature.
        synthesis: from the top's grid and width to the bottom's.
        axes: of the grids.
    """

    dims: tuple[int, ...]
    strides: tuple[int, ...]

    def __init__(self, bottom: Quantizer, top: Quantizer, synthesis: Synthesis, *, axes: int = 2) -> None:
        super().__init__()
        self.bottom, self.top, self.synthesis, self.axes = bottom, top, synthesis, axes
        self.dims, self.strides = (bottom.dim, top.dim), (1, synthesis.factor)
        self.codebook_sizes = (*top.codebook_sizes, *bottom.codebook_sizes)
        self.merge = nn.Linear(2 * bottom.dim, bottom.dim)
        with torch.no_grad():
            self.merge.weight.copy_(torch.eye(bottom.dim, 2 * bottom.dim))
            self.merge.bias.zero_()

    def layout(self, grid: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        """The top's grid, then the bottom's, once for each code at a position."""
        coarse = tuple(side // self.strides[1] for side in check_grid(self, grid))
        return (coarse,) * len(self.top.codebook_sizes) + (grid,) * len(self.bottom.codebook_sizes)

    def encode(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Features bottom and top to int64 planes, those of the top first."""
        check_features(self, features)
        return one_by_one(self._encode, features)

    @torch.no_grad()
    def _encode(self, features: Sequence[Tensor]) -> list[Tensor]:
        with torch.autocast(features[0].device.type, enabled=False):
            top = self.top.encode(features[1].float())
            bottom = self.bottom.encode(self._merged(features[0], self.top.decode(top)))
        return [*top.unbind(-1), *bottom.unbind(-1)]

    def decode(self, planes: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Planes of both levels, or of the top alone, to the vectors of bottom and top."""
        count = len(self.top.codebook_sizes)
        if len(planes) not in (count, len(self.codebook_sizes)):
            raise ValueError(f"expected {count} planes of the top or all {len(self.codebook_sizes)}, got {len(planes)}")
        top = self.top.decode(torch.stack(list(planes[:count]), -1))
        if len(planes) > count:
            return self.bottom.decode(torch.stack(list(planes[count:]), -1)), top
        grid = (side * self.strides[1] for side in top.shape[1:-1])
        return top.new_zeros(len(top), *grid, self.dims[0]), top

    @torch.no_grad()
    def start(self, features: Sequence[Tensor]) -> None:
        """Start the top, then the bottom given the top."""
        check_features(self, features)
        top = features[1].float()
        self.top.start(top.reshape(-1, self.top.dim))
        merged = self._merged(features[0], self.top.decode(self.top.encode(top)))
        self.bottom.start(merged.reshape(-1, self.bottom.dim))

    def forward(self, features: Sequence[Tensor]) -> GridQuantized:
        """Quantize top, then bottom."""
        check_features(self, features)
        return self._quantize(features) if self.training else quantize_one_by_one(self._quantize, features)

    def _quantize(self, features: Sequence[Tensor]) -> GridQuantized:
        with torch.autocast(features[0].device.type, enabled=False):
            top = self.top(features[1].float())
            bottom = self.bottom(self._merged(features[0], top.vectors))
            return GridQuantized(
                vectors=(bottom.vectors, top.vectors),
                planes=(*top.codes.unbind(-1), *bottom.codes.unbind(-1)),
                losses=average_losses([top.losses, bottom.losses]),
            )

    def _merged(self, bottom: Tensor, top: Tensor) -> Tensor:
        """The bottom feature beside what the top says about it, as `(B, *grid, bottom.dim)`."""
        return self.merge(torch.cat([bottom.float(), self.synthesis(top)], -1))
