"""A sound to a file or a pipe of packets, in constant memory."""

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

import torch
from torch import Tensor
from torch.nn import functional as F

from codec.container import AudioFields, Head, Section, SectionType
from codec.container.head import HASH_BYTES
from codec.errors import UsageError
from codec.media.resampling import Resampler
from codec.media.sound import BLOCK, Samples, SoundFormat, SoundReader, pack_format
from codec.models.base import Encoding, PriorName
from codec.models.frames import to_middle_and_side
from codec.models.packet_writing import PACKET_BYTES, Budget, PacketWriter

if TYPE_CHECKING:
    from codec.models.sound import SoundCodec

FILE_BLOCKS = 4  # in a packet of a file that is there as a whole
AT_ONCE = 32  # of its packets, coded together


def write_sound(model: "SoundCodec", sound: SoundReader, sink: BinaryIO, encoding: Encoding, *, live: bool) -> None:
    """Read, code and write front to back.

    Args:
        model: of the codec.
        sound: to be coded.
        sink: file or pipe.
        encoding: what is asked for.
        live: write each packet as soon as its sound was read, and make packets short.
    """
    format, packet = sound.format, packet_frames(model, encoding.packet_ms, live=live)
    prior = model.choose_prior(encoding)
    writer = PacketWriter(
        sink,
        _head(model, AudioFields(format.rate, format.channels, sound.frames or 0), model.coding_hash(prior)),
        _tags(format),
        model.priors()[prior],
        packet=packet,
        at_once=1 if live else AT_ONCE,
        budget=_budget(model, format.channels, packet, encoding.bitrate),
    )
    frames = SoundFrames(model, sound, packet, live=live)
    for codes in frames:
        writer.push(codes)
    writer.finish(frames.samples if sound.frames is None else None)


class SoundFrames:
    """A sound as its codes `(C, n, Q)`, in pieces as they come.

    Args:
        model: of the codec.
        sound: read once.
        packet: frames that are wanted at a time, which are computed at once where a block has more.
        live: as soon as the sound of a frame was read.

    Attributes:
        samples: how many a channel had, once all came.
    """

    def __init__(self, model: "SoundCodec", sound: SoundReader, packet: int, *, live: bool = False) -> None:
        self._model, self._sound, self._packet, self._live = model, sound, packet, live
        self.samples = 0

    def __iter__(self) -> Iterator[Tensor]:
        model, format = self._model, self._sound.format
        encoder = model.frame_encoder(format.channels, self._packet)
        for block in Resampler(format.rate, model.rate).blocks(self._counted()):
            samples = torch.from_numpy(block.T.copy())
            yield encoder.push(to_middle_and_side(samples))
        yield encoder.finish()

    def _counted(self) -> Iterator[Samples]:
        model = self._model
        for block in self._sound.blocks(-(-model.hop * self._sound.format.rate // model.rate) if self._live else BLOCK):
            self.samples += len(block)
            yield block


def packet_frames(model: "SoundCodec", milliseconds: float | None, *, live: bool) -> int:
    """Frames of a packet, at least 1."""
    if milliseconds is None:
        return model.block if live else FILE_BLOCKS * model.block
    return max(1, round(milliseconds * model.rate / model.hop / 1000))


def _head(model: "SoundCodec", fields: AudioFields, coding_hash: bytes) -> Head:
    alphabets = tuple(model.quantizer.codebook_sizes)
    return Head(fields, coding_hash[:HASH_BYTES], alphabets, droppable_from=model.plane_counts[0], chunk_major=True)


def _tags(format: SoundFormat) -> list[Section]:
    """What a WAV of 16 bits without tags does not have."""
    kept = {name: text.decode() for name, text in pack_format(format).items() if text != b"PCM_16"}
    return [Section(SectionType.TAGS, payload=json.dumps(kept, ensure_ascii=False).encode())] if kept else []


def _budget(model: "SoundCodec", channels: int, packet: int, bitrate: float | None) -> Budget | None:
    """Of a bit rate, which must suffice for the fewest planes."""
    if bitrate is None:
        return None
    frames_a_second, needed = model.rate / model.hop, _least_bitrate(model, channels, packet)
    if bitrate < needed:
        raise UsageError(
            f"{channels} channels in packets of {1000 * packet / frames_a_second:.0f} ms need {needed / 1000:.2f} kbit/s "
            f"with this model, got {bitrate / 1000:.2f}"
        )
    return Budget(bitrate / 8 / frames_a_second, model.plane_counts, model.delay)


def least_bitrate(model: "SoundCodec", channels: int) -> float:
    """Bits a second of a file with the fewest planes."""
    return _least_bitrate(model, channels, packet_frames(model, None, live=False))


def _least_bitrate(model: "SoundCodec", channels: int, packet: int) -> float:
    least = sum(math.log2(size) for size in model.quantizer.codebook_sizes[: model.plane_counts[0]])
    return model.rate / model.hop * (least * channels + 8 * PACKET_BYTES / packet)


def write_codes(model: "SoundCodec", fields: AudioFields, codes: Tensor, sink: BinaryIO, prior: PriorName) -> None:
    """Write codes `(C, n, q)` of the first planes as a file of a sound of these fields."""
    count, packet, entropy_model = codes.shape[2], packet_frames(model, None, live=False), model.priors()[prior]
    if count not in model.plane_counts:
        raise UsageError(f"this model decodes {', '.join(map(str, model.plane_counts))} planes, not {count}")
    head = replace(
        _head(model, fields, model.coding_hash(prior)), alphabets=tuple(model.quantizer.codebook_sizes[:count])
    )
    writer = PacketWriter(sink, head, [], entropy_model, packet=packet, at_once=1, budget=None)
    codes = F.pad(codes, (0, len(entropy_model.codebook_sizes) - count))
    whole = codes.shape[1] // packet * packet
    for part, frames in ((codes[:, :whole], packet), (codes[:, whole:], codes.shape[1] - whole)):
        if part.shape[1]:
            writer.write(part, frames, [count] * (part.shape[1] // frames))
    writer.finish(None)


def cut_planes(model: "SoundCodec", source: BinaryIO, sink: BinaryIO, planes: int) -> None:
    """Copy a coded sound with at most so many planes a packet."""
    packets = model.packets(source)
    choices = [count for count in model.plane_counts if count <= len(packets.head.alphabets)]
    if planes not in choices:
        raise UsageError(f"this file can keep {', '.join(map(str, choices))} planes, not {planes}")
    head = replace(packets.head, alphabets=packets.head.alphabets[:planes])
    tags = [Section(SectionType.TAGS, payload=packets.tags)] if packets.tags else []
    writer = PacketWriter(sink, head, tags, packets.prior, packet=packets.packet, at_once=1, budget=None)
    for part in packets.frames(AT_ONCE):
        if part.codes is not None:
            held = part.codes.shape[-1]
            codes = F.pad(part.codes, (0, len(packets.prior.codebook_sizes) - held))
            writer.write(codes, part.count, [min(planes, held)])
    writer.finish(packets.samples if packets.fields.is_open else None)
