"""Synthesis stages that are told the quality: each stage's input is scaled by channel, as the level at its place asks.

After Cui et al. 2021, "Asymmetric gained deep image compression with continuous rate adaptation", arXiv:2003.02012, whose
gains scale the latent alone.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.nn.pyramid import level_features


class LevelScale(nn.Module):
    """Multiply each channel by a factor learned at a few levels and interpolated linearly between them, 1 at the start.

    Args:
        channels: C.
        knots: levels 0, 1 / (knots - 1), …, 1 that have factors of their own, at least 2.
    """

    def __init__(self, channels: int, knots: int) -> None:
        super().__init__()
        if knots < 2:
            raise ValueError(f"levels need at least 2 knots, got {knots}")
        self.change = nn.Parameter(torch.zeros(channels, knots))

    def forward(self, features: Tensor, levels: Tensor) -> Tensor:
        """`(B, C, f h, f w)` features, f an integer, and levels `(B, 1, h, w)` in [0, 1] to features."""
        hats = level_features(levels.to(self.change.dtype), self.change.shape[1])
        factors = 1 + F.conv2d(hats, self.change[..., None, None])
        if factors.shape[-2:] != features.shape[-2:]:
            factors = F.interpolate(factors, size=features.shape[-2:], mode="nearest")
        return features * factors


class LevelStages(nn.Module):
    """Stages one after another, the input of each scaled by `LevelScale`.

    Args:
        stages: pairs of a stage's input channels and its module.
        knots: of each scale.
    """

    def __init__(self, stages: Iterable[tuple[int, nn.Module]], knots: int) -> None:
        super().__init__()
        pairs = list(stages)
        self.scales = nn.ModuleList(LevelScale(channels, knots) for channels, _ in pairs)
        self.stages = nn.ModuleList(stage for _, stage in pairs)

    def forward(self, features: Tensor, levels: Tensor) -> Tensor:
        """Features at the levels' resolution, or finer by an integer, and levels `(B, 1, h, w)` to features."""
        for scale, stage in zip(self.scales, self.stages, strict=True):
            features = stage(scale(features, levels))
        return features
