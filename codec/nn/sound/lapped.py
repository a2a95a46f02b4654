"""Lapped transform: a linear map of overlapping frames, started at a classical transform, and a network that shapes its channels.

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
GAINS = -4.0, 1.5  # logarithms of the least and the most by which a channel is multiplied
ADDED = 0.3  # of the level of a frame: a unit of what is added
FAINT = 0.03  # of the level of a frame: magnitudes below it are much the same to the network
SILENCE = 1e-3  # level of a frame, usual ones having 1, below which loudness no longer counts


class Shaping(nn.Module):
    """A gain for each channel of a frame, as in the enhancement of noisy speech, and something to add, from all frames so far.

    Gains depend on magnitudes more than on signs, hence the logarithms among the inputs. At first all gains are 1 and nothing is added.

    Args:
        channels: C, what gets gains.
        seen: S, what the network looks at beside the magnitudes of the channels.
        added: A, what it adds.
        width: channels of the blocks.
        depth: number of blocks.
        kernel: frames that a block sees.
        expansion: times as many channels inside a block.
    """

    def __init__(
        self, channels: int, seen: int, added: int, *, width: int, depth: int, kernel: int = 5, expansion: int = 2
    ) -> None:
        super().__init__()
        self.enter = nn.Linear(channels + seen + 1, width)
        self.blocks = nn.Sequential(*frame_blocks(width, depth, kernel=kernel, expansion=expansion))
        self.leave = nn.Linear(width, channels + added)
        for parameter in self.leave.parameters():
            nn.init.zeros_(parameter)
        self.channels, self.past = channels, frames_back(self.blocks) + 1  # the rise of the level

    def forward(self, rows: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """`(B, T, C)` and `(B, T, S)` to the first times its gains, and what is to be added `(B, T, A)`, in float32."""
        units, level = unit_level(seen)
        magnitudes = ((rows / level).abs() + FAINT).log() / 2
        hidden = self.blocks(self.enter(torch.cat([magnitudes, units], -1)).transpose(1, 2)).transpose(1, 2)
        learned = self.leave(hidden).to(rows.dtype)
        gains, added = learned[..., : self.channels], learned[..., self.channels :]
        return rows * gains.clamp(*GAINS).exp(), ADDED * level * added


class LappedEncoder(nn.Module):
    """Samples `(B, 1, T * hop)` to frames `(B, latent_dim, T)`, of mean square about 1 once started; causal.

    Args:
        latent_dim: D.
        hop: samples a frame; each sees its own and those of the frame before.
        width: channels of the blocks.
        depth: number of blocks.
        blocks: what else `Shaping` takes.
    """

    window: Tensor  # (2 * hop,)
    level: Tensor  # () root mean square of windowed samples

    def __init__(self, latent_dim: int, *, hop: int = 320, width: int = 192, depth: int = 4, **blocks: int) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * hop, latent_dim, bias=False)
        self.shaping = Shaping(latent_dim, 2 * hop, latent_dim, width=width, depth=depth, **blocks)
        self.register_buffer("window", sine_window(hop), persistent=False)
        self.register_buffer("level", torch.ones(()))
        self.hop, self.past, self.future = hop, self.shaping.past + 1, 0

    @torch.no_grad()
    def start_from(self, basis: LappedBasis) -> None:
        """Set the linear map to the basis."""
        _start(self.linear, basis.level / basis.step * basis.directions)
        self.level.fill_(basis.level)

    def forward(self, x: Tensor) -> Tensor:
        """Shapes as in the class text."""
        frames = lapped_frames(x.to(self.window.dtype), self.hop) * self.window / self.level
        shaped, added = self.shaping(_precise(self.linear, frames), frames)
        return (shaped + added).transpose(1, 2)


class LappedDecoder(nn.Module):
    """Frames `(B, latent_dim, T)` to samples `(B, 1, T * hop)`, about [-1, 1], not clamped: the mirror of `LappedEncoder`.

    Future 1: samples of a frame are whole once the next, which begins with them, is added.

    Args:
        latent_dim: D.
        hop: samples a frame.
        width: channels of the blocks.
        depth: number of blocks.
        blocks: what else `Shaping` takes.
    """

    window: Tensor  # (2 * hop,)
    level: Tensor  # () root mean square of windowed samples

    def __init__(self, latent_dim: int, *, hop: int = 320, width: int = 320, depth: int = 5, **blocks: int) -> None:
        super().__init__()
        self.shaping = Shaping(latent_dim, latent_dim, 2 * hop, width=width, depth=depth, **blocks)
        self.linear = nn.Linear(latent_dim, 2 * hop, bias=False)
        self.register_buffer("window", sine_window(hop), persistent=False)
        self.register_buffer("level", torch.ones(()))
        self.hop, self.past, self.future = hop, self.shaping.past, 1

    @torch.no_grad()
    def start_from(self, basis: LappedBasis) -> None:
        """Set the linear map to the transposed basis."""
        _start(self.linear, basis.step / basis.level * basis.directions.T)
        self.level.fill_(basis.level)

    def forward(self, q: Tensor) -> Tensor:
        """Shapes as in the class text."""
        rows = q.transpose(1, 2).to(self.window.dtype)
        shaped, added = self.shaping(rows, rows)
        return overlap_add((_precise(self.linear, shaped) + added) * self.level * self.window)


def unit_level(frames: Tensor) -> tuple[Tensor, Tensor]:
    """Frames `(B, T, C)` at unit level, each with its rise over the one before in nepers, `(B, T, C + 1)`; and levels `(B, T, 1)`.

    A level is the root mean square, together with `SILENCE`, which is that of all frames before the first.
    """
    level = (frames.square().mean(-1, keepdim=True) + SILENCE**2).sqrt()
    rise = (level / F.pad(level, (0, 0, 1, 0), value=SILENCE)[:, :-1]).log()
    return torch.cat([frames / level, rise], -1), level


def _precise(linear: nn.Linear, frames: Tensor) -> Tensor:
    """The linear map without autocast: a strong channel spans hundreds of steps."""
    with torch.autocast(frames.device.type, enabled=False):
        mapped: Tensor = linear(frames) / GAIN
        return mapped


def _start(linear: nn.Linear, matrix: Tensor) -> None:
    """Set a linear map."""
    expected = linear.weight.shape
    if matrix.shape != expected:
        raise ValueError(
            f"the map of the basis has shape {tuple(matrix.shape)}, expected {tuple(expected)}:"
            " latent_dim directions of 2 * hop samples"
        )
    linear.weight.copy_(GAIN * matrix)
