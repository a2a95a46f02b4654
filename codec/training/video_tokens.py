"""Tokens of whole videos, made once and kept in a cache: what a prior of video tokens is trained on."""

from pathlib import Path

import lightning
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from codec.models import VideoTokenCodec
from codec.training.tokens import EndlessGrids, Grids, stored_grids
from codec.training.video_data import VideoData
from codec.training.video_pack import VideoPack

CALIBRATED, SIDE = 24, 16  # chunks and positions a side that integers are calibrated on


class VideoTokens(lightning.LightningDataModule):
    """Token grids `(Q, groups, rows, columns)` of chunks of the videos of a `VideoData`, in random batches.

    Args:
        videos: where they are; its clips are not used.
        chunks: token grids a step.
        views: of each video: plain, mirrored, backwards, both, and again with the first frame left out.
        seed: of the order.
    """

    held_out = "held-out videos"

    def __init__(self, videos: VideoData, *, chunks: int = 2, views: int = 4, seed: int = 0) -> None:
        super().__init__()
        self.videos, self.chunks, self.views, self.seed = videos, chunks, views, seed
        self._grids: tuple[Grids, Grids] | None = None

    def grids(self, tokenizer: VideoTokenCodec) -> tuple[Grids, Grids]:
        """Training and validation grids, tokenised on first use and cached by the tokenizer's coding hash."""
        if self._grids is None:
            train, val = self.videos.packs()
            cache = Path(self.videos.cache)
            found = [
                stored_grids(
                    tokenizer,
                    f"{views} {tokenizer.chunk} {pack.names} {pack.index.tolist()}",
                    cache,
                    lambda pack=pack, views=views: tokenise_videos(tokenizer, pack, views),  # type: ignore[misc]
                )
                for pack, views in ((train, self.views), (val, 1))
            ]
            self._grids = found[0], found[1]
        return self._grids

    def calibration(self, tokenizer: VideoTokenCodec) -> list[Tensor]:
        """Crops of the first chunks of full length, `(B, groups, rows, columns)` for each plane."""
        grids = [grid for grid in self.grids(tokenizer)[0] if grid.shape[1] == tokenizer.chunk]
        chosen = grids[:: max(1, len(grids) // CALIBRATED)][:CALIBRATED]
        side = min(SIDE, *(min(grid.shape[2:]) for grid in chosen))
        return list(torch.stack([grid[:, :, :side, :side] for grid in chosen]).unbind(1))

    def train_dataloader(self) -> DataLoader[Grids]:
        """Batches from where the trainer stands."""
        assert self._grids is not None
        assert self.trainer is not None
        return DataLoader(
            EndlessGrids(self._grids[0], self.chunks, self.seed, self.trainer.global_step), batch_size=None
        )

    def val_dataloader(self) -> DataLoader[Grids]:
        """One chunk a batch."""
        assert self._grids is not None
        return DataLoader(self._grids[1], batch_size=None)  # type: ignore[arg-type]


@torch.inference_mode()
def tokenise_videos(tokenizer: VideoTokenCodec, pack: VideoPack, views: int) -> Grids:
    """Tokens of every video, cut into chunks as in files."""
    grids = []
    for i in range(len(pack)):
        clip = torch.from_numpy(pack[i].copy()).permute(3, 0, 1, 2)
        for view in range(views):
            seen = clip.flip(-1) if view % 2 else clip
            seen = seen.flip(1) if view // 2 % 2 else seen
            codes = tokenizer.encode(seen[None, :, min(view // 4, seen.shape[1] - 1) :]).planes
            whole = torch.cat([plane.codes for plane in codes])
            grids += [chunk.clone() for chunk in whole.split(tokenizer.chunk, 1)]
    return grids
