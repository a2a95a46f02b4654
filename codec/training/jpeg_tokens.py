"""Pictures as bytes of JPEG files: what JPEG-LM is trained on."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_info
from PIL import Image
from torch import Tensor

from codec.errors import MediaError, UsageError
from codec.generation import JpegWords
from codec.training.datamodule import ImageData
from codec.training.pack import ImagePack
from codec.training.tokens import Grids


class JpegTokens:
    """The middle squares of pictures, shrunk to one size, plain and for training mirrored too.

    Args:
        images: where the pictures are; its crops are not used.
        words: name of the settings, `jpeg:SIDE:QUALITY:LENGTH`; how many squares have too long a scan for it is said.
    """

    def __init__(self, images: ImageData, words: str) -> None:
        found = JpegWords.named(words)
        if found is None:
            raise UsageError(f"expected jpeg:SIDE:QUALITY:LENGTH, got {words}")
        self.images, self.words = images, found

    def grids(self, _tokenizer: Any) -> tuple[Grids, Grids]:
        """Training and validation grids `(1, 1, length)`."""
        train, val = self.images.packs()
        return list(self._grids(train, mirrored=True)), list(self._grids(val, mirrored=False))

    def _grids(self, pack: ImagePack, *, mirrored: bool) -> Iterator[Tensor]:
        made = left_out = 0
        for i in range(len(pack)):
            square = middle_square(pack[i], self.words.side)
            for pixels in (square, square.flip(-1))[: 1 + mirrored]:
                codes = self.words.codes(pixels)
                left_out += codes is None
                if codes is not None:
                    made += 1
                    yield codes
        if left_out:
            rank_zero_info(
                f"{left_out} of {left_out + made} squares have {self.words.length} words or more and are left out"
            )
        if not made:
            raise MediaError(f"every scan has {self.words.length} words or more; take a smaller side or quality")


def middle_square(pixels: np.ndarray, side: int) -> Tensor:
    """uint8 `(H, W, 3)` to `(3, side, side)`."""
    height, width = pixels.shape[:2]
    short = min(height, width)
    top, left = (height - short) // 2, (width - short) // 2
    square = Image.fromarray(np.ascontiguousarray(pixels[top : top + short, left : left + short]))
    shrunk = square.resize((side, side), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(shrunk)).permute(2, 0, 1)
