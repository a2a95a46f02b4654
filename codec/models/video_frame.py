"""One frame of video at a time: intra as a picture, inter from a prediction; what the next frame may refer to."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from codec.coding import Decoder, Encoder
from codec.entropy import CodeLength, GroupedLatentPrior, Known, Layout, MotionPrior, Past, RoundedLatent, Step, walk
from codec.entropy.base import FIXED_POINT
from codec.entropy.driver import Recorder, Source
from codec.entropy.levels import FINEST
from codec.models.latent import LatentCodec
from codec.nn import find_motion, motion_grid, predict

Planes = list[NDArray[np.float64]]
BLOCK_POSITIONS = 2  # of a latent for one block of motion
UNIT = 32  # steps of a vector to a position of a latent


class InterAnalysis(Protocol):
    """Pixels, their prediction and levels to normalised latents."""

    stride: int

    def __call__(self, x: Tensor, prediction: Tensor, levels: Tensor) -> Tensor:
        """`(B, 3, H, W)` twice and `(B, 1, h, w)` to `(B, latent_dim, h, w)`."""


class InterSynthesis(Protocol):
    """The way back."""

    stride: int

    def __call__(self, n: Tensor, levels: Tensor, prediction: Tensor) -> Tensor:
        """Latents, levels and the prediction to pixels about [0, 1]."""


class InterCodec(nn.Module):
    """What codes a frame given the one before.

    Args:
        analysis: what the prediction lacks, to latents.
        prior: of the latents, with a `PastPath`.
        synthesis: the way back.
        motion: prior of the vectors.
        latent_dim: stated once, checked against the prior.
    """

    def __init__(
        self,
        analysis: InterAnalysis,
        prior: GroupedLatentPrior,
        synthesis: InterSynthesis,
        motion: MotionPrior,
        *,
        latent_dim: int,
    ) -> None:
        super().__init__()
        if prior.channels != latent_dim:
            raise ValueError(f"latent_dim is {latent_dim} but the prior is for {prior.channels} channels")
        if prior.past is None:
            raise ValueError("the prior of frames that follow others needs a past")
        if analysis.stride != synthesis.stride:
            raise ValueError(f"the analysis' stride is {analysis.stride} but the synthesis' is {synthesis.stride}")
        self.analysis, self.prior, self.synthesis, self.motion = analysis, prior, synthesis, motion
        self.latent_dim, self.stride = latent_dim, analysis.stride


@dataclass(frozen=True)
class Reference:
    """What is left of a decoded frame for the next one.

    Attributes:
        picture: float `(1, 3, H, W)` in [0, 1], sides multiples of the stride; None where only codes are read.
        codes: what was coded, plane by plane; of frames that follow others vectors come first.
        past: of the latents; None after an intra frame.
        motion: int64 `(2, rows, columns)`, the vectors; None after an intra frame.
    """

    picture: Tensor | None
    codes: list[NDArray[np.int64]]
    past: Past | None = None
    motion: NDArray[np.int64] | None = None


class JointWriter:
    """Codes all planes of all frames of a group into one stream.

    Attributes:
        bits: what was pushed so far, by its tables.
    """

    def __init__(self) -> None:
        self._encoder, self._length = Encoder(), CodeLength()

    @property
    def bits(self) -> float:
        """See the class text."""
        return self._length.bits

    def record(self, step: Step, symbols: NDArray[np.int64]) -> None:
        """Push."""
        step.tables.push(self._encoder, symbols)
        self._length.record(step, symbols)

    def finish(self) -> bytes:
        """The stream."""
        return self._encoder.finish()


class JointStream:
    """The way back.

    Args:
        stream: of one group.
    """

    def __init__(self, stream: bytes) -> None:
        self._decoder = Decoder(stream)

    def symbols(self, step: Step) -> NDArray[np.int64]:
        """Pull."""
        return step.tables.pull(self._decoder)

    def finish(self) -> None:
        """Raise unless the stream ended where its encoder began."""
        self._decoder.finish()


class FrameCoder:
    """Codes and decodes frames of one size; every method gives the reference for the next frame.

    Args:
        intra: codec of pictures.
        inter: of frames that follow others.
        size: height and width in pixels.
        price: of a bit when rounding, see `RoundedLatent`.
        pixels: make pictures; without, only codes are read.
    """

    def __init__(
        self, intra: LatentCodec, inter: InterCodec, size: tuple[int, int], price: float, *, pixels: bool = True
    ) -> None:
        self._intra, self._inter, self._price, self._pixels = intra, inter, price, pixels
        self._grid = (-(-size[0] // intra.stride), -(-size[1] // intra.stride))
        self._blocks = motion_grid(*(side * intra.stride for side in self._grid))
        self._device = next(inter.parameters()).device

    def padded(self, frame: Tensor) -> Tensor:
        """A frame uint8 `(3, H, W)` as float `(1, 3, …)` in [0, 1]; its last row and column repeat up to whole positions."""
        down, right = (side * self._intra.stride - have for side, have in zip(self._grid, frame.shape[1:], strict=True))
        return F.pad(frame[None].float() / 255, (0, right, 0, down), mode="replicate")

    def encode_intra(self, x: Tensor, gain: int, *recorders: Recorder) -> Reference:
        """A padded frame by itself; recorders see all that a stream must hold."""
        prior = self._intra.prior
        planes = prior.analyse(self._intra.analyse(x), gain)
        return self._intra_reference(gain, RoundedLatent(_flat(planes), self._price), *recorders)

    def decode_intra(self, gain: int, source: Source) -> Reference:
        """The same from a stream."""
        return self._intra_reference(gain, source)

    @torch.inference_mode()
    def encode_inter(self, x: Tensor, before: Reference, gain: int, *recorders: Recorder) -> Reference:
        """A padded frame given the one before."""
        assert before.picture is not None
        past = None if before.motion is None else torch.from_numpy(before.motion)
        worth = motion_price(float(self._intra.distortion_price(torch.tensor(gain / FINEST))))
        wanted = find_motion(x[0], before.picture[0], worth, past)
        motion = self._code_motion(before, RoundedLatent(_flat([wanted.double()])), *recorders)
        prediction, levels = self._predicted(before, motion), self._levels(gain)
        latent = self._inter.analysis(x.to(self._device), prediction, levels).cpu()
        layout = self._layout(before, motion, gain)
        source = RoundedLatent(_flat(self._inter.prior.analyse(latent, gain)), self._price)
        return self._inter_reference(layout, before, motion, prediction, source, *recorders)

    def grids(self) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
        """Of the planes of an intra frame, and of one that follows another."""
        intra, inter = (prior.layout(self._grid).grids for prior in (self._intra.prior, self._inter.prior))
        return list(intra), [(2, *self._blocks), *inter]

    @torch.inference_mode()
    def decode_inter(self, before: Reference, gain: int, source: Source) -> Reference:
        """The same from a stream."""
        motion = self._code_motion(before, source)
        prediction = self._predicted(before, motion) if self._pixels else None
        return self._inter_reference(self._layout(before, motion, gain), before, motion, prediction, source)

    def _intra_reference(self, gain: int, source: Source, *recorders: Recorder) -> Reference:
        prior = self._intra.prior
        layout = prior.layout(self._grid, gain)
        known = walk(prior, layout, source, *recorders)
        if not self._pixels:
            return Reference(None, known.codes)
        latent, levels = prior.dequantise(layout, known)[None], prior.levels(layout, known)[None, None]
        return Reference(self._intra.synthesise(latent, levels), known.codes)

    def _code_motion(self, before: Reference, source: Source, *recorders: Recorder) -> NDArray[np.int64]:
        """The vectors `(2, rows, columns)`."""
        prior = self._inter.motion
        layout = prior.layout(self._blocks, past=before.motion)
        known = walk(prior, layout, source, *recorders)
        return known.latents[0].reshape(layout.grids[0]) // FIXED_POINT

    def _layout(self, before: Reference, motion: NDArray[np.int64], gain: int) -> Layout:
        past = None if before.past is None else before.past.planes(finer(motion, self._grid), UNIT)
        return self._inter.prior.layout(self._grid, gain, past)

    def _predicted(self, before: Reference, motion: NDArray[np.int64]) -> Tensor:
        assert before.picture is not None
        return predict(before.picture, torch.from_numpy(motion)[None]).to(self._device)

    def _levels(self, gain: int) -> Tensor:
        return torch.full((1, 1, *self._grid), gain / FINEST, device=self._device)

    def _inter_reference(
        self,
        layout: Layout,
        before: Reference,
        motion: NDArray[np.int64],
        prediction: Tensor | None,
        source: Source,
        *recorders: Recorder,
    ) -> Reference:
        prior = self._inter.prior
        known: Known = walk(prior, layout, source, *recorders)
        latents = prior.normalised(layout, known)
        past = before.past if before.past is not None else Past(latents * 0, latents * 0)
        picture = None if prediction is None else self._picture(layout, known, prediction)
        return Reference(picture, [motion.ravel(), *known.codes], past.then(latents), motion)

    def _picture(self, layout: Layout, known: Known, prediction: Tensor) -> Tensor:
        prior = self._inter.prior
        n, levels = (part.to(self._device) for part in (prior.dequantise(layout, known), prior.levels(layout, known)))
        return self._inter.synthesis(n[None], levels[None, None], prediction).clamp(0, 1).cpu()


def motion_price(price: float) -> float:
    """Absolute difference over a block that a bit of a vector is worth, where a squared error of 1 is worth `price` bits a pixel.

    In the sum of squares a bit is worth 1 / price; in that of magnitudes, as in other encoders, its root.
    """
    return float(np.sqrt(1 / price))


def finer(motion: NDArray[np.int64], grid: tuple[int, int]) -> NDArray[np.int64]:
    """Vectors of blocks `(2, rows, columns)` for each position of a latent."""
    repeated = motion.repeat(BLOCK_POSITIONS, 1).repeat(BLOCK_POSITIONS, 2)
    return np.ascontiguousarray(repeated[:, : grid[0], : grid[1]])


def _flat(planes: list[Tensor]) -> Planes:
    return [plane.reshape(-1).numpy().astype(np.float64) for plane in planes]
