"""Chunks of a tokenized video: layers of codes in one section of a file, and back to frames."""

import io
from collections.abc import Iterator, Sequence
from typing import Protocol, cast

import torch
from torch import Tensor

from codec.container.byte_reader import ByteReader, pack_varint
from codec.entropy import EntropyModel, Layout, walk
from codec.entropy.driver import is_outside, source_of
from codec.errors import BitstreamError
from codec.models.video_frame import JointStream, JointWriter
from codec.models.video_scenes import Layer, SceneDecoder, SceneModel
from codec.models.video_writing import Group

_SCENE = 1


class ChunkModel(SceneModel, Protocol):
    """And what chunks need.

    Attributes:
        chunk: groups of frames in one.
    """

    chunk: int


def write_chunk(prior: EntropyModel, layers: Sequence[Layer], first: int) -> Group:
    """The codes of some layers, of which the first frame has an index."""
    count, entry = sum(layer.frames for layer in layers), layers[0].begins
    planes = list(torch.stack([layer.codes for layer in layers]).movedim(-1, 0).contiguous())
    writer = JointWriter()
    walk(prior, Layout(tuple(tuple(plane.shape) for plane in planes)), source_of(prior, planes), writer)
    return Group(first, count, pack_varint(2 * count + entry) + writer.finish(), entry)


class ChunkReader:
    """Chunks of one video to frames.

    Args:
        model: of the codec.
        prior: that the file names.
        size: height and width.
        pixels: make pictures; without, codes.

    Attributes:
        grid: rows and columns of a layer.
        begins: whether a scene began with the layer that was read last.
    """

    def __init__(self, model: ChunkModel, prior: EntropyModel, size: tuple[int, int], *, pixels: bool) -> None:
        self._model, self._prior, self._size, self._pixels = model, prior, size, pixels
        self.grid = tuple(-(-side // model.stride) for side in size)
        self.begins = True
        self._scene: SceneDecoder | None = None

    def forget(self) -> None:
        """What comes next does not follow what came last."""
        self._scene = None

    def can_read(self, payload: bytes) -> bool:
        """Whether it follows what is known, or needs nothing."""
        return self._scene is not None or bool(payload[:1] and payload[0] & _SCENE)

    def read(self, payload: bytes, title: str) -> Iterator[Tensor]:
        """Frames uint8 `(3, H, W)`; without pixels a group's codes, flat int64, for its first frame, and nothing for others."""
        source = ByteReader(io.BytesIO(payload))
        source.begin(title)
        front = source.take_varint()
        count, begins = front // 2, bool(front & _SCENE)
        if begins:
            self._scene = SceneDecoder(self._model)
        if self._scene is None:
            raise BitstreamError("it follows frames that are not there", title)
        try:
            codes = self._codes(payload[source.position :], count, begins=begins)
            left = count
            for group in codes:
                self.begins = begins and left == count
                frames = self._frames(group, 1 if self.begins else self._model.group)
                yield from frames[:left]
                left -= min(left, len(frames))
        except BitstreamError as error:
            self._scene = None
            raise type(error)(str(error), title) from error

    def _codes(self, stream: bytes, count: int, *, begins: bool) -> Tensor:
        """`(groups, h, w, Q)` of so many frames."""
        most = self._model.chunk * self._model.group
        if not 1 <= count <= most:
            raise BitstreamError(f"a chunk has 1 to {most} frames, this one {count}")
        groups = -(-(count - 1) // self._model.group) + 1 if begins else -(-count // self._model.group)
        source = JointStream(stream)
        layout = Layout(((groups, *self.grid),) * len(self._prior.codebook_sizes))
        known = walk(self._prior, layout, source)
        source.finish()
        for codes, alphabet in zip(known.codes, self._prior.codebook_sizes, strict=True):
            if is_outside(codes, alphabet):
                raise BitstreamError(f"codes leave [0, {alphabet})")
        return torch.stack([torch.from_numpy(codes).view(groups, *self.grid) for codes in known.codes], -1)

    def _frames(self, codes: Tensor, count: int) -> list[Tensor]:
        if not self._pixels:
            return [codes.flatten(), *[codes.new_empty(0)] * (count - 1)]
        height, width = self._size
        frames = cast(SceneDecoder, self._scene).push(codes)[..., :height, :width]
        return [frame.contiguous() for frame in frames.mul(255).round_().to(torch.uint8).unbind(1)]
