"""A sound to a file or a pipe of packets, in constant memory."""

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, BinaryIO

import torch
from torch.nn import functional as F

from codec.container import AudioFields, Head, Section, SectionType
from codec.container.head import HASH_BYTES
from codec.errors import UsageError
from codec.media.resampling import Resampler
from codec.media.sound import BLOCK, Samples, SoundFormat, SoundReader, pack_format
from codec.models.base import Encoding
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
    encoder = model.frame_encoder(format.channels, packet)
    writer = PacketWriter(
        sink,
        _head(model, sound, model.coding_hash(prior)),
        _tags(format),
        model.priors()[prior],
        packet=packet,
        at_once=1 if live else AT_ONCE,
        budget=_budget(model, format.channels, packet, encoding.bitrate),
    )
    count = 0

    def counted() -> Iterator[Samples]:
        nonlocal count
        for block in sound.blocks(-(-model.hop * format.rate // model.rate) if live else BLOCK):
            count += len(block)
            yield block

    for block in Resampler(format.rate, model.rate).blocks(counted()):
        samples = torch.from_numpy(block.T.copy())
        writer.push(encoder.push(to_middle_and_side(samples)))
    writer.push(encoder.finish())
    writer.finish(count if sound.frames is None else None)


def packet_frames(model: "SoundCodec", milliseconds: float | None, *, live: bool) -> int:
    """Frames of a packet, at least 1."""
    if milliseconds is None:
        return model.block if live else FILE_BLOCKS * model.block
    return max(1, round(milliseconds * model.rate / model.hop / 1000))


def _head(model: "SoundCodec", sound: SoundReader, coding_hash: bytes) -> Head:
    fields = AudioFields(sound.format.rate, sound.format.channels, sound.frames or 0)
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
    frames_a_second = model.rate / model.hop
    least = sum(math.log2(size) for size in model.quantizer.codebook_sizes[: model.plane_counts[0]])
    needed = frames_a_second * (least * channels + 8 * PACKET_BYTES / packet)
    if bitrate < needed:
        raise UsageError(
            f"{channels} channels in packets of {1000 * packet / frames_a_second:.0f} ms need {needed / 1000:.2f} kbit/s "
            f"with this model, got {bitrate / 1000:.2f}"
        )
    return Budget(bitrate / 8 / frames_a_second, model.plane_counts, model.delay)


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
