"""VideoLatentCodec: a picture codec for frames by themselves, another for frames that follow one; one model for every rate.

frame ─search─► vectors ─motion prior─► bytes          decoded frame ─vectors─► prediction
frame ─analysis, given the prediction─► latent ─prior, given past integers─► bytes
frame ◄─synthesis, given the prediction─ latent ◄──────────────────────────── bytes
"""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from codec.container.head import HASH_BYTES
from codec.entropy import FIXED_POINT, EntropyModel, GivenCodes, Step
from codec.errors import UsageError
from codec.models.base import PLAIN, Encoding, PriorName
from codec.models.hashing import digest, model_tensors, module_classes
from codec.models.latent import LatentCodec
from codec.models.rate import gain_of
from codec.models.video import VideoFiles
from codec.models.video_frame import FrameCoder, InterCodec
from codec.models.video_groups import MOST_FRAMES, GroupReader, GroupWriter
from codec.models.video_rate import ConstantBitrate, ConstantQuality, RateControl, Structure
from codec.models.video_writing import Group
from codec.types import Codes, Plane

SECTION_BITS = 8 * 14  # of a group beside its payload


class VideoLatentCodec(VideoFiles, nn.Module):
    """Continuous-rate codec for video, frame after frame: nothing waits for later ones but those of a group.

    Args:
        intra: codec of pictures, for first frames, cuts, and entries for readers that seek.
        inter: of frames that follow others.
        group: frames of a section of a file, which share its cost.
        structure: of quality in time.
        price: of a bit when rounding, see `RoundedLatent`.
    """

    def __init__(
        self,
        intra: LatentCodec,
        inter: InterCodec,
        *,
        group: int = 8,
        structure: Structure | None = None,
        price: float = 0.05,
    ) -> None:
        super().__init__()
        if not 1 <= group <= MOST_FRAMES:
            raise ValueError(f"a group has 1 to {MOST_FRAMES} frames, got {group}")
        if intra.stride != inter.stride:
            raise ValueError(f"the intra codec's stride is {intra.stride} but that of other frames is {inter.stride}")
        self.intra, self.inter, self.group, self.price = intra, inter, group, price
        self.structure = structure if structure is not None else Structure()
        self.stride = intra.stride
        self._sealed: bytes | None = None

    def groups(self, frames: Iterable[Tensor], rate: Fraction, encoding: Encoding = PLAIN) -> Iterator[Group]:
        """Frames uint8 `(3, H, W)` of one size to groups, as they come."""
        coder: GroupWriter | None = None
        for frame in frames:
            if coder is None:
                size = (frame.shape[1], frame.shape[2])
                coder = GroupWriter(self._coder(size), self._control(rate, encoding), self.structure, self.group)
            yield from coder.push(frame)
        if coder is not None:
            yield from coder.flush()

    def reader(self, size: tuple[int, int], coding_hash: bytes) -> GroupReader:
        """Of the groups of a video of this height and width."""
        return GroupReader(self._coder(size), size)

    def codes_reader(self, size: tuple[int, int], coding_hash: bytes) -> GroupReader:
        """The same without pictures."""
        return GroupReader(FrameCoder(self.intra, self.inter, size, self.price, pixels=False), size)

    def encode(self, x: Tensor, quality: int | None = None) -> Codes:
        """A clip uint8 `(1, 3, T, H, W)` to codes at a quality of 1 to 100: one intra frame, all others follow.

        Returns:
            Planes of the intra frame `(1, *grid)`, then vectors and planes of the others `(1, T - 1, *grid)`.
        """
        if x.ndim != 5 or x.shape[:2] != (1, 3) or x.dtype != torch.uint8:
            raise ValueError(f"expected frames uint8 (1, 3, T, H, W), got {x.dtype} {tuple(x.shape)}")
        coder, gain = self._coder((x.shape[3], x.shape[4])), gain_of(quality)
        gains = self._gains(gain, x.shape[2])
        before = coder.encode_intra(coder.padded(x[0, :, 0]), gains[0])
        coded = [before.codes]
        for t in range(1, x.shape[2]):
            before = coder.encode_inter(coder.padded(x[0, :, t]), before, gains[t])
            coded.append(before.codes)
        intra, inter = coder.grids()
        planes = [torch.from_numpy(codes).view(1, *grid) for codes, grid in zip(coded[0], intra, strict=True)]
        for p, grid in enumerate(inter if len(coded) > 1 else []):
            planes.append(torch.from_numpy(np.stack([codes[p] for codes in coded[1:]])).view(1, -1, *grid))
        return Codes(tuple(Plane(plane, 0) for plane in planes), gain=gain)

    def decode(self, codes: Codes) -> Tensor:
        """Codes to pixels `(1, 3, T, h * stride, w * stride)`, float in [0, 1]; the caller crops to the true size."""
        first = len(self.intra.prior.codebook_sizes)
        rows, columns = codes.planes[first - 1].codes.shape[-2:]
        coder = self._coder((rows * self.stride, columns * self.stride))
        intra, inter = (
            [plane.codes[0].numpy() for plane in part] for part in (codes.planes[:first], codes.planes[first:])
        )
        frames = len(inter[0]) if inter else 0
        gains = self._gains(codes.gain or 0, 1 + frames)
        before = coder.decode_intra(gains[0], GivenCodes([plane.ravel() for plane in intra]))
        pictures = [before.picture]
        for t in range(frames):
            flat = [plane[t].ravel() for plane in inter]
            before = coder.decode_inter(before, gains[1 + t], _Frame(flat), GivenCodes(flat[-1:]))
            pictures.append(before.picture)
        return torch.stack([cast(Tensor, picture) for picture in pictures], 2)

    def _gains(self, gain: int, frames: int) -> list[int]:
        """Of the frames of a clip."""
        control = ConstantQuality(gain)
        return [control.gain(self.structure.offset(t), intra=t == 0) for t in range(frames)]

    @property
    def alphabets(self) -> tuple[int, ...]:
        """Of the planes that a head lists: vectors, those of a frame, and flags of kept blocks."""
        flags = () if self.inter.kept is None else self.inter.kept.codebook_sizes
        return (0,) * (1 + len(self.inter.prior.codebook_sizes)) + flags

    def check(self, encoding: Encoding) -> None:
        """Refuse what it cannot do."""
        encoding.check_video()
        if encoding.prior not in (None, "learned"):
            raise UsageError(f"this model has no {encoding.prior} prior, only its own")

    def _control(self, rate: Fraction, encoding: Encoding) -> RateControl:
        gain = gain_of(encoding.quality)
        if encoding.bitrate is None:
            return ConstantQuality(gain)
        bits = encoding.bitrate / float(rate) - SECTION_BITS / self.group
        return ConstantBitrate(max(64.0, bits), float(rate), self.structure.period, gain)

    def _coder(self, size: tuple[int, int]) -> FrameCoder:
        return FrameCoder(self.intra, self.inter, size, self.price)

    def priors(self) -> dict[PriorName, EntropyModel]:
        """The one of frames that follow others."""
        return {"learned": self.inter.prior}

    def coded_with(self) -> dict[PriorName, EntropyModel]:
        """The same."""
        return self.priors()

    def coding_hash(self, prior: PriorName = "learned") -> bytes:
        """SHA-256 of all that a decoder must share to read the codes: geometry, and the integers of all priors."""
        if self._sealed is not None and not self.training:
            return self._sealed
        parts = {"intra": self.intra.prior, "inter": self.inter.prior, "motion": self.inter.motion}
        parts |= {} if self.inter.kept is None else {"kept": self.inter.kept}
        facts = {"codec": type(self).__name__, "stride": self.stride} | {
            name: module_classes(part) for name, part in parts.items()
        }
        integers = {
            name: ((key, tensor) for key, tensor in model_tensors(part) if not tensor.is_floating_point())
            for name, part in parts.items()
        }
        return digest(facts, integers)

    def hash_of(self, encoding: Encoding) -> bytes:
        """The one that it has."""
        return self.coding_hash()

    def hashes(self) -> frozenset[bytes]:
        """That one, as heads have it."""
        return frozenset({self.coding_hash()[:HASH_BYTES]})

    def seal(self) -> None:
        """Remember the coding hash: from now on the integers do not change, until `train` is called."""
        self._sealed = None
        self._sealed = self.coding_hash()

    def train(self, mode: bool = True) -> "VideoLatentCodec":
        """As of any module; training breaks the seal."""
        self._sealed = None if mode else self._sealed
        return super().train(mode)

    def float_twins(self) -> frozenset[str]:
        """Floats of the priors, which follow from their integers."""
        own = {"inter.prior": self.inter.prior.float_twins(), "inter.motion": self.inter.motion.float_twins()}
        if self.inter.kept is not None:
            own["inter.kept"] = self.inter.kept.float_twins()
        found = {f"{part}.{name}" for part, names in own.items() for name in names}
        return frozenset(found | {f"intra.{name}" for name in self.intra.float_twins()})

    def thaw(self) -> None:
        """Make them."""
        self.intra.thaw()
        self.inter.prior.thaw()
        self.inter.motion.thaw()
        if self.inter.kept is not None:
            self.inter.kept.thaw()


class _Frame:
    """Codes that are there of a frame that follows another: vectors first, then its planes.

    Args:
        planes: flat int64; of vectors in whole steps.
    """

    def __init__(self, planes: list[NDArray[np.int64]]) -> None:
        self._motion, self._rest = planes[0], GivenCodes(planes[1:])
        self._left = planes[0].size

    def symbols(self, step: Step) -> NDArray[np.int64]:
        """A vector less what was expected, or the code at each position."""
        if not self._left:
            return self._rest.symbols(step)
        assert step.means is not None
        self._left -= len(step.where)
        return self._motion[step.where] - step.means // FIXED_POINT
