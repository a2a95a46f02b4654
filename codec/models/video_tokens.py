"""VideoTokenCodec: causal encoder, quantizer, decoder and token prior; frames become groups of codes and come back.

frames ─encoder, with its state─► latent ─quantizer.encode─► codes ─prior, chunk by chunk─► bytes
frames ◄─decoder, with its state─ vectors ◄─quantizer.decode─ codes ◄──────────────── prior ◄─ bytes
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from typing import BinaryIO

import torch
from torch import Tensor

from codec.container import Head, Section, SectionType, VideoFields, Writer
from codec.container.head import HASH_BYTES
from codec.container.times import pace_section
from codec.entropy import EntropyModel, StaticTokenPrior
from codec.errors import UsageError
from codec.media.video import VideoFormat
from codec.models.base import PLAIN, Encoding, PriorName
from codec.models.tokenizer import Tokenizer
from codec.models.video import VideoFiles
from codec.models.video_chunks import ChunkReader, write_chunk
from codec.models.video_rate import CutDetector
from codec.models.video_reading import CodedVideo
from codec.models.video_scenes import CausalNetwork, Layer, Scene, SceneDecoder, SceneEncoder
from codec.models.video_writing import Group
from codec.quantizers import Quantizer
from codec.types import Codes, Plane


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

    def layers(self, frames: Iterable[Tensor]) -> Iterator[Layer]:
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

    def scenes(self, frames: Iterable[Tensor]) -> Iterator[Scene]:
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

    def chunks(self, layers: Iterable[Layer], prior: PriorName) -> Iterator[Group]:
        """Layers of codes to chunks."""
        held, first, entropy_model = list[Layer](), 0, self.priors()[prior]
        for layer in layers:
            if held and layer.begins:
                yield write_chunk(entropy_model, held, first)
                held, first = [], first + sum(one.frames for one in held)
            held.append(layer)
            if len(held) == self.chunk:
                yield write_chunk(entropy_model, held, first)
                held, first = [], first + sum(one.frames for one in held)
        if held:
            yield write_chunk(entropy_model, held, first)

    def reader(self, size: tuple[int, int], coding_hash: bytes) -> ChunkReader:
        """Of the groups of a video of this height and width."""
        return ChunkReader(self, self.priors_by_hash()[coding_hash], size, pixels=True)

    def codes_reader(self, size: tuple[int, int], coding_hash: bytes) -> ChunkReader:
        """The same without pictures."""
        return ChunkReader(self, self.priors_by_hash()[coding_hash], size, pixels=False)

    def read_scenes(self, source: BinaryIO) -> tuple[VideoFormat, Iterator[Scene]]:
        """The format of a `.lmc` file, and its codes, a scene at a time, without the decoder network."""
        coded = CodedVideo(self.hashes(), source, partial=False)
        return coded.format, self._scenes_of(coded)

    def _scenes_of(self, coded: CodedVideo) -> Iterator[Scene]:
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

    def write_scene(self, format: VideoFormat, scene: Scene, sink: BinaryIO, prior: PriorName) -> None:
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
