"""Clips for training and validation as a Lightning data module: crops of videos, and crops that move over photographs."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import lightning
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from codec.training.endless import Endless
from codec.training.pack import ImagePack, open_pack
from codec.training.video_pack import VideoPack, open_video_pack

FASTEST = 6.0  # pixels a frame that a crop moves over a photograph, in most cases
ZOOM = 0.01  # a frame


@dataclass(frozen=True)
class ClipShape:
    """What is cut.

    Attributes:
        frames: of a clip.
        crop: side in pixels.
        moving_photographs: share of clips that are crops which move over a photograph.
        skipping: share of clips of which only every other frame is taken, as if all moved twice as fast.
    """

    frames: int = 3
    crop: int = 192
    moving_photographs: float = 0.25
    skipping: float = 0.15


class EndlessClips(Endless[Tensor]):
    """Batches of clips uint8 `(batch_size, frames, 3, crop, crop)`, mirrored half of the time and backwards as often.

    Args:
        videos: to cut from.
        photographs: to move over; None where there are none.
        shape: of the clips.
        batch_size: clips a batch.
        seed: of the whole stream.
        first_batch: as of `Endless`.
        rank: likewise.
        world_size: likewise.
    """

    def __init__(
        self,
        videos: VideoPack,
        photographs: ImagePack | None,
        shape: ClipShape,
        *,
        batch_size: int,
        seed: int,
        first_batch: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        super().__init__(first_batch, rank, world_size)
        self.videos, self.photographs, self.shape = videos, photographs, shape
        self.batch_size, self.seed = batch_size, seed
        frames = videos.index[:, 1].astype(np.float64)
        self._shares = frames / frames.sum()

    def batch(self, number: int) -> Tensor:
        """The batch of a number, the same on every call."""
        random = np.random.default_rng([self.seed, number])
        return torch.stack([self._clip(random) for _ in range(self.batch_size)])

    def _clip(self, random: np.random.Generator) -> Tensor:
        moving = random.random() < self.shape.moving_photographs
        if moving and self.photographs is not None:
            clip = self._over_photograph(self.photographs[int(random.integers(len(self.photographs)))], random)
        else:
            clip = self._of_video(self.videos[int(random.choice(len(self.videos), p=self._shares))], random)
        clip = clip.flip(-1) if random.random() < 0.5 else clip
        return clip.flip(0) if random.random() < 0.5 else clip

    def _of_video(self, video: NDArray[np.uint8], random: np.random.Generator) -> Tensor:
        count, side = self.shape.frames, self.shape.crop
        step = 2 if random.random() < self.shape.skipping and len(video) >= 2 * count else 1
        first = int(random.integers(max(1, len(video) - step * (count - 1))))
        places = np.minimum(first + step * np.arange(count), len(video) - 1)
        top, left = (int(random.integers(max(1, have - side + 1))) for have in video.shape[1:3])
        cut = torch.from_numpy(video[places, top : top + side, left : left + side]).permute(0, 3, 1, 2)
        missing = side - cut.shape[3], side - cut.shape[2]
        return (
            F.pad(cut.float(), (0, missing[0], 0, missing[1]), mode="reflect").to(torch.uint8) if any(missing) else cut
        )

    def _over_photograph(self, photograph: NDArray[np.uint8], random: np.random.Generator) -> Tensor:
        """A straight way with a slow zoom; what leaves the photograph is its mirror image."""
        count, side = self.shape.frames, self.shape.crop
        height, width = photograph.shape[:2]
        speed = random.normal(0, FASTEST / 2, 2)
        zoom = 1 + random.normal(0, ZOOM)
        centre = np.array([random.uniform(side / 2, max(side / 2 + 1, have - side / 2)) for have in (height, width)])
        steps = torch.arange(side, dtype=torch.float32) - (side - 1) / 2
        grids = []
        for t in range(count):
            middle, scale = centre + t * speed, zoom**t
            down, right = (
                (2 * (middle[axis] + scale * steps) + 1) / have - 1 for axis, have in enumerate((height, width))
            )
            grids.append(torch.stack(torch.broadcast_tensors(right[None, :], down[:, None]), -1))
        pixels = torch.from_numpy(photograph.copy()).permute(2, 0, 1)[None].float().expand(count, -1, -1, -1)
        found = F.grid_sample(pixels, torch.stack(grids).float(), "bicubic", "reflection", align_corners=False)
        return found.clamp(0, 255).round().to(torch.uint8)


class FirstFrames(Dataset[Tensor]):
    """The first frames of each video for validation, uint8 `(frames, 3, H, W)`, cut at the centre to at most `longest` a side."""

    def __init__(self, pack: VideoPack, frames: int, longest: int) -> None:
        self._pack, self._frames, self._longest = pack, frames, longest

    def __len__(self) -> int:
        return len(self._pack)

    def __getitem__(self, i: int) -> Tensor:
        """Clip i."""
        clip = self._pack[i][: self._frames]
        top, left = (max(0, (side - self._longest) // 2) for side in clip.shape[1:3])
        return torch.from_numpy(clip[:, top : top + self._longest, left : left + self._longest].copy()).permute(
            0, 3, 1, 2
        )


class VideoData(lightning.LightningDataModule):
    """Endless clips for training and the first frames of whole videos for validation.

    Args:
        root: training videos, a tar or a folder.
        val_root: validation videos.
        photographs: see `open_pack`; none by default.
        cache: folder for decoded packs.
        shape: of the clips.
        batch_size: clips a step and process.
        val_frames: of each validation video.
        val_longest: pixels a side of it.
        seed: of the stream of clips.
    """

    def __init__(
        self,
        root: str,
        *,
        val_root: str,
        photographs: str | None = None,
        cache: str = "runs/cache",
        shape: ClipShape | None = None,
        batch_size: int = 4,
        val_frames: int = 9,
        val_longest: int = 256,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.root, self.val_root, self.photographs, self.cache = root, val_root, photographs, cache
        self.shape, self.batch_size, self.seed = shape if shape is not None else ClipShape(), batch_size, seed
        self.val_frames, self.val_longest = val_frames, val_longest
        self._pack: VideoPack | None = None

    def pack(self) -> VideoPack:
        """Training videos, decoded on first use."""
        if self._pack is None:
            self._pack = open_video_pack(Path(self.root), Path(self.cache))
        return self._pack

    def crops(self, first_batch: int = 0, shape: ClipShape | None = None) -> EndlessClips:
        """The stream of clips from a batch number on."""
        trainer = self.trainer
        return EndlessClips(
            self.pack(),
            None if self.photographs is None else open_pack(self.photographs, self.cache),
            self.shape if shape is None else shape,
            batch_size=self.batch_size,
            seed=self.seed,
            first_batch=first_batch,
            rank=trainer.global_rank if trainer else 0,
            world_size=trainer.world_size if trainer else 1,
        )

    def train_media(self) -> Iterator[Tensor]:
        """Every training video, uint8 `(1, 3, T, H, W)`."""
        return videos(self.pack())

    def packs(self) -> tuple[VideoPack, VideoPack]:
        """Training and validation videos."""
        return self.pack(), open_video_pack(Path(self.val_root), Path(self.cache))

    def train_dataloader(self) -> DataLoader[Tensor]:
        """Batches from where the trainer stands."""
        done = self.trainer.global_step * self.trainer.accumulate_grad_batches if self.trainer else 0
        return DataLoader(self.crops(done), batch_size=None)

    def val_dataloader(self) -> DataLoader[Tensor]:
        """One clip a batch."""
        return DataLoader(FirstFrames(self.packs()[1], self.val_frames, self.val_longest), batch_size=1)


def videos(pack: VideoPack) -> Iterator[Tensor]:
    """Every video of a pack, uint8 `(1, 3, T, H, W)`."""
    for i in range(len(pack)):
        yield torch.from_numpy(pack[i].copy()).permute(3, 0, 1, 2)[None]
