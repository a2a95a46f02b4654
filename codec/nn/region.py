"""Region-adaptive transform: each position is filtered by a kernel that suits the region in which it lies.

Liu et al. 2024, "Region-Adaptive Transform with Segmentation Prior for Image Compression" (SegPIC), arXiv:2403.00628. A region's
prototype is the mean of its features. In training regions may be those of masks, a privilege that no stream carries; otherwise
they are the cells of a 4x4 grid. Widths are in channels.

Ours: SegPIC codes the encoder's prototypes, here the synthesis takes them from the dequantised latent, which it has anyway, so
there is no further stream; convolutional attention (`residual.py`) stands for its window attention; and the linear path of `linear.py`.

A prototype depends on its whole region, so both transforms are global: `halo` is None, and a tile does not compute what the
picture would. A codec either computes the picture in one piece, or declares a fixed block with halo 0 as part of the model,
whose seams are to be measured.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.nn.blocks import start_at_zero
from codec.nn.classic import STRIDE, doubling, halving
from codec.nn.gdn import GDN
from codec.nn.levels import LevelStages
from codec.nn.linear import LinearAnalysis, LinearSynthesis
from codec.nn.patch import PatchBasis
from codec.nn.prototypes import FINE, spread_prototypes
from codec.nn.residual import GatedAttention, check_stages, silent_doubling

_TAPS = 9
_ATTENTION_DEPTH = 1
_SLOPE = 0.1


def filter_positions(features: Tensor, kernels: Tensor) -> Tensor:
    """Depthwise 3x3 correlation of `(B, C, h, w)` with a kernel `(B, C, 9, h, w)` of each position, zeros beyond the border."""
    height, width = features.shape[-2:]
    padded = F.pad(features, (1, 1, 1, 1))
    taps = (padded[..., tap // 3 : tap // 3 + height, tap % 3 : tap % 3 + width] for tap in range(_TAPS))
    filtered = torch.zeros_like(features)
    for place, tap in enumerate(taps):
        filtered = filtered + tap * kernels[:, :, place]
    return filtered


class RegionAdaptation(nn.Module):
    """Add what kernels predicted from features and their regions' prototypes filter out of them; nothing at first.

    Args:
        width: channels of the features.
        guide: channels of the prototypes.
        hidden: channels that are filtered.
    """

    def __init__(self, width: int, *, guide: int, hidden: int) -> None:
        super().__init__()
        self.enter = _pointwise(width, hidden, hidden)
        self.kernels = nn.Sequential(
            nn.Conv2d(hidden + guide, hidden, 1),
            nn.LeakyReLU(_SLOPE),
            nn.Conv2d(hidden, hidden, 3, padding=1),
            nn.LeakyReLU(_SLOPE),
            nn.Conv2d(hidden, _TAPS * hidden, 3, padding=1, groups=hidden),
        )
        self.gate = _pointwise(hidden, hidden, hidden)
        self.leave = nn.Conv2d(hidden, width, 1)
        start_at_zero(self.leave)

    def forward(self, features: Tensor, prototypes: Tensor) -> Tensor:
        """Features `(B, width, h, w)` and each position's prototype `(B, guide, h, w)` to features."""
        inner = self.enter(features)
        kernels = self.kernels(torch.cat([inner, prototypes], 1)).unflatten(1, (-1, _TAPS))
        filtered = filter_positions(inner, kernels)
        gate = self.gate(filtered.mean((2, 3), keepdim=True)).sigmoid()
        return features + self.leave(gate * filtered)


def _pointwise(before: int, hidden: int, after: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(before, hidden, 1), nn.LeakyReLU(_SLOPE), nn.Conv2d(hidden, after, 1))


class SelfScale(nn.Module):
    """Scale and shift each position's channels by what a small network makes of them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Conv2d(width, width, 1), nn.GELU(), nn.Conv2d(width, 2 * width, 1))

    def forward(self, x: Tensor) -> Tensor:
        """`(B, width, h, w)` to the same."""
        scale, shift = self.network(x).chunk(2, 1)
        return x * (1 + scale) + shift


class RegionAnalysis(nn.Module):
    """Pixels `(B, 3, H, W)` in [0, 1] to normalised latents `(B, latent_dim, H / 16, W / 16)`; global.

    Args:
        latent_dim: channels of the latent.
        widths: channels at 1/2, 1/4 and 1/8 resolution.
        hidden: channels that region kernels filter.
    """

    def __init__(self, latent_dim: int, *, widths: Sequence[int] = (48, 96, 128), hidden: int = 48) -> None:
        super().__init__()
        check_stages("widths", widths)
        self.stride, self.halo = STRIDE, None
        self.linear = LinearAnalysis(latent_dim)
        fine, middle, coarse = widths
        self.before = nn.Sequential(*_down(3, fine), *_down(fine, middle), GatedAttention(middle, _ATTENTION_DEPTH))
        self.adapt = RegionAdaptation(middle, guide=middle, hidden=hidden)
        last = GatedAttention(latent_dim, _ATTENTION_DEPTH)
        self.after = nn.Sequential(*_down(middle, coarse), halving(coarse, latent_dim), last)

    def start_from(self, basis: PatchBasis) -> None:
        """Set the linear path to the basis; the network adds nothing yet."""
        self.linear.start_from(basis)

    def forward(self, x: Tensor, masks: Tensor | None = None) -> Tensor:
        """Shapes as in the class text, sides multiples of 16; `masks` int64 `(B, H, W)` number regions, in training only."""
        _check_privilege(self, masks)
        features = self.before(4 * x - 2)
        size = (features.shape[-2], features.shape[-1])
        adapted = self.adapt(features, spread_prototypes(features, size, FINE, masks))
        return self.linear(x, self.after(adapted))


class RegionSynthesis(nn.Module):
    """Normalised latents `(B, latent_dim, h, w)` to pixels `(B, 3, 16 h, 16 w)`, about [0, 1], not clamped; global.

    The mirror of `RegionAnalysis`, its stages told the quality; prototypes are pooled from the latents.

    Args:
        latent_dim: channels of the latent.
        widths: channels at 1/2, 1/4 and 1/8 resolution.
        hidden: channels that region kernels filter.
        guide: channels of the prototypes.
        knots: levels at which each stage has channel scales of its own.
    """

    def __init__(
        self,
        latent_dim: int,
        *,
        widths: Sequence[int] = (48, 96, 128),
        hidden: int = 48,
        guide: int = 96,
        knots: int = 8,
    ) -> None:
        super().__init__()
        check_stages("widths", widths)
        self.stride, self.halo = STRIDE, None
        self.linear = LinearSynthesis(latent_dim)
        fine, middle, coarse = widths
        self.guide = nn.Conv2d(latent_dim, guide, 1)
        first = nn.Sequential(GatedAttention(latent_dim, _ATTENTION_DEPTH), *_up(latent_dim, coarse))
        self.before = LevelStages([(latent_dim, first), (coarse, nn.Sequential(*_up(coarse, middle)))], knots)
        self.adapt = RegionAdaptation(middle, guide=guide, hidden=hidden)
        third = nn.Sequential(GatedAttention(middle, _ATTENTION_DEPTH), *_up(middle, fine))
        self.after = LevelStages([(middle, third), (fine, silent_doubling(fine))], knots)

    def start_from(self, basis: PatchBasis) -> None:
        """Set the linear path to the transposed basis; the network adds nothing yet."""
        self.linear.start_from(basis)

    def forward(self, n: Tensor, levels: Tensor, masks: Tensor | None = None) -> Tensor:
        """Latents and levels `(B, 1, h, w)` in [0, 1] to pixels; `masks` as in the analysis."""
        _check_privilege(self, masks)
        features = self.before(n, levels)
        size = (features.shape[-2], features.shape[-1])
        adapted = self.adapt(features, spread_prototypes(self.guide(n), size, STRIDE, masks))
        return self.linear(n, self.after(adapted, levels))


def _down(before: int, after: int) -> tuple[nn.Module, ...]:
    return halving(before, after), GDN(after), SelfScale(after)


def _up(before: int, after: int) -> tuple[nn.Module, ...]:
    return SelfScale(before), doubling(before, after), GDN(after)


def _check_privilege(module: nn.Module, masks: Tensor | None) -> None:
    if masks is not None and not module.training:
        raise ValueError("masks are for training, no stream carries them; call without masks, or call train() first")
