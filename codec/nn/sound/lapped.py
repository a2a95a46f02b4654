"""Lapped transform: a linear map of overlapping frames, started at a classical transform, plus blocks that start at zero.

The counterpart of `codec.nn.patch` for sound (Malvar 1990 for the transform): step 0 is a sensible classical codec and everything
learned is improvement. All work is at the rate of frames. Before training, with as many channels as samples a hop and the MDCT as
basis, the decoder gives back what the encoder was given. What is learned sees each frame at unit level, and is brought back to the
frame's level: so a sound twice as loud comes out twice as loud.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.nn.sound.basis import LappedBasis
from codec.nn.sound.causal import frames_back
from codec.nn.sound.frame_blocks import frame_blocks
from codec.nn.sound.overlap import lapped_frames, overlap_add, sine_window

GAIN = 8  # of the weights over those of a basis, whose entries are small beside a learning rate
SILENCE = 1e-3  # level of a frame, usual ones having 1, below which loudness no longer counts


class Lapped(nn.Module):
    """What encoder and decoder are made of: a linear map of windowed frames, and a network beside it that adds nothing at first.

    Args:
        sizes: channels in and out.
        hop: samples a frame; each sees its own and those of the frame before.
        width: channels of the blocks.
        depth: number of blocks.
        kernel: frames that a block sees.
        expansion: times as many channels inside a block.
    """

    window: Tensor  # (2 * hop,)
    level: Tensor  # () root mean square of windowed samples

    def __init__(
        self, sizes: tuple[int, int], *, hop: int, width: int, depth: int, kernel: int = 5, expansion: int = 2
    ) -> None:
        super().__init__()
        channels, outputs = sizes
        self.linear = nn.Linear(channels, outputs, bias=False)
        self.enter = nn.Linear(channels + 1, width)
        self.blocks = nn.Sequential(*frame_blocks(width, depth, kernel=kernel, expansion=expansion))
        self.leave = nn.Linear(width, outputs)
        for parameter in self.leave.parameters():
            nn.init.zeros_(parameter)
        self.register_buffer("window", sine_window(hop), persistent=False)
        self.register_buffer("level", torch.ones(()))
        self.hop = hop

    def mapped(self, frames: Tensor) -> Tensor:
        """`(B, T, channels)` to `(B, T, outputs)`: the linear map, and what the network adds at the level of each frame."""
        units, level = unit_level(frames)
        learned = self.leave(self.blocks(self.enter(units).transpose(1, 2)).transpose(1, 2))
        with torch.autocast(frames.device.type, enabled=False):  # a strong channel spans hundreds of steps
            return self.linear(frames) / GAIN + level * learned.to(frames.dtype)

    def _start(self, matrix: Tensor, basis: LappedBasis) -> None:
        """Set the linear map; the network adds nothing yet."""
        expected = self.linear.weight.shape
        if matrix.shape != expected:
            raise ValueError(
                f"the map of the basis has shape {tuple(matrix.shape)}, expected {tuple(expected)}:"
                " latent_dim directions of 2 * hop samples"
            )
        self.linear.weight.copy_(GAIN * matrix)
        self.level.fill_(basis.level)


class LappedEncoder(Lapped):
    """Samples `(B, 1, T * hop)` to frames `(B, latent_dim, T)`, of mean square about 1 once started; causal.

    Args:
        latent_dim: D.
        hop, width, depth, blocks: as of `Lapped`.
    """

    def __init__(self, latent_dim: int, *, hop: int = 320, width: int = 256, depth: int = 4, **blocks: int) -> None:
        super().__init__((2 * hop, latent_dim), hop=hop, width=width, depth=depth, **blocks)
        self.past, self.future = frames_back(self.blocks) + 2, 0

    @torch.no_grad()
    def start_from(self, basis: LappedBasis) -> None:
        """Set the linear map to the basis; the network adds nothing yet."""
        self._start(basis.level / basis.step * basis.directions, basis)

    def forward(self, x: Tensor) -> Tensor:
        """Shapes as in the class text."""
        frames = lapped_frames(x.to(self.window.dtype), self.hop) * self.window / self.level
        return self.mapped(frames).transpose(1, 2)


class LappedDecoder(Lapped):
    """Frames `(B, latent_dim, T)` to samples `(B, 1, T * hop)`, about [-1, 1], not clamped: the mirror of `LappedEncoder`.

    Future 1: samples of a frame are whole once the next, which begins with them, is added.

    Args:
        latent_dim: D.
        hop, width, depth, blocks: as of `Lapped`.
    """

    def __init__(self, latent_dim: int, *, hop: int = 320, width: int = 384, depth: int = 6, **blocks: int) -> None:
        super().__init__((latent_dim, 2 * hop), hop=hop, width=width, depth=depth, **blocks)
        self.past, self.future = frames_back(self.blocks) + 1, 1

    @torch.no_grad()
    def start_from(self, basis: LappedBasis) -> None:
        """Set the linear map to the transposed basis; the network adds nothing yet."""
        self._start(basis.step / basis.level * basis.directions.T, basis)

    def forward(self, q: Tensor) -> Tensor:
        """Shapes as in the class text."""
        frames = self.mapped(q.transpose(1, 2).to(self.window.dtype))
        return overlap_add(frames * self.level * self.window)


def unit_level(frames: Tensor) -> tuple[Tensor, Tensor]:
    """Frames `(B, T, C)` at unit level, each with its rise over the one before in nepers, `(B, T, C + 1)`; and levels `(B, T, 1)`.

    A level is the root mean square, together with `SILENCE`, which is that of all frames before the first.
    """
    level = (frames.square().mean(-1, keepdim=True) + SILENCE**2).sqrt()
    rise = (level / F.pad(level, (0, 0, 1, 0), value=SILENCE)[:, :-1]).log()
    return torch.cat([frames / level, rise], -1), level
