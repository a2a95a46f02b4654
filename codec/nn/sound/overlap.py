"""Frames of two hops that overlap by one, and back by adding what overlaps."""

import math

import torch
from torch import Tensor
from torch.nn import functional as F


def check_whole_frames(x: Tensor, hop: int) -> None:
    """Samples `(B, 1, T * hop)` are mono and come in whole frames."""
    if x.ndim != 3 or x.shape[1] != 1 or x.shape[2] % hop:
        raise ValueError(f"expected samples (B, 1, a multiple of {hop}), got {tuple(x.shape)}: use pad_to_frames")


def pad_to_frames(x: Tensor, hop: int) -> Tensor:
    """`(..., N)` samples with zeros after them, to a whole number of frames."""
    return F.pad(x, (0, -x.shape[-1] % hop))


def sine_window(hop: int) -> Tensor:
    """Half a period of a sine: `(2 * hop,)`; its squares one hop apart add up to 1 (Princen, Bradley 1986)."""
    return (math.pi / (2 * hop) * (torch.arange(2 * hop, dtype=torch.float64) + 0.5)).sin().float()


def lapped_frames(x: Tensor, hop: int) -> Tensor:
    """`(B, 1, T * hop)` samples to `(B, T, 2 * hop)`: for each frame the hop before and its own, zeros before the first."""
    check_whole_frames(x, hop)
    own = x.reshape(len(x), -1, hop)
    return torch.cat([F.pad(own, (0, 0, 1, 0))[:, :-1], own], -1)


def overlap_add(frames: Tensor) -> Tensor:
    """`(B, T, 2 * hop)` to `(B, 1, T * hop)`: a hop is the second half of its frame plus the first of the next, if any."""
    before, own = frames.chunk(2, -1)
    return (own + F.pad(before[:, 1:], (0, 0, 0, 1))).flatten(1)[:, None]


def cosine_directions(hop: int) -> Tensor:
    """The MDCT of a windowed frame: `(hop, 2 * hop)`, low frequencies first.

    Between sine windows the transposed matrix is its inverse in the sense of overlap-add (Princen, Johnson, Bradley 1987): each
    frame alone is aliased in time, the sum is not. Directions have length √2, as a window takes half of the energy.
    """
    time = torch.arange(2 * hop, dtype=torch.float64) + (hop + 1) / 2
    frequency = torch.arange(hop, dtype=torch.float64) + 0.5
    return (math.sqrt(2 / hop) * (math.pi / hop * torch.outer(frequency, time)).cos()).float()


def fourier_directions(size: int) -> Tensor:
    """The real Fourier transform of `size` samples, an even number, as an orthonormal matrix `(size, size)`.

    Rows: real parts of the frequencies 0 … size / 2, then imaginary parts of 1 … size / 2 - 1, those of the ends being zero.
    """
    time, frequency = (torch.arange(count, dtype=torch.float64) for count in (size, size // 2 + 1))
    angles = 2 * math.pi / size * torch.outer(frequency, time)
    lengths = torch.full((size // 2 + 1, 1), math.sqrt(2 / size), dtype=torch.float64)
    lengths[[0, -1]] = math.sqrt(1 / size)
    return torch.cat([lengths * angles.cos(), -(lengths * angles.sin())[1:-1]]).float()
