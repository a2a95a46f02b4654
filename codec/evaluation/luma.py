"""Luma and halved chroma of RGB pictures, as classical video codecs keep them.

ITU-R BT.601-7, matrix and limited range: luma in [16, 235], chroma in [16, 240]. In this range the luma of a decoded picture
comes back exactly from its 8-bit RGB, as long as nothing was clipped: rounding three channels moves it by less than half a level.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

LUMA = (0.299, 0.587, 0.114)  # of R, G, B
LUMA_SPAN, LUMA_FLOOR = 219, 16
CHROMA_SPAN, CHROMA_CENTRE = 224, 128


def luma_levels(frame: Tensor) -> Tensor:
    """uint8 `(3, H, W)` RGB to uint8 `(H, W)`."""
    return _luma(frame.float()).round().byte()


def yuv420(frame: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """uint8 `(3, H, W)` RGB to luma `(H, W)` and both chromas `(ceil(H / 2), ceil(W / 2))`, means of 2x2; float32, not rounded."""
    rgb = frame.float()
    luma = _luma(rgb)
    full = LUMA[0] * rgb[0] + LUMA[1] * rgb[1] + LUMA[2] * rgb[2]
    differences = torch.stack([(rgb[2] - full) / (1 - LUMA[2]), (rgb[0] - full) / (1 - LUMA[0])])
    chroma = CHROMA_CENTRE + CHROMA_SPAN / 255 / 2 * F.avg_pool2d(differences, 2, ceil_mode=True)
    return luma, chroma[0], chroma[1]


def _luma(rgb: Tensor) -> Tensor:
    full = LUMA[0] * rgb[0] + LUMA[1] * rgb[1] + LUMA[2] * rgb[2]
    return LUMA_FLOOR + LUMA_SPAN / 255 * full
