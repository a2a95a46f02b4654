"""VideoLatentCodec: a picture codec for frames by themselves, another for frames that follow one; one model for every rate.

frame ─search─► vectors ─motion prior─► bytes          decoded frame ─vectors─► prediction
frame ─analysis, given the prediction─► latent ─prior, given past integers─► bytes
frame ◄─synthesis, given the prediction─ latent ◄──────────────────────────── bytes
"""

import io
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from codec.container.byte_reader import ByteReader, pack_varint
from codec.container.head import HASH_BYTES
from codec.entropy import FIXED_POINT, EntropyModel, GivenCodes, Step
from codec.entropy.levels import FINEST
from codec.errors import BitstreamError, UsageError
from codec.models.base import PLAIN, Encoding, PriorName
from codec.models.hashing import digest, model_tensors, module_classes
from codec.models.latent import LatentCodec
from codec.models.rate import gain_of
from codec.models.video import VideoFiles
from codec.models.video_frame import FrameCoder, InterCodec, JointStream, JointWriter, Reference
from codec.models.video_rate import ConstantBitrate, ConstantQuality, CutDetector, RateControl, Structure
from codec.models.video_writing import Group
from codec.types import Codes, Plane

_INTRA = 1
MOST_FRAMES = 1 << 12  # of a group
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
        coder: _GroupWriter | None = None
        for frame in frames:
            if coder is None:
                size = (frame.shape[1], frame.shape[2])
                coder = _GroupWriter(self, self._coder(size), self._control(rate, encoding))
            yield from coder.push(frame)
        if coder is not None:
            yield from coder.flush()

    def reader(self, size: tuple[int, int], coding_hash: bytes) -> "GroupReader":
        """Of the groups of a video of this height and width."""
        return GroupReader(self._coder(size), size)

    def codes_reader(self, size: tuple[int, int], coding_hash: bytes) -> "GroupReader":
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
        before = coder.encode_intra(coder.padded(x[0, :, 0]), self._gain_at(gain, 0), JointWriter())
        coded = [before.codes]
        for t in range(1, x.shape[2]):
            before = coder.encode_inter(coder.padded(x[0, :, t]), before, self._gain_at(gain, t), JointWriter())
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
        coder, gain = self._coder((rows * self.stride, columns * self.stride)), codes.gain or 0
        intra, inter = (
            [plane.codes[0].numpy() for plane in part] for part in (codes.planes[:first], codes.planes[first:])
        )
        before = coder.decode_intra(self._gain_at(gain, 0), GivenCodes([plane.ravel() for plane in intra]))
        pictures = [before.picture]
        for t in range(len(inter[0]) if inter else 0):
            flat = [plane[t].ravel() for plane in inter]
            before = coder.decode_inter(before, self._gain_at(gain, t + 1), _Frame(flat))
            pictures.append(before.picture)
        return torch.stack([cast(Tensor, picture) for picture in pictures], 2)

    def _gain_at(self, gain: int, t: int) -> int:
        return min(FINEST, max(0, gain + self.structure.offset(t)))

    @property
    def alphabets(self) -> tuple[int, ...]:
        """Of the planes that a head lists: vectors, and those of a frame."""
        return (0,) * (1 + len(self.inter.prior.codebook_sizes))

    def check(self, encoding: Encoding) -> None:
        """Refuse what it cannot do."""
        asked = {
            "a target": any(
                target is not None for target in (encoding.target_bytes, encoding.target_bpp, encoding.target_psnr)
            ),
            "a region of interest": encoding.roi is not None,
            "effort": encoding.effort > 0,
            "progressive order": encoding.progressive,
            "a packet length": encoding.packet_ms is not None,
        }
        for name, given in asked.items():
            if given:
                raise UsageError(f"this is a model of video with a quality or a bitrate; {name} is not for it")
        if encoding.quality is not None and encoding.bitrate is not None:
            raise UsageError("quality and bitrate exclude each other")
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
        found = {f"{part}.{name}" for part, names in own.items() for name in names}
        return frozenset(found | {f"intra.{name}" for name in self.intra.float_twins()})

    def thaw(self) -> None:
        """Make them."""
        self.intra.thaw()
        self.inter.prior.thaw()
        self.inter.motion.thaw()


class _GroupWriter:
    """Frames of one video to groups.

    Args:
        model: for its structure.
        coder: of frames of this size.
        control: of their quality.
    """

    def __init__(self, model: VideoLatentCodec, coder: FrameCoder, control: RateControl) -> None:
        self._model, self._coder, self._control = model, coder, control
        self._cuts = CutDetector()
        self._before: Reference | None = None
        self._writer, self._gains, self._entry = JointWriter(), list[int](), True
        self._first = self._count = self._since = 0

    def push(self, frame: Tensor) -> Iterator[Group]:
        """Code one frame; a group that ends with it, or before it."""
        cut = self._cuts.is_cut(frame)
        intra = self._before is None or cut or self._since >= self._model.structure.period
        if intra:
            yield from self.flush()
            self._since, self._entry = 0, True
        gain = self._control.gain(self._model.structure.offset(self._since), intra=intra)
        x, bits = self._coder.padded(frame), self._writer.bits
        if self._before is None or intra:
            self._before = self._coder.encode_intra(x, gain, self._writer)
        else:
            self._before = self._coder.encode_inter(x, self._before, gain, self._writer)
        self._control.spent(self._writer.bits - bits, intra=intra)
        self._gains.append(gain)
        self._since, self._count = self._since + 1, self._count + 1
        if len(self._gains) >= self._model.group:
            yield from self.flush()

    def flush(self) -> Iterator[Group]:
        """The group that is open, if there is one."""
        if not self._gains:
            return
        payload = _front(self._gains, intra=self._entry) + self._writer.finish()
        yield Group(self._first, len(self._gains), payload, self._entry)
        self._writer, self._gains, self._entry, self._first = JointWriter(), [], False, self._count


class GroupReader:
    """Groups of one video to frames.

    Args:
        coder: of frames of this size.
        size: height and width.
    """

    def __init__(self, coder: FrameCoder, size: tuple[int, int]) -> None:
        self._coder, self._size = coder, size
        self._before: Reference | None = None

    def forget(self) -> None:
        """What comes next does not follow what came last."""
        self._before = None

    def can_read(self, payload: bytes) -> bool:
        """Whether it follows what is known, or needs nothing."""
        return self._before is not None or bool(payload[:1] and payload[0] & _INTRA)

    def read(self, payload: bytes, title: str) -> Iterator[Tensor]:
        """Frames uint8 `(3, H, W)`, or their codes, flat int64.

        Args:
            payload: of a section.
            title: by which errors name it.
        """
        source = ByteReader(io.BytesIO(payload))
        source.begin(title)
        intra, gains = _read_front(source, title)
        try:
            stream = JointStream(payload[source.position :])
            for t, gain in enumerate(gains):
                if t == 0 and intra:
                    self._before = self._coder.decode_intra(gain, stream)
                elif self._before is None:
                    raise BitstreamError("it follows frames that are not there", title)
                else:
                    self._before = self._coder.decode_inter(self._before, gain, stream)
                yield self._frame(self._before)
            stream.finish()
        except BitstreamError as error:
            self._before = None
            raise type(error)(str(error), title) from error

    def _frame(self, reference: Reference) -> Tensor:
        if reference.picture is None:
            return torch.from_numpy(np.concatenate(reference.codes))
        height, width = self._size
        return reference.picture[0, :, :height, :width].mul(255).round_().to(torch.uint8)


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


def _front(gains: list[int], *, intra: bool) -> bytes:
    """Number of frames and whether the first is intra, then each frame's gain less the one before it."""
    numbers = [2 * len(gains) + intra]
    before = 0
    for gain in gains:
        change = gain - before
        numbers.append(2 * change if change >= 0 else -2 * change - 1)
        before = gain
    return b"".join(map(pack_varint, numbers))


def _read_front(source: ByteReader, title: str) -> tuple[bool, list[int]]:
    """The reverse."""
    first = source.take_varint()
    count, gains, before = first // 2, list[int](), 0
    if not 1 <= count <= MOST_FRAMES:
        raise BitstreamError(f"a group has 1 to {MOST_FRAMES} frames, this one {count}", title)
    for _ in range(count):
        number = source.take_varint()
        before += number // 2 if number % 2 == 0 else -(number + 1) // 2
        if not 0 <= before <= 1023:
            raise BitstreamError(f"a gain lies in 0..1023, got {before}", title)
        gains.append(before)
    return bool(first & _INTRA), gains
