"""Pyramid transform: work at 1/8 resolution, mended at 1/4 and 1/2, started at the principal components of 8x8 patches.

As in patch.py, step 0 is a sensible classical transform and everything learned is improvement. Latents are normalised: about
unit variance a channel, strongest channel first. Widths are in channels.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.nn.blocks import ConvBlock, start_at_zero
from codec.nn.patch import PatchBasis

STRIDE = 8
SIZE = 3 * STRIDE * STRIDE
LEAST_SPREAD = 0.5  # of a channel, in finest steps: weaker ones are not blown up to unit variance
GAIN = 4  # of linear weights over those of an orthonormal basis, whose entries are small beside a learning rate


def level_features(levels: Tensor, count: int) -> Tensor:
    """Hat functions of quality levels in [0, 1]: `(B, 1, h, w)` to `(B, count, h, w)`, which add up to 1."""
    knots = torch.arange(count, device=levels.device, dtype=levels.dtype)[:, None, None]
    return (1 - (levels * (count - 1) - knots).abs()).clamp_min(0)


def spread_of(basis: PatchBasis) -> Tensor:
    """What normalises each channel `(latent_dim,)`, in sample units."""
    return basis.deviations.clamp_min(LEAST_SPREAD * basis.step)


class PyramidAnalysis(nn.Module):
    """Pixels `(B, 3, H, W)` in [0, 1] to normalised latents `(B, latent_dim, H / 8, W / 8)`.

    Args:
        latent_dim: channels of the latent.
        width: channels of the network.
        depth: number of blocks.
        kernel: rows and columns that a block sees.
    """

    spread: Tensor  # (latent_dim, 1, 1): deviation of each channel before it is normalised, in sample units

    def __init__(self, latent_dim: int, *, width: int = 128, depth: int = 4, kernel: int = 3) -> None:
        super().__init__()
        self.stride, self.halo = STRIDE, depth * (kernel // 2)
        self.linear = nn.Conv2d(SIZE, latent_dim, 1)
        self.enter = nn.Conv2d(SIZE, width, 1)
        self.blocks = nn.Sequential(*(ConvBlock(width, kernel=kernel) for _ in range(depth)))
        self.leave = nn.Conv2d(width, latent_dim, 1)
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
        """Shapes as in the class text; sides must be multiples of 8."""
        patches = F.pixel_unshuffle(x, STRIDE)
        learned = self.leave(self.blocks(self.enter(4 * patches - 2)))
        with torch.autocast(x.device.type, enabled=False):  # a strong channel spans hundreds of steps
            return (self.linear(patches) / GAIN + learned.float() / 4) / self.spread


class PyramidSynthesis(nn.Module):
    """Normalised latents `(B, latent_dim, h, w)` to pixels `(B, 3, 8 h, 8 w)`, about [0, 1], not clamped.

    A linear map and a network at 1/8 resolution, told the quality at each position, make a picture; two small networks at 1/4 and
    1/2 resolution correct it.

    Args:
        latent_dim: channels of the latent.
        width: channels at 1/8 resolution.
        depth: blocks there.
        kernel: rows and columns that such a block sees.
        middle_width: channels at 1/4 resolution.
        middle_depth: blocks there.
        mend_width: channels at 1/2 resolution.
        knots: hat functions of the level that the network sees.
    """

    spread: Tensor  # (latent_dim, 1, 1), as in the analysis

    def __init__(
        self,
        latent_dim: int,
        *,
        width: int = 144,
        depth: int = 5,
        kernel: int = 3,
        middle_width: int = 48,
        middle_depth: int = 2,
        mend_width: int = 24,
        knots: int = 8,
    ) -> None:
        super().__init__()
        self.stride, self.knots = STRIDE, knots
        self.halo = depth * (kernel // 2) + -(-(4 * middle_depth + 4) // STRIDE)
        self.linear = nn.Conv2d(latent_dim, SIZE, 1)
        self.enter = nn.Conv2d(latent_dim, width, 1)
        self.level = nn.Conv2d(knots, width, 1, bias=False)
        self.blocks = nn.Sequential(*(ConvBlock(width, kernel=kernel) for _ in range(depth)))
        self.leave = nn.Conv2d(width, SIZE, 1)
        middle_end, mend_end = nn.Conv2d(middle_width, 48, 1), nn.Conv2d(mend_width, 12, 3, padding=1)
        self.middle = nn.Sequential(
            nn.Conv2d(48, middle_width, 1), *(ConvBlock(middle_width) for _ in range(middle_depth)), middle_end
        )
        self.mend = nn.Sequential(nn.Conv2d(12, mend_width, 3, padding=1), nn.GELU(), mend_end)
        self.register_buffer("spread", torch.ones(latent_dim, 1, 1))
        for layer in (self.leave, middle_end, mend_end):
            start_at_zero(layer)

    @torch.no_grad()
    def start_from(self, basis: PatchBasis) -> None:
        """Set the linear part to the transposed basis; the networks add nothing yet."""
        self.linear.weight.copy_(GAIN * basis.directions.T[..., None, None])
        self.linear.bias.copy_(basis.mean.repeat_interleave(STRIDE**2))  # type: ignore[union-attr]
        self.spread.copy_(spread_of(basis)[:, None, None])

    def forward(self, n: Tensor, levels: Tensor) -> Tensor:
        """Latents and levels `(B, 1, h, w)` in [0, 1] to pixels."""
        learned = self.leave(self.blocks(self.enter(n) + self.level(level_features(levels, self.knots))))
        with torch.autocast(n.device.type, enabled=False):
            patches = self.linear(n.float() * self.spread / GAIN) + learned.float() / 4
        return self.mended(F.pixel_shuffle(patches, STRIDE))

    def mended(self, pixels: Tensor) -> Tensor:
        """Pixels `(B, 3, H, W)` corrected at 1/4 and 1/2 resolution."""
        for network, factor in ((self.middle, 4), (self.mend, 2)):
            pixels = pixels + F.pixel_shuffle(network(2 * F.pixel_unshuffle(pixels, factor) - 1), factor) / 4
        return pixels
