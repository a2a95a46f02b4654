"""Window-attention transform: groups of shifted-window transformer blocks between convolutions of stride 2.

Liu et al. 2022, "Swin Transformer V2", arXiv:2111.09883, in the places that S2LIC gives the groups (arXiv:2403.14471), without
its enhancement module at full resolution. Ours: the linear path of `linear.py` from which training starts, and a synthesis
that is told the quality. Widths are in channels.

Windows are anchored at multiples of their size from the first row and column, so a tile computes what the whole picture does
only if its origin is a multiple of `alignment` latent positions and it has `halo` more on each side that is not the picture's
border. The halo is itself a multiple of the alignment.
"""

import math
from collections.abc import Sequence

from torch import Tensor, nn

from codec.nn.blocks import start_at_zero
from codec.nn.classic import STRIDE, halving
from codec.nn.levels import LevelStages
from codec.nn.linear import LinearAnalysis, LinearSynthesis
from codec.nn.patch import PatchBasis
from codec.nn.residual import check_stages
from codec.nn.windows import WindowAttention


class SwinBlock(nn.Module):
    """Attention in windows, then a network of each position, both normalised after their layers: the identity at first.

    Args:
        width: channels of both sides.
        heads: of the attention.
        window: side of a window.
        shift: by which windows begin before the first row and column.
    """

    def __init__(self, width: int, *, heads: int, window: int, shift: int) -> None:
        super().__init__()
        self.attention = WindowAttention(width, heads=heads, window=window, shift=shift)
        self.attention_norm = nn.LayerNorm(width)
        self.mix = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.mix_norm = nn.LayerNorm(width)
        for norm in (self.attention_norm, self.mix_norm):
            nn.init.zeros_(norm.weight)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, H, W, width)` to the same."""
        x = x + self.attention_norm(self.attention(x))
        return x + self.mix_norm(self.mix(x))


class SwinGroup(nn.Module):
    """Residual group of blocks whose windows lie straight and shifted by half in turn.

    Args:
        width: channels of both sides.
        depth: blocks.
        heads: of their attention.
        window: side of a window.
    """

    def __init__(self, width: int, *, depth: int, heads: int, window: int) -> None:
        super().__init__()
        shifts = (place % 2 * (window // 2) for place in range(depth))
        self.blocks = nn.Sequential(*(SwinBlock(width, heads=heads, window=window, shift=shift) for shift in shifts))

    def forward(self, x: Tensor) -> Tensor:
        """`(B, width, H, W)` to the same."""
        return x + self.blocks(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class SwinAnalysis(nn.Module):
    """Pixels `(B, 3, H, W)` in [0, 1] to normalised latents `(B, latent_dim, H / 16, W / 16)`.

    Args:
        latent_dim: channels of the latent.
        widths: channels at 1/2, 1/4 and 1/8 resolution.
        depths: blocks at each.
        heads: of the attention at each; they divide the widths.
        window: side of a window, even.
    """

    def __init__(
        self,
        latent_dim: int,
        *,
        widths: Sequence[int] = (48, 96, 128),
        depths: Sequence[int] = (1, 2, 2),
        heads: Sequence[int] = (2, 4, 8),
        window: int = 8,
    ) -> None:
        super().__init__()
        groups = _groups(widths, depths, heads, window)
        self.stride, self.alignment, self.halo = STRIDE, _alignment(window), _halo(depths, window)
        self.linear = LinearAnalysis(latent_dim)
        fine, middle, coarse = widths
        self.network = nn.Sequential(
            halving(3, fine),
            groups[0],
            nn.Conv2d(fine, middle, 3, stride=2, padding=1),
            groups[1],
            nn.Conv2d(middle, coarse, 3, stride=2, padding=1),
            groups[2],
            nn.Conv2d(coarse, latent_dim, 3, stride=2, padding=1),
        )

    def start_from(self, basis: PatchBasis) -> None:
        """Set the linear path to the basis; the network adds nothing yet."""
        self.linear.start_from(basis)

    def forward(self, x: Tensor) -> Tensor:
        """Shapes as in the class text; sides must be multiples of 16."""
        return self.linear(x, self.network(4 * x - 2))


class SwinSynthesis(nn.Module):
    """Normalised latents `(B, latent_dim, h, w)` to pixels `(B, 3, 16 h, 16 w)`, about [0, 1], not clamped.

    The mirror of `SwinAnalysis`, its stages told the quality; the last stage rearranges channels to pixels.

    Args:
        latent_dim: channels of the latent.
        widths: channels at 1/2, 1/4 and 1/8 resolution.
        depths: blocks at each.
        heads: of the attention at each; they divide the widths.
        window: side of a window, even.
        knots: levels at which each stage has channel scales of its own.
    """

    def __init__(
        self,
        latent_dim: int,
        *,
        widths: Sequence[int] = (48, 96, 128),
        depths: Sequence[int] = (1, 2, 2),
        heads: Sequence[int] = (2, 4, 8),
        window: int = 8,
        knots: int = 8,
    ) -> None:
        super().__init__()
        groups = _groups(widths, depths, heads, window)
        self.stride, self.alignment, self.halo = STRIDE, _alignment(window), _halo(depths, window)
        self.linear = LinearSynthesis(latent_dim)
        fine, middle, coarse = widths
        last = nn.Conv2d(fine, 12, 3, padding=1)
        start_at_zero(last)
        stages = [
            nn.Sequential(_doubling(latent_dim, coarse), groups[2]),
            nn.Sequential(_doubling(coarse, middle), groups[1]),
            nn.Sequential(_doubling(middle, fine), groups[0]),
            nn.Sequential(last, nn.PixelShuffle(2)),
        ]
        self.network = LevelStages(zip((latent_dim, coarse, middle, fine), stages, strict=True), knots)

    def start_from(self, basis: PatchBasis) -> None:
        """Set the linear path to the transposed basis; the network adds nothing yet."""
        self.linear.start_from(basis)

    def forward(self, n: Tensor, levels: Tensor) -> Tensor:
        """Latents and levels `(B, 1, h, w)` in [0, 1] to pixels."""
        return self.linear(n, self.network(n, levels))


def _groups(widths: Sequence[int], depths: Sequence[int], heads: Sequence[int], window: int) -> list[SwinGroup]:
    """One for each resolution."""
    for name, values in (("widths", widths), ("depths", depths), ("heads", heads)):
        check_stages(name, values)
    sizes = zip(widths, depths, heads, strict=True)
    return [SwinGroup(width, depth=depth, heads=count, window=window) for width, depth, count in sizes]


def _doubling(before: int, after: int) -> nn.ConvTranspose2d:
    return nn.ConvTranspose2d(before, after, 3, stride=2, padding=1, output_padding=1)


def _alignment(window: int) -> int:
    """The latent positions after which the windows of all three resolutions and their shifts repeat."""
    coarse = 8 * window
    return coarse // math.gcd(coarse, STRIDE)


def _halo(depths: Sequence[int], window: int) -> int:
    """Latent positions that cover the reach in pixels, up to a multiple of the alignment.

    The first block reaches to the far end of a window, each further one half a window more.
    """
    groups = sum(
        scale * (window - 1 + (depth - 1) * window // 2) for scale, depth in zip((2, 4, 8), depths, strict=True)
    )
    convolutions = 2 + 2 + 4 + 8
    step = STRIDE * _alignment(window)
    return -(-(groups + convolutions) // step) * _alignment(window)
