"""Residual transform: convolutions of stride 2 with bottleneck residual blocks between them and convolutional attention.

He et al. 2022, "ELIC", arXiv:2203.10886, section 3; the attention block is Cheng et al. 2020, arXiv:2001.01568, after
Chen et al. 2019, arXiv:1910.06244, without its non-local part. Ours: the linear path of `linear.py` from which training
starts, and a synthesis that is told the quality. Widths are in channels.

    resolution   1      1/2         1/4                     1/8         1/16
    analysis     pixels ─► blocks ─► blocks ─► attention ─► blocks ─► attention ─► latents
"""

from collections.abc import Sequence

from torch import Tensor, nn

from codec.nn.classic import STRIDE, doubling, halving
from codec.nn.levels import LevelStages
from codec.nn.linear import LinearAnalysis, LinearSynthesis
from codec.nn.patch import PatchBasis

STAGES = 3  # below the picture and above the latent
_ATTENTION_DEPTH = 3


class BottleneckBlock(nn.Module):
    """Residual block: pointwise to half the width, 3x3, pointwise back. Receptive field: one position each way.

    Args:
        width: channels of both sides.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        half = max(1, width // 2)
        self.layers = nn.Sequential(
            nn.Conv2d(width, half, 1),
            nn.ReLU(),
            nn.Conv2d(half, half, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(half, width, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """`(B, width, H, W)` to the same."""
        return x + self.layers(x)


class GatedAttention(nn.Module):
    """Attention by convolutions alone: a residual branch times a mask in (0, 1) from a branch beside it.

    Args:
        width: channels of both sides.
        depth: units in each branch; the receptive field reaches `depth` positions each way.
    """

    def __init__(self, width: int, depth: int = _ATTENTION_DEPTH) -> None:
        super().__init__()
        self.branch = nn.Sequential(*units(width, depth))
        self.mask = nn.Sequential(*units(width, depth), nn.Conv2d(width, width, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """`(B, width, H, W)` to the same."""
        return x + self.branch(x) * self.mask(x)


def blocks(width: int, depth: int) -> list[BottleneckBlock]:
    """One after another."""
    return [BottleneckBlock(width) for _ in range(depth)]


def units(width: int, depth: int) -> list[nn.Module]:
    """Bottleneck blocks, each with a rectifier after its sum."""
    return [layer for _ in range(depth) for layer in (BottleneckBlock(width), nn.ReLU())]


class ResidualAnalysis(nn.Module):
    """Pixels `(B, 3, H, W)` in [0, 1] to normalised latents `(B, latent_dim, H / 16, W / 16)`.

    Args:
        latent_dim: channels of the latent.
        widths: channels at 1/2, 1/4 and 1/8 resolution.
        depth: blocks at each.
    """

    def __init__(self, latent_dim: int, *, widths: Sequence[int] = (96, 96, 96), depth: int = 3) -> None:
        super().__init__()
        check_stages("widths", widths)
        self.stride, self.halo = STRIDE, _halo(depth)
        self.linear = LinearAnalysis(latent_dim)
        fine, middle, coarse = widths
        self.network = nn.Sequential(
            halving(3, fine),
            *blocks(fine, depth),
            halving(fine, middle),
            *blocks(middle, depth),
            GatedAttention(middle),
            halving(middle, coarse),
            *blocks(coarse, depth),
            halving(coarse, latent_dim),
            GatedAttention(latent_dim),
        )

    def start_from(self, basis: PatchBasis) -> None:
        """Set the linear path to the basis; the network adds nothing yet."""
        self.linear.start_from(basis)

    def forward(self, x: Tensor) -> Tensor:
        """Shapes as in the class text; sides must be multiples of 16."""
        return self.linear(x, self.network(4 * x - 2))


class ResidualSynthesis(nn.Module):
    """Normalised latents `(B, latent_dim, h, w)` to pixels `(B, 3, 16 h, 16 w)`, about [0, 1], not clamped.

    The mirror of `ResidualAnalysis`, its stages told the quality.

    Args:
        latent_dim: channels of the latent.
        widths: channels at 1/2, 1/4 and 1/8 resolution.
        depth: blocks at each.
        knots: levels at which each stage has channel scales of its own.
    """

    def __init__(
        self, latent_dim: int, *, widths: Sequence[int] = (96, 96, 96), depth: int = 3, knots: int = 8
    ) -> None:
        super().__init__()
        check_stages("widths", widths)
        self.stride, self.halo = STRIDE, _halo(depth)
        self.linear = LinearSynthesis(latent_dim)
        fine, middle, coarse = widths
        stages = [
            nn.Sequential(GatedAttention(latent_dim), doubling(latent_dim, coarse), *blocks(coarse, depth)),
            nn.Sequential(doubling(coarse, middle), GatedAttention(middle), *blocks(middle, depth)),
            nn.Sequential(doubling(middle, fine), *blocks(fine, depth)),
            silent_doubling(fine),
        ]
        self.network = LevelStages(zip((latent_dim, coarse, middle, fine), stages, strict=True), knots)

    def start_from(self, basis: PatchBasis) -> None:
        """Set the linear path to the transposed basis; the network adds nothing yet."""
        self.linear.start_from(basis)

    def forward(self, n: Tensor, levels: Tensor) -> Tensor:
        """Latents and levels `(B, 1, h, w)` in [0, 1] to pixels."""
        return self.linear(n, self.network(n, levels))


def silent_doubling(width: int) -> nn.ConvTranspose2d:
    """The last layer of a network: `width` channels to a picture, black at first."""
    layer = doubling(width, 3)
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


def check_stages(name: str, values: Sequence[int]) -> None:
    """One value for each resolution."""
    if len(values) != STAGES:
        raise ValueError(f"{name} must name {STAGES} numbers, for 1/2, 1/4 and 1/8 resolution, got {list(values)}")


def _halo(depth: int) -> int:
    """Latent positions that cover the reach in pixels: of the 5x5 convolutions, the blocks, the attentions at 1/4 and 1/16."""
    convolutions, blocks, attentions = 2 * (1 + 2 + 4 + 8), depth * (2 + 4 + 8), _ATTENTION_DEPTH * (4 + 16)
    return -(-(convolutions + blocks + attentions) // STRIDE)
