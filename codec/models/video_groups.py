"""Groups of frames of a VideoLatentCodec: each is one section of a file, a front of gains and one joint stream."""

import io
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from codec.container.byte_reader import ByteReader, pack_varint
from codec.entropy.levels import FINEST
from codec.errors import BitstreamError
from codec.models.video_frame import FrameCoder, JointStream, JointWriter, Reference
from codec.models.video_rate import CutDetector, RateControl, Structure
from codec.models.video_writing import Group

_INTRA = 1
MOST_FRAMES = 1 << 12  # of a group


class GroupWriter:
    """Frames of one video to groups.

    Args:
        coder: of frames of this size.
        control: of their quality.
        structure: of it in time.
        group: frames of one group, at most.
    """

    def __init__(self, coder: FrameCoder, control: RateControl, structure: Structure, group: int) -> None:
        self._coder, self._control, self._structure, self._group = coder, control, structure, group
        self._cuts = CutDetector()
        self._before: Reference | None = None
        self._writer, self._gains, self._entry = JointWriter(), list[int](), True
        self._first = self._count = self._since = 0

    def push(self, frame: Tensor) -> Iterator[Group]:
        """Code one frame; a group that ends with it, or before it."""
        cut = self._cuts.is_cut(frame)
        intra = self._before is None or cut or self._since >= self._structure.period
        if intra:
            yield from self.flush()
            self._since, self._entry = 0, True
        gain = self._control.gain(self._structure.offset(self._since), intra=intra)
        x, bits = self._coder.padded(frame), self._writer.bits
        if self._before is None or intra:
            self._before = self._coder.encode_intra(x, gain, self._writer)
        else:
            self._before = self._coder.encode_inter(x, self._before, gain, self._writer)
        self._control.spent(self._writer.bits - bits, intra=intra)
        self._gains.append(gain)
        self._since, self._count = self._since + 1, self._count + 1
        if len(self._gains) >= self._group:
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
        if not 0 <= before <= FINEST:
            raise BitstreamError(f"a gain lies in 0..{FINEST}, got {before}", title)
        gains.append(before)
    return bool(first & _INTRA), gains
