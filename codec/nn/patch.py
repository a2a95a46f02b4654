"""Patch transform: all work at 1/8 resolution, started at the principal components of patches.

A linear map of each patch (PCA at the start) plus a convolutional network whose last layer starts at zero: step 0 is a
sensible classical transform and everything learned is improvement. Widths are in channels, positions are patches.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.nn.blocks import ConvBlock, start_at_zero


@dataclass(frozen=True)
class PatchBasis:
    """Orthonormal directions of patch space, strongest first.

    Attributes:
        directions: `(latent_dim, 3 * patch * patch)`; patch elements in `pixel_unshuffle` order (colour, row, column).
        mean: `(3,)` mean colour, samples in [0, 1].
        step: one unit of the latent, in sample units.
        deviations: `(latent_dim,)` of the patches along each direction, in sample units.
    """

    directions: Tensor
    mean: Tensor
    step: float
    deviations: Tensor


@torch.no_grad()
def principal_basis(images: Iterable[Tensor], latent_dim: int, patch: int, step: float) -> PatchBasis:
    """PCA of patches; `images` yields `(B, 3, H, W)` in [0, 1] with sides that the patch divides."""
    size = 3 * patch * patch
    count, total, moments = 0, torch.zeros(size, dtype=torch.float64), torch.zeros(size, size, dtype=torch.float64)
    for batch in images:
        rows = F.pixel_unshuffle(batch.double(), patch).permute(0, 2, 3, 1).reshape(-1, size)
        count, total, moments = count + len(rows), total + rows.sum(0), moments + rows.T @ rows
    mean = (total / count).reshape(3, -1).mean(1)
    centre = mean.repeat_interleave(patch * patch)
    outer = torch.outer(centre, total) / count
    covariance = moments / count - outer - outer.T + torch.outer(centre, centre)
    variances, vectors = torch.linalg.eigh(covariance)
    directions, deviations = vectors.T.flip(0)[:latent_dim], variances.flip(0)[:latent_dim].clamp_min(0).sqrt()
    return PatchBasis(directions.float(), mean.float(), step, deviations.float())


class PatchEncoder(nn.Module):
    """Pixels `(B, 3, H, W)` in [0, 1] to latents `(B, latent_dim, H / patch, W / patch)`.

    Args:
        latent_dim: D.
        patch: side of a patch in pixels, the stride.
        width: channels of the network.
        depth: number of blocks; the receptive field reaches `depth` patches each way.
    """

    def __init__(self, latent_dim: int, *, patch: int = 8, width: int = 128, depth: int = 4) -> None:
        super().__init__()
        self.stride, self.halo = patch, depth
        size = 3 * patch * patch
        self.linear = nn.Conv2d(size, latent_dim, 1)
        self.enter = nn.Conv2d(size, width, 1)
        self.blocks = nn.Sequential(*(ConvBlock(width) for _ in range(depth)))
        self.leave = nn.Conv2d(width, latent_dim, 1)
        start_at_zero(self.leave)

    @torch.no_grad()
    def start_from(self, basis: PatchBasis) -> None:
        """Set the linear part to the basis; the network adds nothing yet."""
        weight = basis.directions / basis.step
        centre = basis.mean.repeat_interleave(self.stride**2)
        self.linear.weight.copy_(weight[..., None, None])
        self.linear.bias.copy_(-(weight @ centre))  # type: ignore[union-attr]

    def forward(self, x: Tensor) -> Tensor:
        """Shapes as in the class text; sides must be multiples of the patch."""
        patches = F.pixel_unshuffle(x, self.stride)
        return self.linear(patches) + 4 * self.leave(self.blocks(self.enter(4 * patches - 2)))


class PatchDecoder(nn.Module):
    """Latents `(B, latent_dim, h, w)` to pixels `(B, 3, h * patch, w * patch)`, about [0, 1], not clamped.

    The mirror of `PatchEncoder`, and a small convolutional network at half resolution that mends seams between patches.

    Args:
        latent_dim: D.
        patch: side of a patch in pixels, even.
        width: channels of the network at patch resolution.
        depth: number of its blocks.
        mend_width: channels at half resolution.
    """

    def __init__(
        self, latent_dim: int, *, patch: int = 8, width: int = 192, depth: int = 6, mend_width: int = 32
    ) -> None:
        super().__init__()
        self.stride, self.halo = patch, depth + 1  # three 3x3 convolutions at half resolution reach 6 pixels
        size = 3 * patch * patch
        self.linear = nn.Conv2d(latent_dim, size, 1)
        self.enter = nn.Conv2d(latent_dim, width, 1)
        self.blocks = nn.Sequential(*(ConvBlock(width) for _ in range(depth)))
        self.leave = nn.Conv2d(width, size, 1)
        mended = nn.Conv2d(mend_width, 12, 3, padding=1)
        self.mend = nn.Sequential(
            nn.Conv2d(12, mend_width, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(mend_width, mend_width, 3, padding=1),
            nn.GELU(),
            mended,
        )
        start_at_zero(self.leave)
        start_at_zero(mended)

    @torch.no_grad()
    def start_from(self, basis: PatchBasis) -> None:
        """Set the linear part to the transposed basis; the networks add nothing yet."""
        self.linear.weight.copy_((basis.directions.T * basis.step)[..., None, None])
        self.linear.bias.copy_(basis.mean.repeat_interleave(self.stride**2))  # type: ignore[union-attr]
        self.enter.weight.mul_(0.25)

    def forward(self, q: Tensor) -> Tensor:
        """Shapes as in the class text."""
        patches = self.linear(q) + 0.25 * self.leave(self.blocks(self.enter(q)))
        pixels = F.pixel_shuffle(patches, self.stride)
        halves = F.pixel_unshuffle(pixels, 2)
        return pixels + 0.25 * F.pixel_shuffle(self.mend(2 * halves - 1), 2)
