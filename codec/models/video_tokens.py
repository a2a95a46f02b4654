"""VideoTokenCodec: causal encoder, quantizer, decoder and token prior; frames become groups of codes and come back.

frames ─encoder, with its state─► latent ─quantizer.encode─► codes ─prior, chunk by chunk─► bytes
frames ◄─decoder, with its state─ vectors ◄─quantizer.decode─ codes ◄──────────────── prior ◄─ bytes

A scene is a stretch of frames in a row, from a cut or after so many: both states begin anew there, so it can be decoded by itself.
Its first frame is a group alone, so that a picture is a video of one frame; all other groups have as many as the encoder takes.
"""

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, BinaryIO, Protocol, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from codec.container import Head, Section, SectionType, VideoFields, Writer
from codec.container.byte_reader import ByteReader, pack_varint
from codec.container.head import HASH_BYTES
from codec.container.times import pace_section
from codec.entropy import EntropyModel, Layout, StaticTokenPrior, walk
from codec.entropy.driver import is_outside, source_of
from codec.errors import BitstreamError, UsageError
from codec.media.video import VideoFormat
from codec.models.base import PLAIN, Encoding, PriorName
from codec.models.tokenizer import Tokenizer
from codec.models.video import VideoFiles
from codec.models.video_frame import JointStream, JointWriter
from codec.models.video_rate import CutDetector
from codec.models.video_reading import CodedVideo
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

    def layers(self, frames: Iterable[Tensor]) -> Iterator["Layer"]:
        """Frames uint8 `(3, H, W)` of one size to layers of codes, as they come."""
        cuts, scene, count, waiting, begins = CutDetector(), SceneEncoder(self), 0, 0, True
        for frame in frames:
            cut = cuts.is_cut(frame)
            if cut or count > (self.scene - 1) * self.group:
                yield from (Layer(codes, waiting, begins) for codes in scene.finish())
                scene, count, waiting, begins = SceneEncoder(self), 0, 0, True
            count, waiting = count + 1, waiting + 1
            for codes in scene.push(frame):
                yield Layer(codes, waiting, begins)
                waiting, begins = 0, False
        yield from (Layer(codes, waiting, begins) for codes in scene.finish())

    def scenes(self, frames: Iterable[Tensor]) -> Iterator["Scene"]:
        """The same, a scene at a time."""
        held: list[Layer] = []
        for layer in self.layers(frames):
            if held and layer.begins:
                yield Scene.of(held)
                held = []
            held.append(layer)
        if held:
            yield Scene.of(held)

    def groups(self, frames: Iterable[Tensor], rate: Fraction, encoding: Encoding = PLAIN) -> Iterator[Group]:
        """Frames uint8 `(3, H, W)` of one size to chunks of layers, as they come."""
        return self.chunks(self.layers(frames), self.choose_prior(encoding))

    def chunks(self, layers: Iterable["Layer"], prior: PriorName) -> Iterator[Group]:
        """Layers of codes to chunks."""
        held, first, entropy_model = list[Layer](), 0, self.priors()[prior]
        for layer in layers:
            if held and layer.begins:
                yield _chunk(entropy_model, held, first)
                held, first = [], first + sum(one.frames for one in held)
            held.append(layer)
            if len(held) == self.chunk:
                yield _chunk(entropy_model, held, first)
                held, first = [], first + sum(one.frames for one in held)
        if held:
            yield _chunk(entropy_model, held, first)

    def reader(self, size: tuple[int, int], coding_hash: bytes) -> "ChunkReader":
        """Of the groups of a video of this height and width."""
        return ChunkReader(self, self.priors_by_hash()[coding_hash], size, pixels=True)

    def codes_reader(self, size: tuple[int, int], coding_hash: bytes) -> "ChunkReader":
        """The same without pictures."""
        return ChunkReader(self, self.priors_by_hash()[coding_hash], size, pixels=False)

    def read_scenes(self, source: BinaryIO) -> tuple[VideoFormat, Iterator["Scene"]]:
        """The format of a `.lmc` file, and its codes, a scene at a time, without the decoder network."""
        coded = CodedVideo(self.hashes(), source, partial=False)
        return coded.format, self._scenes_of(coded)

    def _scenes_of(self, coded: CodedVideo) -> Iterator["Scene"]:
        reader = self.codes_reader(coded.size, coded.coding_hash)
        held, begins = list[Layer](), True
        for one in coded.shown(reader):
            if not one.found.numel():
                held[-1] = replace(held[-1], frames=held[-1].frames + 1)
                continue
            begins = reader.begins
            if held and begins:
                yield Scene.of(held)
                held = []
            held.append(Layer(one.found.view(*reader.grid, -1), 1, begins))
        yield Scene.of(held)

    def write_scene(self, format: VideoFormat, scene: "Scene", sink: BinaryIO, prior: PriorName) -> None:
        """Write the codes of one scene as a file of its own."""
        base, pace = format.time_base, 1 / (format.rate * format.time_base)
        fields = VideoFields(format.width, format.height, 0, base.numerator, base.denominator)
        writer = Writer(sink, Head(fields, self.coding_hash(prior)[:HASH_BYTES], self.alphabets, chunk_major=True))
        writer.write(pace_section(pace))
        for group in self.chunks(scene.layers(self.group), prior):
            writer.write(Section(SectionType.CODES, chunk=group.first, payload=group.payload), indexed=group.is_entry)
        writer.finish(scene.frames, index=True)

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


@dataclass(frozen=True)
class Layer:
    """The codes of one group of frames.

    Attributes:
        codes: int64 `(h, w, Q)`.
        frames: how many it stands for.
        begins: whether a scene begins with it.
    """

    codes: Tensor
    frames: int
    begins: bool


@dataclass(frozen=True)
class Scene:
    """The codes of one scene.

    Attributes:
        codes: int64 `(Q, layers, h, w)`.
        frames: how many it has.
    """

    codes: Tensor
    frames: int

    @classmethod
    def of(cls, layers: Sequence[Layer]) -> "Scene":
        """Its layers put together."""
        return cls(torch.stack([layer.codes for layer in layers]).movedim(-1, 0), sum(layer.frames for layer in layers))

    def layers(self, group: int) -> Iterator[Layer]:
        """The way back."""
        left = self.frames
        for t, codes in enumerate(self.codes.movedim(0, -1)):
            count = min(left, group if t else 1)
            yield Layer(codes, count, t == 0)
            left -= count


def _chunk(prior: EntropyModel, layers: Sequence[Layer], first: int) -> Group:
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

    def __init__(self, model: VideoTokenCodec, prior: EntropyModel, size: tuple[int, int], *, pixels: bool) -> None:
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
