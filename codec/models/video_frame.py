"""One frame of video at a time: intra as a picture, inter from a prediction; what the next frame may refer to."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from codec.coding import Decoder, Encoder
from codec.entropy import (
    CodeLength,
    FlagPrior,
    GivenCodes,
    GroupedLatentPrior,
    Known,
    Layout,
    MotionPrior,
    Past,
    RoundedLatent,
    Step,
    walk,
)
from codec.entropy.base import FIXED_POINT
from codec.entropy.driver import Recorder, Source
from codec.entropy.levels import FINEST
from codec.models.latent import LatentCodec
from codec.models.video_kept import BESIDE, BLOCK_POSITIONS, LARGE, beside_kept, kept_blocks, with_kept
from codec.nn import find_motion, motion_grid, predict

Planes = list[NDArray[np.float64]]
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
        kept: prior of flags that keep a block as it was predicted; None for models that keep none.
    """

    def __init__(
        self,
        analysis: InterAnalysis,
        prior: GroupedLatentPrior,
        synthesis: InterSynthesis,
        motion: MotionPrior,
        *,
        latent_dim: int,
        kept: FlagPrior | None = None,
    ) -> None:
        super().__init__()
        if prior.channels != latent_dim:
            raise ValueError(f"latent_dim is {latent_dim} but the prior is for {prior.channels} channels")
        if prior.past is None:
            raise ValueError("the prior of frames that follow others needs a past")
        if analysis.stride != synthesis.stride:
            raise ValueError(f"the analysis' stride is {analysis.stride} but the synthesis' is {synthesis.stride}")
        if kept is not None and kept.planes != BESIDE:
            raise ValueError(f"the prior of kept blocks sees {BESIDE} planes, it is for {kept.planes}")
        self.analysis, self.prior, self.synthesis, self.motion, self.kept = analysis, prior, synthesis, motion, kept
        self.latent_dim, self.stride = latent_dim, analysis.stride


@dataclass(frozen=True)
class Reference:
    """What is left of a decoded frame for the next one.

    Attributes:
        picture: float `(1, 3, H, W)` in [0, 1], sides multiples of the stride; None where only codes are read.
        codes: what was coded, plane by plane; of frames that follow others vectors come first, flags of kept blocks last.
        past: of the latents; None after an intra frame.
        motion: int64 `(2, rows, columns)`, the vectors; None after an intra frame.
        kept: int64 `(rows, columns)`, 1 where a block stayed as it was predicted; None after an intra frame, and of models that
            keep none.
    """

    picture: Tensor | None
    codes: list[NDArray[np.int64]]
    past: Past | None = None
    motion: NDArray[np.int64] | None = None
    kept: NDArray[np.int64] | None = None


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
        price = self._intra.distortion_price(torch.tensor([gain / FINEST]))
        wanted = find_motion(x[0], before.picture[0], motion_price(float(price)), past)
        motion = self._code_motion(before, RoundedLatent(_flat([wanted.double()])), *recorders)
        prediction, levels = self._predicted(before, motion), self._levels(gain)
        latent = self._inter.analysis(x.to(self._device), prediction, levels).cpu()
        layout = self._layout(before, motion, gain)
        source = RoundedLatent(_flat(self._inter.prior.analyse(latent, gain)), self._price)
        known = walk(self._inter.prior, layout, source, *recorders)
        picture = self._picture(layout, known, prediction)
        stays = None
        if self._inter.kept is not None:
            last = None if before.kept is None else torch.from_numpy(before.kept)[None]
            flags = kept_blocks(x, picture, prediction.cpu(), price, torch.from_numpy(motion)[None], last)
            stays = GivenCodes([flags[0].numpy().ravel()])
        kept = self._code_kept(layout, known, before, motion, stays, *recorders)
        return self._inter_reference(layout, known, before, motion, kept, picture, prediction)

    def grids(self) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
        """Of the planes of an intra frame, and of one that follows another."""
        intra, inter = (prior.layout(self._grid).grids for prior in (self._intra.prior, self._inter.prior))
        flags = [] if self._inter.kept is None else [self._blocks]
        return list(intra), [(2, *self._blocks), *inter, *flags]

    @torch.inference_mode()
    def decode_inter(self, before: Reference, gain: int, source: Source, flags: Source | None = None) -> Reference:
        """The same from a stream; flags of kept blocks may come from elsewhere."""
        motion = self._code_motion(before, source)
        prediction = self._predicted(before, motion) if self._pixels else None
        layout = self._layout(before, motion, gain)
        known = walk(self._inter.prior, layout, source)
        kept = self._code_kept(layout, known, before, motion, source if flags is None else flags)
        picture = None if prediction is None else self._picture(layout, known, prediction)
        return self._inter_reference(layout, known, before, motion, kept, picture, prediction)

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

    def _code_kept(
        self,
        layout: Layout,
        known: Known,
        before: Reference,
        motion: NDArray[np.int64],
        source: Source | None,
        *recorders: Recorder,
    ) -> NDArray[np.int64] | None:
        """The flags `(rows, columns)`; None where the model keeps no blocks."""
        inter = self._inter
        if inter.kept is None or source is None:
            return None
        sizes = np.abs(inter.prior.normalised(layout, known))
        large = torch.from_numpy((sizes >= LARGE).sum(0))[None]
        seen = beside_kept(
            large,
            torch.from_numpy(motion)[None],
            None if before.kept is None else torch.from_numpy(before.kept)[None],
            torch.tensor([layout.gain]),
        )
        found = walk(inter.kept, inter.kept.layout(self._blocks, seen[0].numpy()), source, *recorders)
        return found.codes[0].reshape(self._blocks)

    def _inter_reference(
        self,
        layout: Layout,
        known: Known,
        before: Reference,
        motion: NDArray[np.int64],
        kept: NDArray[np.int64] | None,
        picture: Tensor | None,
        prediction: Tensor | None,
    ) -> Reference:
        latents = self._inter.prior.normalised(layout, known)
        past = before.past if before.past is not None else Past(latents * 0, latents * 0)
        codes = [motion.ravel(), *known.codes]
        if kept is not None:
            codes.append(kept.ravel())
            if picture is not None and prediction is not None:
                picture = with_kept(torch.from_numpy(kept)[None], prediction.cpu(), picture)
        return Reference(picture, codes, past.then(latents), motion, kept)

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
