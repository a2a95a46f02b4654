"""A loss on the features of a frozen classifier: what looks alike is near, though its pixels differ.

Johnson et al. 2016, "Perceptual Losses for Real-Time Style Transfer and Super-Resolution", arXiv:1603.08155.
"""

import torch
from torch import Tensor, nn

from codec.evaluation.perceptual import EfficientNetDistance
from codec.training.windows import same_window


class Perceptual(nn.Module):
    """Distortion of pixels in [0, 1]. Term: `effnet`, the mean of `EfficientNetDistance`.

    Every batch is a random draw, so its first pictures and a window of each are an unbiased and cheaper sample of it.

    Args:
        side: of the window in pixels, at least 32.
        pictures: how many of the batch are compared; None for all.

    Raises:
        UsageError: the packages with the network are not installed.
    """

    def __init__(self, side: int = 96, pictures: int | None = None) -> None:
        super().__init__()
        self.side, self.pictures = side, pictures
        # In a tuple, so that it is no part of this module: neither saved with a run nor averaged.
        self._frozen = (EfficientNetDistance().to(memory_format=torch.channels_last),)  # type: ignore[call-overload]

    def forward(self, pixels: Tensor, decoded: Tensor) -> dict[str, Tensor]:
        """`(B, 3, H, W)` each to scalars by name."""
        one, two = same_window(pixels[: self.pictures], decoded[: self.pictures], self.side)
        return {"effnet": self._frozen[0].to(pixels.device)(one, two).mean()}
