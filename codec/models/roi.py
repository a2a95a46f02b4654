"""Region of interest: a mask to a gain index for each position of the hyper-latent.

White has the quality that was asked for, black is coarser by half the range of qualities; between them in proportion. What the
decoder needs travels as offsets from the head's gain, which is that of most cells, so that they cost next to nothing.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from codec.entropy.latent import OFFSET_UNIT
from codec.entropy.levels import FINEST
from codec.errors import UsageError

SPAN = 16  # offset units between white and black


@dataclass(frozen=True)
class Region:
    """How much coarser each cell is.

    Attributes:
        coarser: int64 on the hyper-latent's grid, 0 … `SPAN` offset units.
    """

    coarser: Tensor

    def at(self, gain: int) -> tuple[int, Tensor]:
        """The head's gain index, and the offsets from it, where white cells have `gain`."""
        wanted = (gain - OFFSET_UNIT * self.coarser).clamp(0, FINEST)
        head = int(wanted.flatten().mode().values)
        return head, torch.round((wanted - head) / OFFSET_UNIT).long()


def region_of(mask: Tensor, size: tuple[int, int], cell: int) -> Region:
    """Mask float `(H, W)` in [0, 1], of the picture's size, to one value for each cell of pixels.

    Raises:
        UsageError: the sizes differ.
    """
    if tuple(mask.shape) != tuple(size):
        raise UsageError(f"the mask has {mask.shape[1]}x{mask.shape[0]} pixels, the picture {size[1]}x{size[0]}")
    beyond = [-side % cell for side in size]
    padded = F.pad(mask[None, None].float(), (0, beyond[1], 0, beyond[0]), mode="replicate") if any(beyond) else mask
    means = F.avg_pool2d(padded.reshape(1, 1, *padded.shape[-2:]).float(), cell)[0, 0]
    return Region(torch.round(SPAN * (1 - means.clamp(0, 1))).long())
