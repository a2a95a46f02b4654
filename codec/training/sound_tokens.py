"""Tokens of sounds, made once and kept in a cache, and packets of them: what a token prior of sound is trained on."""

from collections.abc import Sequence
from pathlib import Path

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader

from codec.models import SoundCodec
from codec.training.audio_pack import AudioPack
from codec.training.endless import Endless
from codec.training.sound_data import SoundData, clip_of
from codec.training.tokens import Grids, stored_grids

CALIBRATION = 64  # packets


class SoundTokens(lightning.LightningDataModule):
    """Packets of tokens of the clips of a `SoundData`: for training from anywhere, for validation as files cut them.

    Args:
        sounds: where the clips are; its crops are not used.
        frames: of a packet, which is all that a prior sees; as many as files will have.
        packets: a step.
        levels_db: gains at which each training clip is tokenised.
        seed: of the order.
    """

    def __init__(
        self,
        sounds: SoundData,
        *,
        frames: int = 64,
        packets: int = 32,
        levels_db: Sequence[float] = (0.0,),
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.sounds, self.frames, self.packets = sounds, frames, packets
        self.levels_db, self.seed = tuple(levels_db), seed
        self.held_out = f"held-out clips in packets of {frames} frames"
        self._grids: tuple[Grids, Grids] | None = None

    def grids(self, tokenizer: SoundCodec) -> tuple[Grids, Grids]:
        """Of each training clip int64 `(Q, T)`, of each validation clip its whole packets `(Q, n, frames)`."""
        if self._grids is None:
            train, val = self._tokens(tokenizer, train=True), self._tokens(tokenizer, train=False)
            whole = [cut_packets(codes, self.frames) for codes in val if codes.shape[1] >= self.frames]
            if not whole:
                raise ValueError(f"no validation clip has a packet of {self.frames} frames")
            self._grids = train, whole
        return self._grids

    def calibration(self, tokenizer: SoundCodec) -> list[Tensor]:
        """Some training packets, `(64, frames)` for each plane."""
        (packets,) = EndlessPackets(self.grids(tokenizer)[0], CALIBRATION, self.frames, self.seed).batch(0)
        return list(packets)

    def train_dataloader(self) -> DataLoader[Grids]:
        """Batches from where the trainer stands."""
        assert self._grids is not None
        assert self.trainer is not None
        batches = EndlessPackets(self._grids[0], self.packets, self.frames, self.seed, self.trainer.global_step)
        return DataLoader(batches, batch_size=None)

    def val_dataloader(self) -> DataLoader[Grids]:
        """The packets of one clip a batch."""
        assert self._grids is not None
        return DataLoader(self._grids[1], batch_size=None)  # type: ignore[arg-type]

    def _tokens(self, tokenizer: SoundCodec, *, train: bool) -> Grids:
        """Cached tokens of all clips, those of training at each level."""
        sounds, cache = self.sounds, Path(self.sounds.cache)
        levels = self.levels_db if train else (0.0,)
        codes: Grids = []
        for pack in sounds.packs(sounds.train if train else sounds.val, tokenizer.rate):
            for level in levels:
                facts = f"{level} {pack.names} {pack.index.tolist()}"
                codes += stored_grids(tokenizer, facts, cache, lambda p=pack, g=level: tokenise(tokenizer, p, g))  # type: ignore[misc]
        return codes


class EndlessPackets(Endless[Grids]):
    """Batches of packets; every frame is as likely to be seen.

    Args:
        clips: int64 `(Q, T)` each; shorter ones than a packet are left out.
        packets: a batch.
        frames: of a packet.
        seed: of the whole stream.
        first_batch: as of `Endless`.
    """

    def __init__(self, clips: Grids, packets: int, frames: int, seed: int, first_batch: int = 0) -> None:
        super().__init__(first_batch)
        self._clips = [codes for codes in clips if codes.shape[1] >= frames]
        if not self._clips:
            raise ValueError(f"no clip has a packet of {frames} frames")
        self._packets, self._frames, self._seed = packets, frames, seed
        self._starts = np.cumsum([codes.shape[1] - frames + 1 for codes in self._clips])  # of the clips up to each

    def batch(self, number: int) -> Grids:
        """One grid `(Q, packets, frames)`."""
        random = np.random.default_rng([self._seed, number])
        found = []
        for place in random.integers(self._starts[-1], size=self._packets):
            clip = int(np.searchsorted(self._starts, place, side="right"))
            first = int(place - (self._starts[clip - 1] if clip else 0))
            found.append(self._clips[clip][:, first : first + self._frames])
        return [torch.stack(found, 1)]


def cut_packets(codes: Tensor, frames: int) -> Tensor:
    """`(Q, T)` to whole packets `(Q, n, frames)`; what is left at the end is left out."""
    count = codes.shape[1] // frames
    return codes[:, : count * frames].unflatten(1, (count, frames))


@torch.inference_mode()
def tokenise(tokenizer: SoundCodec, pack: AudioPack, level_db: float) -> Grids:
    """Tokens `(Q, T)` of every clip, at a gain."""
    grids = []
    for i in range(len(pack)):
        samples = (10 ** (level_db / 20) * clip_of(pack, i).samples).clamp(-1, 1)
        grids.append(clip_codes(tokenizer, samples[None]).clone())
    return grids


@torch.inference_mode()
def clip_codes(tokenizer: SoundCodec, samples: Tensor) -> Tensor:
    """Codes `(Q, T)` of a clip float `(1, 1, N)`, for statistics: computed at once, about ten times as fast as in a file's blocks.

    A few may differ from a file's, by rounding.
    """
    missing = tokenizer.frames(samples.shape[-1]) * tokenizer.hop - samples.shape[-1]
    latents = tokenizer.encoder(F.pad(samples, (0, missing)).to(tokenizer.device))
    return tokenizer.quantizer.encode(latents[0].T).T.cpu()
