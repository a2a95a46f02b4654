"""Pyramid transform: work at 1/16 and 1/8 resolution, started at the principal components of 16x16 patches.

As in patch.py, step 0 is a sensible classical transform and everything learned is improvement. Latents are normalised: about
unit variance a channel, strongest channel first. Widths are in channels.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.nn.blocks import ConvBlock, start_at_zero
from codec.nn.patch import PatchBasis

STRIDE, FINE = 16, 8
SIZE = 3 * STRIDE * STRIDE
LEAST_SPREAD = 0.5  # of a channel, in finest steps: weaker ones are not blown up to unit variance
GAIN = 8  # of linear weights over those of an orthonormal basis, whose entries are small beside a learning rate


def level_features(levels: Tensor, count: int) -> Tensor:
    """Hat functions of quality levels in [0, 1]: `(B, 1, h, w)` to `(B, count, h, w)`, which add up to 1."""
    knots = torch.arange(count, device=levels.device, dtype=levels.dtype)[:, None, None]
    return (1 - (levels * (count - 1) - knots).abs()).clamp_min(0)


def spread_of(basis: PatchBasis) -> Tensor:
    """What normalises each channel `(latent_dim,)`, in sample units."""
    return basis.deviations.clamp_min(LEAST_SPREAD * basis.step)


class PyramidAnalysis(nn.Module):
    """Pixels `(B, 3, H, W)` in [0, 1] to normalised latents `(B, latent_dim, H / 16, W / 16)`.

    Args:
        latent_dim: channels of the latent.
        width: channels at 1/8 resolution.
        depth: blocks there.
        coarse_width: channels at 1/16 resolution.
        coarse_depth: blocks there.
    """

    spread: Tensor  # (latent_dim, 1, 1): deviation of each channel before it is normalised, in sample units

    def __init__(
        self, latent_dim: int, *, width: int = 96, depth: int = 3, coarse_width: int = 192, coarse_depth: int = 4
    ) -> None:
        super().__init__()
        self.stride, self.halo = STRIDE, coarse_depth + -(-depth // 2)
        self.linear = nn.Conv2d(SIZE, latent_dim, 1)
        self.enter = nn.Conv2d(3 * FINE**2, width, 1)
        self.fine = nn.Sequential(*(ConvBlock(width) for _ in range(depth)))
        self.fold = nn.Conv2d(4 * width, coarse_width, 1)
        self.coarse = nn.Sequential(*(ConvBlock(coarse_width) for _ in range(coarse_depth)))
        self.leave = nn.Conv2d(coarse_width, latent_dim, 1)
        self.register_buffer("spread", torch.ones(latent_dim, 1, 1))
        start_at_zero(self.leave)

    @torch.no_grad()
    def start_from(self, basis: PatchBasis) -> None:
        """Set the linear part to the basis; the network adds nothing yet."""
        weight = GAIN * basis.directions
        self.linear.weight.copy_(weight[..., None, None])
        self.linear.bias.copy_(-(weight @ basis.mean.repeat_interleave(STRIDE**2)))  # type: ignore[union-attr]
        self.spread.copy_(spread_of(basis)[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        """Shapes as in the class text; sides must be multiples of 16."""
        fine = self.fine(self.enter(4 * F.pixel_unshuffle(x, FINE) - 2))
        learned = self.leave(self.coarse(self.fold(F.pixel_unshuffle(fine, STRIDE // FINE))))
        with torch.autocast(x.device.type, enabled=False):  # a strong channel spans hundreds of steps
            return (self.linear(F.pixel_unshuffle(x, STRIDE)) / GAIN + learned.float() / 4) / self.spread


class PyramidSynthesis(nn.Module):
    """Normalised latents `(B, latent_dim, h, w)` to pixels `(B, 3, 16 h, 16 w)`, about [0, 1], not clamped.

    The mirror of `PyramidAnalysis`, told the quality at each position, and a small network at half resolution that mends seams.

    Args:
        latent_dim: channels of the latent.
        width: channels at 1/8 resolution.
        depth: blocks there.
        coarse_width: channels at 1/16 resolution.
        coarse_depth: blocks there.
        mend_width: channels at half resolution.
        knots: hat functions of the level that the network sees.
    """

    spread: Tensor  # (latent_dim, 1, 1), as in the analysis

    def __init__(
        self,
        latent_dim: int,
        *,
        width: int = 96,
        depth: int = 4,
        coarse_width: int = 256,
        coarse_depth: int = 6,
        mend_width: int = 24,
        knots: int = 8,
    ) -> None:
        super().__init__()
        self.stride, self.halo, self.knots = STRIDE, coarse_depth + -(-depth // 2) + 1, knots
        self.linear = nn.Conv2d(latent_dim, SIZE, 1)
        self.enter = nn.Conv2d(latent_dim, coarse_width, 1)
        self.level = nn.Conv2d(knots, coarse_width, 1, bias=False)
        self.coarse = nn.Sequential(*(ConvBlock(coarse_width) for _ in range(coarse_depth)))
        self.unfold = nn.Conv2d(coarse_width, 4 * width, 1)
        self.fine = nn.Sequential(*(ConvBlock(width) for _ in range(depth)))
        self.leave = nn.Conv2d(width, 3 * FINE**2, 1)
        mended = nn.Conv2d(mend_width, 12, 3, padding=1)
        self.mend = nn.Sequential(nn.Conv2d(12, mend_width, 3, padding=1), nn.GELU(), mended)
        self.register_buffer("spread", torch.ones(latent_dim, 1, 1))
        start_at_zero(self.leave)
        start_at_zero(mended)

    @torch.no_grad()
    def start_from(self, basis: PatchBasis) -> None:
        """Set the linear part to the transposed basis; the networks add nothing yet."""
        self.linear.weight.copy_(GAIN * basis.directions.T[..., None, None])
        self.linear.bias.copy_(basis.mean.repeat_interleave(STRIDE**2))  # type: ignore[union-attr]
        self.spread.copy_(spread_of(basis)[:, None, None])

    def forward(self, n: Tensor, levels: Tensor) -> Tensor:
        """Latents and levels `(B, 1, h, w)` in [0, 1] to pixels."""
        coarse = self.coarse(self.enter(n) + self.level(level_features(levels, self.knots)))
        fine = self.fine(F.pixel_shuffle(self.unfold(coarse), STRIDE // FINE))
        learned = F.pixel_shuffle(self.leave(fine), FINE)
        with torch.autocast(n.device.type, enabled=False):
            pixels = F.pixel_shuffle(self.linear(n.float() * self.spread / GAIN), STRIDE) + learned.float() / 4
        mended = self.mend(F.pixel_unshuffle(2 * pixels - 1, 2))
        return pixels + F.pixel_shuffle(mended, 2) / 4
