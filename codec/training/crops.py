"""An endless stream of training crops in which batch n is a function of the seed and n alone, so that resuming is exact."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from codec.training.endless import Endless
from codec.training.pack import ImagePack


class EndlessCrops(Endless[Tensor]):
    """Batches of random crops, mirrored half of the time.

    Yields uint8 `(batch_size, 3, crop, crop)`. Pictures smaller than the crop are extended by reflection.

    Args:
        pack: the pictures.
        batch_size: crops a batch.
        crop: side in pixels.
        seed: of the whole stream.
        first_batch: as of `Endless`.
        rank: likewise.
        world_size: likewise.
    """

    def __init__(
        self,
        pack: ImagePack,
        *,
        batch_size: int,
        crop: int,
        seed: int,
        first_batch: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if len(pack) == 0:
            raise ValueError("the pack holds no pictures")
        super().__init__(first_batch, rank, world_size)
        self.pack, self.batch_size, self.crop, self.seed = pack, batch_size, crop, seed

    def batch(self, number: int) -> Tensor:
        """The batch of a number, the same on every call."""
        random = np.random.default_rng([self.seed, number])
        crops = [self._crop(random) for _ in range(self.batch_size)]
        return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2)

    def _crop(self, random: np.random.Generator) -> NDArray[np.uint8]:
        picture = self.pack[int(random.integers(len(self.pack)))]
        height, width = picture.shape[:2]
        missing = max(0, self.crop - height), max(0, self.crop - width)
        if any(missing):
            picture = np.pad(picture, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="symmetric")
        top = int(random.integers(picture.shape[0] - self.crop + 1))
        left = int(random.integers(picture.shape[1] - self.crop + 1))
        crop = picture[top : top + self.crop, left : left + self.crop]
        return crop[:, ::-1] if random.random() < 0.5 else crop


class WholePictures(Dataset[Tensor]):
    """Whole pictures for validation, uint8 `(3, H, W)`, cut at the centre to at most `longest` a side."""

    def __init__(self, pack: ImagePack, longest: int = 512) -> None:
        self.pack, self.longest = pack, longest

    def __len__(self) -> int:
        return len(self.pack)

    def __getitem__(self, i: int) -> Tensor:
        """Picture i."""
        picture = self.pack[i]
        top, left = (max(0, (side - self.longest) // 2) for side in picture.shape[:2])
        cut = picture[top : top + self.longest, left : left + self.longest]
        return torch.from_numpy(cut.copy()).permute(2, 0, 1)
