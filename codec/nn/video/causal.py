"""Causal transforms of video at 1/8 resolution and a quarter of the frames, started at the principal components of blocks.

Every position sees itself, its neighbours, and the groups of frames before it, never later ones (Yu et al. 2023, MAGVIT-v2,
arXiv:2310.05737). Spatial mixing is depthwise convolution, mixing in time a weighted sum of the last groups of each channel, so
one group can be computed at a time from a state, and always is: codes do not depend on how many frames come at once.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.nn.blocks import ChannelNorm, start_at_zero
from codec.nn.video.block_basis import BlockBasis
from codec.nn.video.haar import SIDE, from_bands, to_bands

GROUP = 4  # frames of a position
SIZE = 3 * GROUP * SIDE * SIDE
TAPS = 3  # groups that a block sees: its own and those before it
State = list[Tensor]  # what each block saw last, `(B, TAPS - 1, C, h, w)`


class CausalBlock(nn.Module):
    """Residual block: depthwise convolution, a sum over the last groups, norm, pointwise to twice the width, GELU, back.

    Args:
        width: channels.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.spatial = nn.Conv2d(width, width, 3, padding=1, groups=width, padding_mode="replicate")
        self.taps = nn.Parameter(torch.zeros(TAPS, width))
        self.norm = ChannelNorm(width)
        self.expand = nn.Conv2d(width, 2 * width, 1)
        self.contract = nn.Conv2d(2 * width, width, 1)
        with torch.no_grad():
            self.taps[-1] = 1
        start_at_zero(self.contract)

    def forward(self, x: Tensor, before: Tensor | None) -> tuple[Tensor, Tensor]:
        """`(B, G, C, h, w)` after `before`, the last groups `(B, TAPS - 1, C, h, w)`; None repeats the first group."""
        if before is None:
            before = x[:, :1].expand(-1, TAPS - 1, -1, -1, -1)
        whole, count = torch.cat([before, x], 1), x.shape[1]
        taps = self.taps.to(x.dtype)[:, :, None, None]
        mixed = sum((whole[:, k : k + count] * taps[k] for k in range(TAPS)), torch.zeros((), dtype=x.dtype))
        flat = self.norm(self.spatial(mixed.flatten(0, 1)))
        return x + self.contract(F.gelu(self.expand(flat))).unflatten(0, x.shape[:2]), whole[:, count:]


class _Blocks(nn.Module):
    """Blocks one after another, each with its state."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(CausalBlock(width) for _ in range(depth))

    def forward(self, x: Tensor, state: State | None) -> tuple[Tensor, State]:
        """`(B, G, C, h, w)` to the same."""
        after = []
        for i, block in enumerate(self.blocks):
            x, last = block(x, None if state is None else state[i])
            after.append(last)
        return x, after


class CausalEncoder(nn.Module):
    """Groups of frames `(B, 3, 4 G, H, W)` in [0, 1] to latents `(B, latent_dim, G, H / 8, W / 8)`.

    Args:
        latent_dim: D.
        width: channels of the network.
        depth: number of blocks; a position sees so many others each way, and `2 depth` groups back.
    """

    def __init__(self, latent_dim: int, *, width: int = 192, depth: int = 4) -> None:
        super().__init__()
        self.stride, self.group = SIDE, GROUP
        self.linear = nn.Conv2d(SIZE, latent_dim, 1)
        self.enter = nn.Conv2d(SIZE, width, 1)
        self.blocks = _Blocks(width, depth)
        self.leave = nn.Conv2d(width, latent_dim, 1)
        start_at_zero(self.leave)

    @torch.no_grad()
    def start_from(self, basis: BlockBasis) -> None:
        """Set the linear part to the basis; the network adds nothing yet."""
        weight = basis.directions / basis.step
        self.linear.weight.copy_(weight[..., None, None])
        self.linear.bias.copy_(-(weight @ basis.mean))  # type: ignore[union-attr]

    def forward(self, frames: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Shapes as in the class text; what is seen of earlier groups is in the state, and comes back in the next."""
        bands = to_bands(frames, self.group)
        flat, shape = bands.flatten(0, 1), bands.shape[:2]
        entered = self.enter(4 * flat).unflatten(0, shape)
        mixed, after = self.blocks(entered, state)
        latents = self.linear(flat) + 4 * self.leave(mixed.flatten(0, 1))
        return latents.unflatten(0, shape).transpose(1, 2), after


class CausalDecoder(nn.Module):
    """Latents `(B, latent_dim, G, h, w)` to groups of frames `(B, 3, 4 G, 8 h, 8 w)`, about [0, 1], not clamped.

    The mirror of `CausalEncoder`, and a small network at half resolution that mends each frame by itself.

    Args:
        latent_dim: D.
        width: channels of the network.
        depth: number of its blocks.
        mend_width: channels at half resolution.
    """

    def __init__(self, latent_dim: int, *, width: int = 256, depth: int = 6, mend_width: int = 24) -> None:
        super().__init__()
        self.stride, self.group = SIDE, GROUP
        self.linear = nn.Conv2d(latent_dim, SIZE, 1)
        self.enter = nn.Conv2d(latent_dim, width, 1)
        self.blocks = _Blocks(width, depth)
        self.leave = nn.Conv2d(width, SIZE, 1)
        mended = nn.Conv2d(mend_width, 12, 3, padding=1)
        self.mend = nn.Sequential(nn.Conv2d(12, mend_width, 3, padding=1), nn.GELU(), mended)
        start_at_zero(self.leave)
        start_at_zero(mended)

    @torch.no_grad()
    def start_from(self, basis: BlockBasis) -> None:
        """Set the linear part to the transposed basis; the networks add nothing yet."""
        self.linear.weight.copy_((basis.directions.T * basis.step)[..., None, None])
        self.linear.bias.copy_(basis.mean)  # type: ignore[union-attr]
        self.enter.weight.mul_(0.25)

    def forward(self, latents: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Shapes as in the class text; the state as of the encoder."""
        flat, shape = latents.transpose(1, 2).flatten(0, 1), (latents.shape[0], latents.shape[2])
        mixed, after = self.blocks(self.enter(flat).unflatten(0, shape), state)
        bands = self.linear(flat) + 0.25 * self.leave(mixed.flatten(0, 1))
        frames = from_bands(bands.unflatten(0, shape), self.group)
        single = frames.transpose(1, 2).flatten(0, 1)
        halves = self.mend(2 * F.pixel_unshuffle(single, 2) - 1)
        mended = single + 0.25 * F.pixel_shuffle(halves, 2)
        return mended.unflatten(0, (len(latents), -1)).transpose(1, 2), after
