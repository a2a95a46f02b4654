"""Sounds for training and validation as a Lightning data module: crops of several packs in stated shares, and whole clips."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, cast

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from codec.models import SoundCodec
from codec.training.audio_pack import FULL_SCALE, AudioCrops, AudioPack, open_audio_pack
from codec.training.endless import Endless
from codec.training.sound_augmentation import SoundAugmentation


@dataclass(frozen=True)
class SoundArchive:
    """Sounds to train or to validate with.

    Attributes:
        archive: a tar in the root folder.
        kind: keep only this folder of the tar; all of it if empty.
        share: of the training crops, relative to the other archives; those without one count their minutes.
        speed: times as fast, and as high, as they were recorded: other voices for nothing.
    """

    archive: str
    kind: str = ""
    share: float | None = None
    speed: float = 1.0


class Clip(NamedTuple):
    """One whole sound of validation.

    Attributes:
        samples: float `(1, N)`, full scale 1.
        name: of its file in the archive, whose folder is its kind.
    """

    samples: Tensor
    name: str

    @property
    def kind(self) -> str:
        """What it is, e.g. `speech`."""
        return Path(self.name).parts[0]


class SoundCrops(Endless[Tensor]):
    """Batches of crops `(batch_size, 1, crop)`.

    Args:
        packs: the clips.
        shares: of the crops that come from each pack, which add up to 1.
        batch_size: crops a batch.
        crop: length in samples.
        seed: of the whole stream.
        augmentation: of each batch.
        first_batch: as of `Endless`.
        rank: likewise.
        world_size: likewise.
    """

    def __init__(
        self,
        packs: Sequence[AudioPack],
        shares: Sequence[float],
        *,
        batch_size: int,
        crop: int,
        seed: int,
        augmentation: SoundAugmentation,
        first_batch: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        super().__init__(first_batch, rank, world_size)
        self._crops = [AudioCrops(pack, batch_size=batch_size, crop=crop, seed=seed) for pack in packs]
        self.shares, self.batch_size, self.seed, self.augmentation = tuple(shares), batch_size, seed, augmentation

    def batch(self, number: int) -> Tensor:
        """The batch of a number, the same on every call."""
        random = np.random.default_rng([self.seed, number, 1])  # 1, as the places of the crops are drawn without it
        sources = random.choice(len(self._crops), size=self.batch_size, p=self.shares)
        found = {source: self._crops[source].batch(number) for source in set(sources.tolist())}
        crops = torch.stack([found[source][row] for row, source in enumerate(sources.tolist())])
        changed = self.augmentation((crops.float() / FULL_SCALE).numpy(), random)
        return torch.from_numpy(changed)[:, None]


class WholeClips(Dataset[Clip]):
    """Clips for validation, spread evenly over their packs.

    Args:
        packs: to choose from.
        most: clips of each pack.
    """

    def __init__(self, packs: Sequence[AudioPack], most: int) -> None:
        self._clips = [
            (pack, i * len(pack) // min(most, len(pack))) for pack in packs for i in range(min(most, len(pack)))
        ]

    def __len__(self) -> int:
        return len(self._clips)

    def __getitem__(self, place: int) -> Clip:
        """Clip of that place."""
        pack, i = self._clips[place]
        return clip_of(pack, i)


class SoundData(lightning.LightningDataModule):
    """Endless crops for training and whole clips for validation, at the rate of the model that is trained.

    Args:
        root: folder of the archives.
        train: archives to train with.
        val: archives to validate with.
        cache: folder for decoded packs.
        batch_size: crops a step and process.
        crop: length of a crop in samples, a multiple of the model's hop.
        augmentation: of training crops.
        val_clips: clips of each archive of `val`.
        seed: of the stream of crops.
        num_workers: processes that cut crops; 0 is fast enough on a few cores, as packs are memory-mapped.
    """

    def __init__(
        self,
        root: str,
        train: Sequence[SoundArchive],
        val: Sequence[SoundArchive],
        *,
        cache: str = "runs/cache",
        batch_size: int = 16,
        crop: int = 16_000,
        augmentation: SoundAugmentation | None = None,
        val_clips: int = 8,
        seed: int = 0,
        num_workers: int = 0,
    ) -> None:
        super().__init__()
        self.root, self.train, self.val, self.cache = Path(root), tuple(train), tuple(val), Path(cache)
        self.batch_size, self.crop, self.val_clips = batch_size, crop, val_clips
        self.augmentation = augmentation if augmentation is not None else SoundAugmentation()
        self.seed, self.num_workers = seed, num_workers

    def packs(self, archives: Sequence[SoundArchive], rate_hz: int) -> list[AudioPack]:
        """The clips of each archive, decoded on first use; at another speed is at another rate, played at this."""
        return [
            open_audio_pack(
                self.root / source.archive, self.cache, rate_hz=round(rate_hz / source.speed), kind=source.kind
            )
            for source in archives
        ]

    def train_packs(self) -> list[AudioPack]:
        """Those of training, at the model's rate."""
        return self.packs(self.train, self._rate_hz)

    def crops(self, first_batch: int = 0) -> SoundCrops:
        """The stream of crops from a batch number on."""
        packs = self.train_packs()
        return SoundCrops(
            packs,
            shares_of(self.train, packs),
            batch_size=self.batch_size,
            crop=self.crop,
            seed=self.seed,
            augmentation=self.augmentation,
            first_batch=first_batch,
            rank=self._trainer.global_rank,
            world_size=self._trainer.world_size,
        )

    def train_media(self) -> Iterator[Tensor]:
        """Every training clip, float `(1, 1, N)`."""
        for pack in self.train_packs():
            for i in range(len(pack)):
                yield clip_of(pack, i).samples[None]

    def train_dataloader(self) -> DataLoader[Tensor]:
        """Batches from where the trainer stands."""
        done = self._trainer.global_step * self._trainer.accumulate_grad_batches
        pinned = torch.cuda.is_available()
        return DataLoader(self.crops(done), batch_size=None, num_workers=self.num_workers, pin_memory=pinned)

    def val_dataloader(self) -> DataLoader[Clip]:
        """One clip a batch."""
        return DataLoader(WholeClips(self.packs(self.val, self._rate_hz), self.val_clips), batch_size=None)

    @property
    def _trainer(self) -> lightning.Trainer:
        if self.trainer is None:
            raise ValueError("sounds have the rate of the model that is trained: a trainer must hold both")
        return self.trainer

    @property
    def _rate_hz(self) -> int:
        return cast(SoundCodec, self._trainer.lightning_module.model).rate


def clip_of(pack: AudioPack, i: int) -> Clip:
    """Clip i of a pack."""
    return Clip(torch.from_numpy(pack[i].astype(np.float32))[None] / FULL_SCALE, pack.names[i])


def shares_of(archives: Sequence[SoundArchive], packs: Sequence[AudioPack]) -> list[float]:
    """Of the crops from each pack, which add up to 1: as stated, or else by length."""
    stated = [source.share for source in archives if source.share is not None]
    if stated and (len(stated) != len(archives) or min(stated) < 0 or sum(stated) <= 0):
        raise ValueError(f"either every archive has a share of at least 0 or none has one, got {list(archives)}")
    weights = stated or [float(pack.index[:, 1].sum()) for pack in packs]
    return [weight / sum(weights) for weight in weights]
