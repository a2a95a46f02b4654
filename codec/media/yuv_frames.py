"""RGB pictures of any size as the frames of even size in 4:2:0 that encoders of video take, and back."""

from fractions import Fraction

import av
import numpy as np
import torch
from torch import Tensor

from codec.media.video import VideoFormat
from codec.media.video_pixels import FromRGB, ToRGB


class YuvFrames:
    """Between uint8 RGB `(3, H, W)` and yuv420p as `FromRGB` makes it.

    Args:
        height, width: of the pictures; frames have one row or column more where it is odd, a copy of the last.
    """

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height + height % 2, width + width % 2
        self._shape = (3, height, width)
        self._to_yuv, self._to_rgb = FromRGB(VideoFormat(self.width, self.height, Fraction(1, 25))), ToRGB()

    def to_yuv(self, picture: Tensor) -> av.VideoFrame:
        """One frame, without a time."""
        if tuple(picture.shape) != self._shape or picture.dtype != torch.uint8:
            raise ValueError(f"frames are uint8 {self._shape}, got {picture.dtype} {tuple(picture.shape)}")
        _, height, width = self._shape
        rows = np.pad(picture.numpy(), ((0, 0), (0, height % 2), (0, width % 2)), mode="edge")
        return self._to_yuv(np.ascontiguousarray(rows))

    def to_rgb(self, frame: av.VideoFrame) -> Tensor:
        """A decoded frame, cut to the size of the pictures."""
        _, height, width = self._shape
        return torch.from_numpy(self._to_rgb(frame)[:, :height, :width].copy())
