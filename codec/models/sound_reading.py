"""A file or a pipe of packets to sound, decoded while it is read."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
import torch
from torch import Tensor

from codec.errors import BitstreamError, UsageError
from codec.media.resampling import Resampler
from codec.media.sound import Samples, SoundFormat, SoundReader, unpack_format
from codec.models.concealment import bridge
from codec.models.frames import from_middle_and_side
from codec.models.packet_reading import Frames, PacketReader

if TYPE_CHECKING:
    from codec.models.sound import SoundCodec
    from codec.models.tokenizer import Fill

AT_ONCE = 32  # packets of a file, decoded together
AROUND = 32  # frames on either side of a gap that fill it
MOST_FILLED = 512  # frames; the vectors at both ends of a longer gap fade to silence


@dataclass(frozen=True)
class Excerpt:
    """What is wanted of a sound.

    Attributes:
        start: first second.
        duration: seconds; None for all from there on.
    """

    start: float = 0.0
    duration: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.start < float("inf"):
            raise UsageError(f"the start must be 0 or more seconds, got {self.start}")
        if self.duration is not None and not 0 < self.duration < float("inf"):
            raise UsageError(f"the duration must be greater than 0 seconds, got {self.duration}")

    def samples(self, rate: int) -> tuple[int, int | None]:
        """First sample, and the one behind the last."""
        first = round(self.start * rate)
        return first, None if self.duration is None else first + max(1, round(self.duration * rate))


WHOLE = Excerpt()


def open_coded(
    model: "SoundCodec", source: BinaryIO, *, name: str, live: bool, partial: bool, excerpt: Excerpt
) -> SoundReader:
    """A coded sound as one that is read from front to back.

    Args:
        model: of the codec.
        source: file or pipe; a file if only an excerpt is wanted.
        name: how errors name it.
        live: give the sound of each packet as soon as it was read.
        partial: conceal what is lost or damaged.
        excerpt: what is wanted.
    """
    packets = model.packets(source, partial=partial)
    fields = packets.fields
    format = _format(packets)
    first, end = excerpt.samples(fields.rate_hz)
    if fields.samples and first >= fields.samples:
        raise UsageError(
            f"{name} has {fields.samples / fields.rate_hz:.3f} s, nothing is left from {excerpt.start} s on"
        )
    known = fields.samples if end is None else min(end, fields.samples)

    def pieces(_: int) -> Iterator[Samples]:
        begin = _seek(model, packets, first) if first else 0
        decoded = _decoded(model, packets, begin, 1 if live else AT_ONCE)
        yield from _trimmed(decoded, packets, model, begin, first, end)

    return SoundReader(format, known - first if fields.samples and not partial else None, name, pieces)


def _format(packets: PacketReader) -> SoundFormat:
    """Rate, channels and, where they were worth a section, encoding and tags."""
    try:
        kept = json.loads(packets.tags or b"{}")
        metadata = {key: str(text).encode() for key, text in kept.items()}
    except (ValueError, AttributeError) as error:
        raise BitstreamError("it holds no texts by name", "tags") from error
    return unpack_format(packets.fields.rate_hz, packets.fields.channels, metadata)


def _seek(model: "SoundCodec", packets: PacketReader, first: int) -> int:
    """Go to a packet from which on all that sample `first` depends on is decoded; the frame that it begins with."""
    reach = Resampler(model.rate, packets.fields.rate_hz).reach
    frame = (first * model.rate // packets.fields.rate_hz - reach) // model.hop - model.decoder.past - 2 * model.delay
    return packets.skip_to(max(0, frame) // packets.packet) * packets.packet


def _decoded(model: "SoundCodec", packets: PacketReader, begin: int, at_once: int) -> Iterator[Samples]:
    """Samples `(n, C)` at the rate of the file, from the one of frame `begin` on."""
    decoder = model.frame_decoder(packets.fields.channels, packets.packet)

    def samples() -> Iterator[Samples]:
        for vectors in vectors_of(model, packets.frames(at_once)):
            yield _channels_last(decoder.push(vectors))
        yield _channels_last(decoder.finish())

    yield from Resampler(model.rate, packets.fields.rate_hz).blocks(samples(), begin * model.hop)


def vectors_of(model: "SoundCodec", frames: Iterable[Frames]) -> Iterator[Tensor]:
    """Vectors `(C, n, D)` of frames, of lost ones too where others follow."""
    before: Tensor | None = None
    gap = 0
    for part in frames:
        if part.codes is None:
            gap += part.count
            continue
        vectors = model.vectors(part.codes)
        if gap and model.fill is not None and gap <= MOST_FILLED:
            yield model.vectors(_filled(model.fill, before, gap, part.codes))
        elif gap:
            first = vectors[:, 0]
            held = torch.zeros_like(first) if before is None else model.vectors(before[:, -1:])[:, 0]
            yield bridge(held, first, gap)
        gap = 0
        before = part.codes[:, -AROUND:]
        yield vectors


def _filled(fill: "Fill", before: Tensor | None, gap: int, after: Tensor) -> Tensor:
    """Codes `(C, gap, q)` between those before a gap, if there are any, and those after it; the planes that the fill makes."""
    before = after[:, :0] if before is None else before
    planes = min(before.shape[-1], after.shape[-1])
    lost = after.new_full((len(after), gap, planes), -1)
    around = torch.cat([before[..., :planes], lost, after[:, :AROUND, :planes]], 1)
    made = fill(around.movedim(-1, 0)[None])[0].movedim(0, -1)[:, before.shape[1] : before.shape[1] + gap]
    return made[..., : int((made[0, 0] >= 0).sum())]


def _trimmed(
    blocks: Iterable[Samples], packets: PacketReader, model: "SoundCodec", begin: int, first: int, end: int | None
) -> Iterator[Samples]:
    """Samples `first` to `end` of blocks that start at frame `begin`, none behind the end of the sound.

    What could be behind it is held back until the end is known.
    """
    rate = packets.fields.rate_hz
    place = Resampler(model.rate, rate).length(begin * model.hop)
    spare = -(-model.hop * rate // model.rate) + 1
    held: Samples = np.empty((0, packets.fields.channels), np.float32)
    for block in blocks:
        held = np.concatenate([held, block])
        ready = len(held) - spare
        if ready > 0:
            yield from _cut(held[:ready], place, first, end)
            held, place = held[ready:], place + ready
        if end is not None and place >= end:
            return
    behind, samples = place + len(held), packets.samples
    if not behind:
        raise BitstreamError("no packet is whole", "codes")
    if samples is not None and not place <= samples <= behind and not packets.partial:
        raise BitstreamError(f"it says {samples} samples, its packets hold about {behind}", "end")
    end = samples if end is None else min(end, samples or end)
    yield from _cut(held, place, first, end)


def _cut(block: Samples, place: int, first: int, end: int | None) -> Iterator[Samples]:
    """What of a block that begins at `place` lies in `first` to `end`."""
    part = block[max(0, first - place) : None if end is None else max(0, end - place)]
    if len(part):
        yield part


def _channels_last(samples: Tensor) -> Samples:
    return np.ascontiguousarray(from_middle_and_side(samples).T.numpy())
