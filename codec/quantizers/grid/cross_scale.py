"""Cross-scale residual quantization: each level of a U-shaped codec codes what its decoder does not know yet.

Gu, Diao 2024 (ESC), "ESC: Efficient Speech Coding with Cross-Scale Residual Vector Quantized Transformers", arXiv:2404.19441.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from codec.quantizers.base import GridQuantized, Quantizer, average_losses, whole_stages
from codec.quantizers.dropout import StageDropout
from codec.quantizers.grid.features import check_features, check_grid, one_by_one, quantize_one_by_one


class Synthesis(Protocol):
    """Decoder blocks between two levels; `Enlarge` is the least of them.

    Attributes:
        factor: how much finer the grid becomes on each axis.
    """

    factor: int

    def __call__(self, x: Tensor) -> Tensor:
        """`(B, *grid, D)` channel-last to the next finer level, with that level's width."""


class CrossScale(nn.Module):
    """Levels, coarse to fine: decoded_i = predicted_i + quantized(feature_i - predicted_i), predicted_{i+1} = synthesis_i(decoded_i).

    The synthesis blocks are part of the quantizer, as an encoder needs the decoder's path to know what is left. The residual is
    taken against the fixed prediction: a feature receives the gradient of its own level with the gain of that level's quantizer,
    and the synthesis that of the prediction, with gain 1. Planes may be missing from some level on; then the prediction stands.
    Losses are averaged over the levels that are used. Vectors are the decoded levels, finest first.

    Args:
        levels: a quantizer for each level, coarsest first.
        synthesis: blocks between the levels, coarsest first; one fewer than levels.
        dropout: share of training batches that use only the first n levels, n uniform.
        axes: of the grids.
    """

    def __init__(
        self, levels: Sequence[Quantizer], synthesis: Sequence[Synthesis], *, dropout: float = 0.0, axes: int = 1
    ) -> None:
        super().__init__()
        if len(synthesis) != len(levels) - 1:
            raise ValueError(f"{len(levels)} levels need {len(levels) - 1} synthesis blocks, got {len(synthesis)}")
        self.levels = nn.ModuleList(levels)  # type: ignore[arg-type]
        self.synthesis = nn.ModuleList(synthesis)  # type: ignore[arg-type]
        self.dropout, self.axes = StageDropout(dropout), axes
        strides = [1]
        for block in reversed(synthesis):
            strides.append(strides[-1] * block.factor)
        self.strides = tuple(strides)
        self.dims = tuple(level.dim for level in reversed(levels))
        self.codebook_sizes = tuple(size for level in levels for size in level.codebook_sizes)
        self._ordered, self._blocks = tuple(levels), tuple(synthesis)
        self._widths = [len(level.codebook_sizes) for level in levels]

    def layout(self, grid: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        """Each level's grid, once for each code at a position."""
        check_grid(self, grid)
        grids = [tuple(side // stride for side in grid) for stride in reversed(self.strides)]
        return tuple(grid for grid, width in zip(grids, self._widths, strict=True) for _ in range(width))

    def encode(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Features, finest first, to int64 planes, coarse to fine."""
        check_features(self, features)
        return one_by_one(self._encode, features)

    @torch.no_grad()
    def _encode(self, features: Sequence[Tensor]) -> list[Tensor]:
        planes: list[Tensor] = []
        with torch.autocast(features[0].device.type, enabled=False):
            decoded: list[Tensor] = []
            for i, (level, feature) in enumerate(zip(self._ordered, reversed(features), strict=True)):
                predicted = self._predict(i, decoded, feature)
                codes = level.encode(feature.float() - predicted)
                decoded.append(predicted + level.decode(codes))
                planes += codes.unbind(-1)
        return planes

    def decode(self, planes: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Planes of the first levels to all levels of vectors, finest first."""
        stacks, rest = [], list(planes)
        for width in whole_stages(self._widths, len(planes)):
            stacks.append(torch.stack(rest[:width], -1))
            rest = rest[width:]
        with torch.autocast(planes[0].device.type, enabled=False):
            decoded = [self._ordered[0].decode(stacks[0])]
            for i, block in enumerate(self._blocks, 1):
                predicted = block(decoded[-1])
                decoded.append(predicted + self._ordered[i].decode(stacks[i]) if i < len(stacks) else predicted)
        return tuple(reversed(decoded))

    @torch.no_grad()
    def start(self, features: Sequence[Tensor]) -> None:
        """Start each level on what the coarser ones leave of its feature."""
        check_features(self, features)
        decoded: list[Tensor] = []
        for i, (level, feature) in enumerate(zip(self._ordered, reversed(features), strict=True)):
            predicted = self._predict(i, decoded, feature)
            residual = feature.float() - predicted
            level.start(residual.reshape(-1, level.dim))
            decoded.append(predicted + level.decode(level.encode(residual)))

    def forward(self, features: Sequence[Tensor]) -> GridQuantized:
        """Quantize all levels, or in training sometimes only the first few."""
        check_features(self, features)
        return self._quantize(features) if self.training else quantize_one_by_one(self._quantize, features)

    def _quantize(self, features: Sequence[Tensor]) -> GridQuantized:
        count, planes, losses = self.dropout(len(self._ordered)), list[Tensor](), []
        with torch.autocast(features[0].device.type, enabled=False):
            decoded: list[Tensor] = []
            for i, (level, feature) in enumerate(zip(self._ordered, reversed(features), strict=True)):
                predicted = self._predict(i, decoded, feature)
                if i < count:
                    out = level(feature.float() - predicted.detach())
                    planes += out.codes.unbind(-1)
                    losses.append(out.losses)
                    predicted = predicted + out.vectors
                decoded.append(predicted)
        return GridQuantized(tuple(reversed(decoded)), tuple(planes), average_losses(losses))

    def _predict(self, i: int, decoded: Sequence[Tensor], feature: Tensor) -> Tensor:
        """What level i is expected to be, given the levels below; nothing at the lowest."""
        if i == 0:
            return torch.zeros_like(feature, dtype=torch.float32)
        predicted = self._blocks[i - 1](decoded[-1])
        if predicted.shape != feature.shape:
            raise ValueError(f"synthesis {i - 1} made {tuple(predicted.shape)} for a level of {tuple(feature.shape)}")
        return predicted
