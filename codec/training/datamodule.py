"""Pictures for training and validation as a Lightning data module."""

from collections.abc import Iterator, Sequence

import lightning
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from codec.training.crops import EndlessCrops, WholePictures
from codec.training.pack import ImagePack, open_pack


class ImageData(lightning.LightningDataModule):
    """Endless crops for training and whole pictures for validation.

    Args:
        root: training pictures, see `open_pack`.
        val_root: validation pictures; without them the last 32 training pictures are held out.
        cache: folder for decoded packs.
        sources: restrict training to some sources, see `open_pack`.
        batch_size: crops a step and process.
        crop: side of a crop in pixels.
        seed: of the stream of crops.
        num_workers: processes that cut crops; 0 is fast enough on a few cores, as the pack is memory-mapped.
    """

    def __init__(
        self,
        root: str,
        *,
        val_root: str | None = None,
        cache: str = "runs/cache",
        sources: Sequence[str] | None = None,
        batch_size: int = 8,
        crop: int = 128,
        seed: int = 0,
        num_workers: int = 0,
    ) -> None:
        super().__init__()
        self.root, self.val_root, self.cache, self.sources = root, val_root, cache, sources
        self.batch_size, self.crop, self.seed, self.num_workers = batch_size, crop, seed, num_workers
        self._packs: tuple[ImagePack, ImagePack] | None = None

    def packs(self) -> tuple[ImagePack, ImagePack]:
        """Training and validation pictures, decoded on first use."""
        if self._packs is None:
            train = open_pack(self.root, self.cache, self.sources)
            if self.val_root is not None:
                self._packs = train, open_pack(self.val_root, self.cache)
            else:
                held_out = min(32, len(train) // 2)
                cut = len(train) - held_out
                self._packs = (
                    ImagePack(train.pixels, train.index[:cut], train.names[:cut]),
                    ImagePack(train.pixels, train.index[cut:], train.names[cut:]),
                )
        return self._packs

    def crops(self, first_batch: int = 0) -> EndlessCrops:
        """The stream of crops from a batch number on."""
        trainer = self.trainer
        return EndlessCrops(
            self.packs()[0],
            batch_size=self.batch_size,
            crop=self.crop,
            seed=self.seed,
            first_batch=first_batch,
            rank=trainer.global_rank if trainer else 0,
            world_size=trainer.world_size if trainer else 1,
        )

    def train_media(self) -> Iterator[Tensor]:
        """Every training picture, uint8 `(1, 3, H, W)`."""
        return pictures(self.packs()[0])

    def train_dataloader(self) -> DataLoader[Tensor]:
        """Batches from where the trainer stands."""
        done = self.trainer.global_step * self.trainer.accumulate_grad_batches if self.trainer else 0
        pinned = torch.cuda.is_available()
        return DataLoader(self.crops(done), batch_size=None, num_workers=self.num_workers, pin_memory=pinned)

    def val_dataloader(self) -> DataLoader[Tensor]:
        """One picture a batch."""
        return DataLoader(WholePictures(self.packs()[1]), batch_size=1)


def pictures(pack: ImagePack) -> Iterator[Tensor]:
    """Every picture of a pack, uint8 `(1, 3, H, W)`."""
    for i in range(len(pack)):
        yield torch.from_numpy(pack[i].copy()).permute(2, 0, 1)[None]
