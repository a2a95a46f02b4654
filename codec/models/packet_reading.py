"""The packets of a file to frames of codes, checked as they come; those that are lost, if that is allowed, leave gaps."""

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import BinaryIO

import torch
from torch import Tensor

from codec.container import (
    AudioFields,
    Packet,
    Reader,
    Section,
    SectionType,
    find_index,
    parse_packet,
    parse_packet_frames,
)
from codec.entropy import EntropyModel, decode_packets
from codec.errors import BitstreamError, ModelMismatchError

MOST_LOST = 1 << 12  # packets in a row: beyond it a number is no loss but damage


@dataclass(frozen=True)
class Frames:
    """Some frames of a sound.

    Attributes:
        codes: int64 `(C, count, q)` of the planes that are there; None where packets were lost.
        count: how many.
    """

    codes: Tensor | None
    count: int


class PacketReader:
    """One file of sound, read packet by packet.

    Args:
        source: opened file or pipe.
        priors: what can be read, by coding hash (its first 8 bytes).
        choices: how many planes a packet may have.
        partial: pass over what is damaged instead of refusing it.

    Attributes:
        head: of the file.
        fields: of the head.
        prior: the one that the file names.
        packet: frames of each packet but the last.
        tags: payload of the TAGS section.
        partial: as asked for.
    """

    def __init__(
        self,
        source: BinaryIO,
        *,
        priors: Mapping[bytes, EntropyModel],
        choices: Container[int],
        partial: bool = False,
    ) -> None:
        self._source, self._choices, self.partial = source, choices, partial
        self._reader = Reader(source, partial=partial)
        self.head = self._reader.head
        if not isinstance(self.head.fields, AudioFields):
            raise BitstreamError("this file does not hold a sound", section="head")
        if self.head.coding_hash not in priors:
            known = " or ".join(coding_hash.hex() for coding_hash in priors)
            raise ModelMismatchError(f"the file needs model {self.head.coding_hash.hex()}, this is {known}", "head")
        self.fields, self.prior = self.head.fields, priors[self.head.coding_hash]
        self.packet, self.tags = 0, b""
        self._sections = iter(self._reader)
        self._first = self._lead()
        self._expected = 0

    @property
    def samples(self) -> int | None:
        """Length at the file's rate, from the head, or from END once that was read."""
        return self.fields.samples or self._reader.length

    def skip_to(self, packet: int) -> int:
        """Go on, in a file that can seek, at this packet or at the last one before it that the file's index names; which it is."""
        position = self._reader.bytes_read
        entries = [entry for entry in find_index(self._source) or () if entry.chunk <= packet]
        if not entries:
            self._source.seek(position)
            return 0
        self._reader.jump(entries[-1].offset)
        self._first, self._expected = [], entries[-1].chunk
        return self._expected

    def frames(self, at_once: int) -> Iterator[Frames]:
        """All frames from here on; so many packets are decoded together, which is faster, but waits for them."""
        waiting: list[tuple[int, Packet]] = []
        for index, packet in self._packets():
            if index > self._expected:
                yield from self._decoded(waiting)
                waiting = []
                yield Frames(None, (index - self._expected) * self.packet)
            waiting.append((index, packet))
            self._expected = index + 1
            if len(waiting) >= at_once:
                yield from self._decoded(waiting)
                waiting = []
        yield from self._decoded(waiting)

    def _lead(self) -> list[Section]:
        """Read what stands before all packets; the first of them, if there is one, has been read then too."""
        for section in self._sections:
            if section.type == SectionType.CODES:
                if not self.packet:
                    raise BitstreamError("it stands before PACKET, which says how long packets are", section.title)
                return [section]
            if section.type == SectionType.PACKET:
                self.packet = parse_packet_frames(section.payload)
            elif section.type == SectionType.TAGS:
                self.tags = section.payload
        return []

    def _packets(self) -> Iterator[tuple[int, Packet]]:
        """Packets with their numbers, which rise, but may leave gaps if `partial`."""
        last = False
        for section in chain(self._first, self._sections):
            if section.type != SectionType.CODES:
                continue
            gap = section.chunk - self._expected
            if last or gap < 0 or gap > (MOST_LOST if self.partial else 0):
                fault = (
                    "it is there twice, or behind the last"
                    if last or gap < 0
                    else f"{gap} packets before it are missing"
                )
                raise BitstreamError(fault, section.title)
            packet = parse_packet(section, len(self.head.alphabets), self.packet)
            if packet.planes not in self._choices:
                raise BitstreamError(f"{packet.planes} planes are no whole levels of this model", section.title)
            last = packet.frames is not None
            yield section.chunk, packet

    def _decoded(self, packets: list[tuple[int, Packet]]) -> Iterator[Frames]:
        """Packets in a row, those of full length together."""
        whole = [packet for packet in packets if packet[1].frames is None]
        for group in (whole, packets[len(whole) :]):
            if group:
                yield from self._decoded_alike(group)

    def _decoded_alike(self, packets: list[tuple[int, Packet]]) -> Iterator[Frames]:
        count = packets[0][1].frames or self.packet
        grid, kept = (self.fields.channels, 1, count), [packet.planes for _, packet in packets]
        planes = decode_packets(self.prior, grid, [packet.stream for _, packet in packets], kept)
        codes = torch.stack(planes, -1)[:, :, 0]  # (N, C, count, Q)
        for packet, used in zip(codes, kept, strict=True):
            yield Frames(packet[..., :used], count)
