"""VideoTokenCodec: causal encoder, quantizer, decoder and token prior; frames become groups of codes and come back.

frames ─encoder, with its state─► latent ─quantizer.encode─► codes ─prior, chunk by chunk─► bytes
frames ◄─decoder, with its state─ vectors ◄─quantizer.decode─ codes ◄──────────────── prior ◄─ bytes

A scene is a stretch of frames in a row, from a cut or after so many: both states begin anew there, so it can be decoded by itself.
Its first frame is a group alone, so that a picture is a video of one frame; all other groups have as many as the encoder takes.
"""

import io
from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Any, Protocol, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from codec.container.byte_reader import ByteReader, pack_varint
from codec.entropy import EntropyModel, Layout, StaticTokenPrior, walk
from codec.entropy.driver import is_outside, source_of
from codec.errors import BitstreamError, UsageError
from codec.models.base import PLAIN, Encoding
from codec.models.tokenizer import Tokenizer
from codec.models.video import VideoFiles
from codec.models.video_frame import JointStream, JointWriter
from codec.models.video_rate import CutDetector
from codec.models.video_writing import Group
from codec.quantizers import Quantizer
from codec.types import Codes, Plane

State = Any  # what a causal network has seen: its own affair
_SCENE = 1


class CausalNetwork(Protocol):
    """Half of an autoencoder: `group` frames of `stride` pixels a side to a position, given what came before.

    Attributes:
        stride: pixels a position.
        group: frames a position.
    """

    stride: int
    group: int

    def __call__(self, x: Tensor, state: State = None) -> tuple[Tensor, State]:
        """Frames `(B, 3, G * group, H, W)` to latents `(B, D, G, h, w)`, or back, and the state after them."""


class VideoTokenCodec(VideoFiles, Tokenizer[CausalNetwork]):
    """Discrete tokenizer for video that also writes files and streams.

    Args:
        encoder: frames in [0, 1] to latents.
        quantizer: works on `latent_dim` channels, channel-last.
        decoder: the way back, about [0, 1].
        prior: as of every tokenizer.
        learned_prior: as of every tokenizer; of grids `(groups, rows, columns)`.
        latent_dim: stated once, checked against the quantizer.
        scene: groups after which a scene ends where no cut ended it.
        chunk: groups in one section of a file; contexts end there.
    """

    def __init__(
        self,
        encoder: CausalNetwork,
        quantizer: Quantizer,
        decoder: CausalNetwork,
        prior: StaticTokenPrior | None = None,
        learned_prior: EntropyModel | None = None,
        *,
        latent_dim: int,
        scene: int = 25,
        chunk: int = 9,
    ) -> None:
        super().__init__(encoder, quantizer, decoder, prior, learned_prior, latent_dim)
        if (encoder.stride, encoder.group) != (decoder.stride, decoder.group):
            raise ValueError(
                f"the encoder takes {encoder.group} frames by {encoder.stride} pixels to a position, the decoder "
                f"{decoder.group} by {decoder.stride}"
            )
        if not 1 <= chunk <= scene:
            raise ValueError(f"a chunk has 1 to {scene} groups, those of a scene, got {chunk}")
        self.stride, self.group, self.scene, self.chunk = encoder.stride, encoder.group, scene, chunk

    def geometry(self) -> dict[str, int]:
        """Pixels and frames of a position."""
        return {"stride": self.stride, "group": self.group}

    def encode(self, x: Tensor) -> Codes:
        """A clip as one scene, group by group.

        Args:
            x: `(B, 3, T, H, W)`, float in [0, 1] or uint8, any size.

        Returns:
            One plane `(B, 1 + ceil((T - 1) / group), ceil(H / stride), ceil(W / stride))` for each code at a position.
        """
        if x.ndim != 5 or x.shape[1] != 3 or 0 in x.shape:
            raise ValueError(f"expected frames (B, 3, T, H, W), got {tuple(x.shape)}")
        coded = []
        for clip in x:
            frames = SceneEncoder(self)
            groups = [found for t in range(clip.shape[1]) for found in frames.push(clip[:, t])]
            coded.append(torch.stack([*groups, *frames.finish()]))
        planes = torch.stack(coded).unbind(-1)
        sized = zip(planes, self.quantizer.codebook_sizes, strict=True)
        return Codes(tuple(Plane(plane.contiguous(), size) for plane, size in sized))

    def decode(self, codes: Codes) -> Tensor:
        """Codes to pixels `(B, 3, 1 + (groups - 1) * group, h * stride, w * stride)` in [0, 1]; the caller crops to the true size."""
        clips = []
        for clip in torch.stack([plane.codes for plane in codes.planes], -1):
            decoder = SceneDecoder(self)
            clips.append(torch.cat([decoder.push(group) for group in clip], 1))
        return torch.stack(clips)

    def check(self, encoding: Encoding) -> None:
        """Refuse what it cannot do."""
        encoding.check_fixed_rate()
        if encoding.bitrate is not None or encoding.packet_ms is not None:
            raise UsageError("this model has one fixed rate and no packets; see `codec models`")
        self.choose_prior(encoding)

    @property
    def alphabets(self) -> tuple[int, ...]:
        """Of the quantizer."""
        return tuple(self.quantizer.codebook_sizes)

    def groups(self, frames: Iterable[Tensor], rate: Fraction, encoding: Encoding = PLAIN) -> Iterator[Group]:
        """Frames uint8 `(3, H, W)` of one size to chunks of groups, as they come."""
        writer = _ChunkWriter(self, self.priors()[self.choose_prior(encoding)])
        for frame in frames:
            yield from writer.push(frame)
        yield from writer.end_scene()

    def reader(self, size: tuple[int, int], coding_hash: bytes) -> "ChunkReader":
        """Of the groups of a video of this height and width."""
        return ChunkReader(self, self.priors_by_hash()[coding_hash], size, pixels=True)

    def codes_reader(self, size: tuple[int, int], coding_hash: bytes) -> "ChunkReader":
        """The same without pictures."""
        return ChunkReader(self, self.priors_by_hash()[coding_hash], size, pixels=False)

    def hash_of(self, encoding: Encoding) -> bytes:
        """That of the prior that is asked for."""
        return self.coding_hash(self.choose_prior(encoding))

    def hashes(self) -> frozenset[bytes]:
        """Of all priors, as heads have them."""
        return frozenset(self.priors_by_hash())


class SceneEncoder:
    """Frames of one scene to the codes of its groups, one group computed at a time.

    Args:
        model: of the codec.
    """

    def __init__(self, model: VideoTokenCodec) -> None:
        self._model, self._state = model, None
        self._waiting: list[Tensor] = []
        self._started = False

    def push(self, frame: Tensor) -> list[Tensor]:
        """A frame `(3, H, W)` to codes int64 `(h, w, Q)`, if it completes a group."""
        self._waiting.append(frame)
        if self._started and len(self._waiting) < self._model.group:
            return []
        return [self._codes()]

    def finish(self) -> list[Tensor]:
        """The group that is open, filled up by its last frame, if there is one."""
        return [self._codes()] if self._waiting else []

    @torch.inference_mode()
    def _codes(self) -> Tensor:
        model = self._model
        frames = [*self._waiting, *[self._waiting[-1]] * (model.group - len(self._waiting))]
        self._waiting, self._started = [], True
        pixels = torch.stack(frames, 1)[None].to(model.device)
        pixels = pixels.float() / 255 if pixels.dtype == torch.uint8 else pixels
        down, right = (-side % model.stride for side in pixels.shape[-2:])
        padded = F.pad(pixels[0], (0, right, 0, down), mode="replicate")[None]
        latents, self._state = model.encoder(padded, self._state)
        return model.quantizer.encode(latents[0, :, 0].movedim(0, -1)).cpu()


class SceneDecoder:
    """The way back.

    Args:
        model: of the codec.
    """

    def __init__(self, model: VideoTokenCodec) -> None:
        self._model, self._state = model, None
        self._started = False

    @torch.inference_mode()
    def push(self, codes: Tensor) -> Tensor:
        """Codes int64 `(h, w, Q)` of a group to its frames `(3, n, H, W)` in [0, 1]: one of the first group, which is a frame alone."""
        model = self._model
        vectors = model.quantizer.decode(codes.to(model.device)).movedim(-1, 0)[None, :, None]
        frames, self._state = model.decoder(vectors, self._state)
        first, self._started = 0 if self._started else model.group - 1, True
        return frames[0, :, first:].clamp(0, 1).cpu()


class _ChunkWriter:
    """Frames of one video to chunks.

    Args:
        model: of the codec.
        prior: of the codes.
    """

    def __init__(self, model: VideoTokenCodec, prior: EntropyModel) -> None:
        self._model, self._prior, self._cuts = model, prior, CutDetector()
        self._scene, self._begins = SceneEncoder(model), True
        self._held: list[Tensor] = []
        self._first = self._frames = self._in_scene = 0

    def push(self, frame: Tensor) -> Iterator[Group]:
        """Take one frame; the chunks that end before it, or with it."""
        if self._cuts.is_cut(frame) or self._in_scene > (self._model.scene - 1) * self._model.group:
            yield from self.end_scene()
        self._held += self._scene.push(frame)
        self._frames, self._in_scene = self._frames + 1, self._in_scene + 1
        if len(self._held) >= self._model.chunk:
            yield self._chunk()

    def end_scene(self) -> Iterator[Group]:
        """What is held, and a new scene."""
        self._held += self._scene.finish()
        if self._held:
            yield self._chunk()
        self._scene, self._begins, self._in_scene = SceneEncoder(self._model), True, 0

    def _chunk(self) -> Group:
        count, entry = self._frames - self._first, self._begins
        planes = list(torch.stack(self._held).movedim(-1, 0).contiguous())
        writer = JointWriter()
        layout = Layout(tuple(tuple(plane.shape) for plane in planes))
        walk(self._prior, layout, source_of(self._prior, planes), writer)
        group = Group(self._first, count, pack_varint(2 * count + entry) + writer.finish(), entry)
        self._held, self._begins, self._first = [], False, self._frames
        return group


class ChunkReader:
    """Chunks of one video to frames.

    Args:
        model: of the codec.
        prior: that the file names.
        size: height and width.
        pixels: make pictures; without, codes.
    """

    def __init__(self, model: VideoTokenCodec, prior: EntropyModel, size: tuple[int, int], *, pixels: bool) -> None:
        self._model, self._prior, self._size, self._pixels = model, prior, size, pixels
        self._grid = tuple(-(-side // model.stride) for side in size)
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
                frames = self._frames(group, 1 if begins and left == count else self._model.group)
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
        layout = Layout(((groups, *self._grid),) * len(self._prior.codebook_sizes))
        known = walk(self._prior, layout, source)
        source.finish()
        for codes, alphabet in zip(known.codes, self._prior.codebook_sizes, strict=True):
            if is_outside(codes, alphabet):
                raise BitstreamError(f"codes leave [0, {alphabet})")
        return torch.stack([torch.from_numpy(codes).view(groups, *self._grid) for codes in known.codes], -1)

    def _frames(self, codes: Tensor, count: int) -> list[Tensor]:
        if not self._pixels:
            return [codes.flatten(), *[codes.new_empty(0)] * (count - 1)]
        height, width = self._size
        frames = cast(SceneDecoder, self._scene).push(codes)[..., :height, :width]
        return [frame.contiguous() for frame in frames.mul(255).round_().to(torch.uint8).unbind(1)]
