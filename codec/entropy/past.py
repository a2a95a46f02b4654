"""What the prior of a frame of video sees of the frames before it: integers that every decoder has, never pixels.

Li, Li, Lu 2021, "Deep contextual video compression" (arXiv:2109.15047) give the prior features of the last picture; pixels differ
between machines by rounding errors, so here it is given the last latents, how large latents were of late, and the vectors.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from codec.entropy.exact import IntegerNetwork
from codec.entropy.layers import leaky_sequential
from codec.entropy.tables import LOGIT_BITS

Integers = NDArray[np.int64]
Shape = tuple[int, int, int]
BESIDE = 3  # planes that are no latents: the vector, down and right, and whether anything was before


def past_channels(channels: int) -> int:
    """How many planes describe the past of a latent."""
    return 2 * channels + BESIDE


class PastPath(nn.Module):
    """Planes of the past to features that the passes of a prior see, in floats and in integers.

    Args:
        channels: of the latent.
        width: hidden channels.
        features: how many.
    """

    def __init__(self, channels: int, *, width: int = 40, features: int = 32) -> None:
        super().__init__()
        self.channels, self.features = past_channels(channels), features
        self.network = leaky_sequential(
            nn.Conv2d(self.channels, width, 1),
            nn.Conv2d(width, width, 3, padding=1),
            nn.Conv2d(width, features, 1),
        )
        self.twin = IntegerNetwork(self.network, input_bits=LOGIT_BITS, output_bits=LOGIT_BITS)

    def forward(self, past: Tensor | None, shape: Shape, device: torch.device) -> Tensor:
        """Floats `(B, P, h, w)`, zeros where there are none, to features `(B, features, h, w)`."""
        if past is None:
            past = torch.zeros(shape[0], self.channels, *shape[1:], device=device)
        found: Tensor = self.network(past)
        return found

    def exact(self, past: Integers | None, shape: Shape) -> NDArray[np.float64]:
        """The same from integers in 1/256 to integer-valued float64 in 1/256."""
        return self.twin.run(torch.from_numpy(self._given(past, shape)).double()).contiguous().numpy()

    def freeze(self, past: Integers | None, shape: Shape) -> NDArray[np.float64]:
        """Make the integer network, calibrated on `past`; its features of that."""
        device = next(self.network.parameters()).device
        self.twin.convert(self.network, torch.from_numpy(self._given(past, shape)).to(device))
        return self.exact(past, shape)

    def thaw(self) -> None:
        """Make the float network from the integers."""
        self.twin.restore(self.network)

    def _given(self, past: Integers | None, shape: Shape) -> Integers:
        expected = (shape[0], self.channels, *shape[1:])
        if past is not None and past.shape != expected:
            raise ValueError(f"the past has the shape {past.shape}, expected {expected}")
        return np.zeros(expected, np.int64) if past is None else past


@dataclass(frozen=True)
class Past:
    """What is known of earlier frames, int64 `(channels, h, w)` in 1/256; the same in training as floats with a batch axis.

    Attributes:
        latents: the last ones, normalised.
        sizes: how large latents were of late; each frame before counts half as much.
    """

    latents: Integers
    sizes: Integers

    def then(self, latents: Integers) -> "Past":
        """After one frame more."""
        return Past(latents, (self.sizes + np.abs(latents)) // 2)

    def planes(self, motion: Integers, unit: int) -> Integers:
        """The planes `(P, h, w)` of a frame whose vectors are known.

        Args:
            motion: int64 `(2, h, w)`, from each position to where it was.
            unit: of a vector, to a position.
        """
        rows, columns = moved_index(torch.from_numpy(motion)[None], unit)
        moved = np.concatenate([self.latents, self.sizes])[:, rows[0].numpy(), columns[0].numpy()]
        there = np.full((1, *motion.shape[1:]), 256)
        return np.concatenate([moved, motion * 256 // unit, there])


def moved_index(motion: Tensor, unit: int) -> tuple[Tensor, Tensor]:
    """Row and column `(B, h, w)` each that vectors int64 `(B, 2, h, w)` lead to, to the nearest position inside the grid."""
    height, width = motion.shape[-2:]
    down, right = (motion + unit // 2).div(unit, rounding_mode="floor").unbind(1)
    rows = torch.arange(height, device=motion.device)[:, None] + down
    columns = torch.arange(width, device=motion.device) + right
    return rows.clamp(0, height - 1), columns.clamp(0, width - 1)


def float_planes(latents: Tensor, sizes: Tensor, motion: Tensor, unit: int) -> Tensor:
    """`Past.planes` in floats, for training: `(B, channels, h, w)` twice and int64 `(B, 2, h, w)` to `(B, P, h, w)`."""
    rows, columns = moved_index(motion, unit)
    whole = torch.cat([latents, sizes], 1)
    batch = torch.arange(len(whole), device=whole.device)[:, None, None]
    moved = whole.movedim(1, -1)[batch, rows, columns].movedim(-1, 1)
    return torch.cat([moved, motion.to(whole) / unit, torch.ones_like(whole[:, :1])], 1)
