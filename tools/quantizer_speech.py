"""Speech in the comparison of quantizers: 20 ms a position, mel distance and SI-SDR.

A waveform is a picture one row high, whose channels are the samples of a frame: so the blocks of `codec.nn` serve.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from quantizer_media import Part, Quality
from torch import Tensor, nn

from codec.evaluation import MelDistance, si_sdr
from codec.nn.blocks import ConvBlock, start_at_zero
from codec.training.audio_pack import FULL_SCALE, AudioCrops, open_audio_pack

LATENT_DIM, FRAME, RATE_HZ = 32, 320, 16_000
BATCH, CROP = 8, 48 * FRAME
LEVEL = 0.06  # usual deviation of the samples, which brings networks to unit size
MEND = 8  # samples a position of the network that mends seams


@dataclass(frozen=True)
class FrameBasis:
    """Orthonormal directions `(latent_dim, FRAME)` of frames, strongest first; `step` is one unit of the latent, in sample units."""

    directions: Tensor
    step: float


@torch.no_grad()
def principal_frames(batches: Sequence[Tensor], latent_dim: int) -> FrameBasis:
    """PCA of the frames of batches `(B, 1, T)` of one size, about silence; latents have a mean square of 1."""
    moments = torch.zeros(FRAME, FRAME, dtype=torch.float64)
    for batch in batches:
        frames = batch.reshape(-1, FRAME).double()
        moments += frames.T @ frames / (len(frames) * len(batches))
    variances, vectors = torch.linalg.eigh(moments)
    step = variances.flip(0)[:latent_dim].mean().sqrt()
    return FrameBasis(vectors.T.flip(0)[:latent_dim].float(), float(step))


class FrameEncoder(nn.Module):
    """Waveform `(B, 1, T)` to latents `(B, latent_dim, T / FRAME)`: a linear map and a network from zero, as `PatchEncoder`."""

    def __init__(self, latent_dim: int, *, width: int, depth: int) -> None:
        super().__init__()
        self.linear = nn.Conv2d(FRAME, latent_dim, 1, bias=False)
        self.enter = nn.Conv2d(FRAME, width, 1)
        self.blocks = nn.Sequential(*(ConvBlock(width) for _ in range(depth)))
        self.leave = nn.Conv2d(width, latent_dim, 1)
        start_at_zero(self.leave)

    @torch.no_grad()
    def start_from(self, basis: FrameBasis) -> None:
        """Set the linear part; the network adds nothing yet."""
        self.linear.weight.copy_((basis.directions / basis.step)[..., None, None])

    def forward(self, waveform: Tensor) -> Tensor:
        """Shapes as in the class text."""
        frames = _frames(waveform, FRAME)
        latents: Tensor = self.linear(frames) + self.leave(self.blocks(self.enter(frames / LEVEL)))
        return latents[:, :, 0]


class FrameDecoder(nn.Module):
    """The mirror of `FrameEncoder`, and a small network on groups of samples that mends seams between frames."""

    def __init__(self, latent_dim: int, *, width: int, depth: int, mend_width: int = 32) -> None:
        super().__init__()
        self.linear = nn.Conv2d(latent_dim, FRAME, 1, bias=False)
        self.enter = nn.Conv2d(latent_dim, width, 1)
        self.blocks = nn.Sequential(*(ConvBlock(width) for _ in range(depth)))
        self.leave = nn.Conv2d(width, FRAME, 1)
        mended = _row_convolution(mend_width, MEND)
        self.mend = nn.Sequential(
            _row_convolution(MEND, mend_width),
            nn.GELU(),
            _row_convolution(mend_width, mend_width),
            nn.GELU(),
            mended,
        )
        start_at_zero(self.leave)
        start_at_zero(mended)

    @torch.no_grad()
    def start_from(self, basis: FrameBasis) -> None:
        """Set the linear part; the networks add nothing yet."""
        self.linear.weight.copy_((basis.directions.T * basis.step)[..., None, None])

    def forward(self, vectors: Tensor) -> Tensor:
        """`(B, latent_dim, t)` to `(B, 1, t * FRAME)`."""
        latents = vectors[:, :, None]
        waveform = _waveform(self.linear(latents) + LEVEL * self.leave(self.blocks(self.enter(latents))))
        return waveform + LEVEL * _waveform(self.mend(_frames(waveform, MEND) / LEVEL))


def _row_convolution(before: int, after: int) -> nn.Conv2d:
    """Over seven neighbours of a picture one row high."""
    return nn.Conv2d(before, after, (1, 7), padding=(0, 3))


def _frames(waveform: Tensor, size: int) -> Tensor:
    """`(B, 1, T)` to `(B, size, 1, T / size)`."""
    return waveform.unflatten(-1, (-1, size)).movedim(-1, 1)


def _waveform(frames: Tensor) -> Tensor:
    """The way back."""
    return frames.movedim(1, -1).flatten(-2)


class SpeechDistortion(nn.Module):
    """Terms `mel`, the distance that is reported, and `waveform`, the mean absolute error, without which phases are free."""

    def __init__(self) -> None:
        super().__init__()
        self.mel = MelDistance(RATE_HZ)

    def forward(self, waveform: Tensor, decoded: Tensor) -> dict[str, Tensor]:
        """`(B, 1, T)` each to scalars by name."""
        return {"mel": self.mel(waveform[:, 0], decoded[:, 0]).mean(), "waveform": (decoded - waveform).abs().mean()}


class Speech:
    """Mono at 16 kHz, full scale 1, from `speech-train.tar` and the speech of `audio-val.tar`."""

    axes, stride, latent_dim = 1, FRAME, LATENT_DIM
    memory_format = torch.contiguous_format
    start_batches = 240  # of fewer positions than those of pictures
    loss_scale = 5.0  # of 1, 5 and 20 the best mel distance of `residual` after 220 steps

    def __init__(self, data: Path, cache: Path) -> None:
        self.weights: Mapping[str, float] = {"mel": 1.0, "waveform": 10.0}
        archives = {"train": data / "speech-train.tar", "val": data / "audio-val.tar"}
        self.packs = {
            part: open_audio_pack(archive, cache, rate_hz=RATE_HZ, kind="speech") for part, archive in archives.items()
        }
        self.distortion: nn.Module = SpeechDistortion()

    def transforms(self) -> tuple[nn.Module, nn.Module]:
        """At 50 positions a second."""
        return FrameEncoder(LATENT_DIM, width=192, depth=3), FrameDecoder(LATENT_DIM, width=256, depth=4)

    def start(self, encoder: nn.Module, decoder: nn.Module, batches: Sequence[Tensor]) -> None:
        """PCA of frames."""
        basis = principal_frames(batches, LATENT_DIM)
        for transform in (encoder, decoder):
            assert isinstance(transform, FrameEncoder | FrameDecoder)
            transform.start_from(basis)

    def batch(self, number: int, seed: int) -> Tensor:
        """Crops of about a second."""
        crops = AudioCrops(self.packs["train"], batch_size=BATCH, crop=CROP, seed=seed)
        return crops.batch(number)[:, None].float() / FULL_SCALE

    def files(self, part: Part, multiple: int) -> Iterator[Tensor]:
        """Clips, cut at the end."""
        pack, unit = self.packs[part], FRAME * multiple
        for i in range(len(pack)):
            clip = torch.from_numpy(pack[i].copy())[None, None]
            length = clip.shape[-1] // unit * unit
            if length:
                yield clip[..., :length].float() / FULL_SCALE

    def guide(self, samples: Tensor) -> Tensor:
        """The waveform itself."""
        return samples.movedim(1, -1)

    @torch.no_grad()
    def quality(self, pairs: Iterator[tuple[Tensor, Tensor]]) -> Quality:
        """Of 16-bit sound."""
        found = []
        for original, decoded in pairs:
            rounded = (decoded.clamp(-1, 1) * FULL_SCALE).round() / FULL_SCALE
            distance = float(self.distortion(original, rounded)["mel"])
            found.append((distance, si_sdr(original[0, 0], rounded[0, 0])))
        distance, decibels = (sum(values) / len(found) for values in zip(*found, strict=True))
        return Quality(mel_distance=distance, si_sdr=decibels)
