"""Frames of codes to the packets of a file: each independent of all others, as many planes in each as a bit rate allows."""

from dataclasses import dataclass
from typing import BinaryIO

import torch
from torch import Tensor

from codec.container import Head, Packet, Section, SectionType, Writer, packet_section
from codec.entropy import EntropyModel, encode_packets, packet_bits

PACKET_BYTES = 15  # of a packet beyond its ideal length, at most: a section around it and the coder's state
END_BYTES = 24  # of END and a first entry of the index
INDEXED = 32  # packets from one entry of the index to the next


@dataclass
class Budget:
    """How many planes packets may have, so that at no time more bytes were written than the time allows.

    What a packet leaves over, as silence does, goes to those after it.

    Attributes:
        bytes_a_frame: allowed.
        choices: how many planes a packet may have, ascending; the fewest it has whatever they take.
        delay: frames behind the end of a sound, which take no time.
    """

    bytes_a_frame: float
    choices: tuple[int, ...]
    delay: int

    def planes(self, bits: Tensor, spent: float, frames: int) -> int:
        """The most planes of `bits` `(Q,)` bits each that fit, where so many bytes are spent and so many frames are done then."""
        left = self.bytes_a_frame * (frames - self.delay) - spent - END_BYTES - PACKET_BYTES
        fitting = int((bits.cumsum(0) / 8 <= left).sum())
        return max((count for count in self.choices if count <= fitting), default=self.choices[0])


class PacketWriter:
    """Writes one sound.

    Args:
        sink: file or pipe.
        head: of the file.
        lead: sections that stand before all packets.
        prior: of the codes.
        packet: frames in each but the last.
        at_once: packets that are coded together, which is faster, but delays them.
        budget: of each packet; all planes if None.
    """

    def __init__(
        self,
        sink: BinaryIO,
        head: Head,
        lead: list[Section],
        prior: EntropyModel,
        *,
        packet: int,
        at_once: int,
        budget: Budget | None,
    ) -> None:
        self._sink, self._prior, self._packet, self._at_once, self._budget = sink, prior, packet, at_once, budget
        self._writer = Writer(sink, head, index_every=INDEXED)
        for section in [packet_section(packet), *lead]:
            self._writer.write(section)
        self._waiting: list[Tensor] = []
        self._frames = 0
        self._count = 0

    def push(self, codes: Tensor) -> None:
        """Take codes `(C, n, Q)`; what makes enough packets is written."""
        self._waiting.append(codes)
        group = self._packet * self._at_once
        if sum(part.shape[1] for part in self._waiting) < group:
            return
        codes = torch.cat(self._waiting, 1)
        while codes.shape[1] >= group:
            self.write(codes[:, :group], self._packet)
            codes = codes[:, group:]
        self._waiting = [codes]

    def finish(self, length: int | None) -> None:
        """Write what is left, the last packet with fewer frames if need be, and the end of the file.

        Args:
            length: of the sound in samples, where the head leaves it open.
        """
        codes = torch.cat(self._waiting, 1) if self._waiting else torch.zeros(1, 0, 1)
        whole = codes.shape[1] // self._packet * self._packet
        for part, frames in ((codes[:, :whole], self._packet), (codes[:, whole:], codes.shape[1] - whole)):
            if part.shape[1]:
                self.write(part, frames)
        self._writer.finish(length, index=self._count > INDEXED)
        self._sink.flush()

    def write(self, codes: Tensor, frames: int, counts: list[int] | None = None) -> None:
        """Write packets of so many frames now, of codes `(C, n, Q)` of all planes that the prior knows.

        Args:
            codes: coded together.
            frames: of each packet.
            counts: planes that each packet gets; by default as many as the budget allows.
        """
        packets = codes.unflatten(1, (-1, frames)).permute(3, 1, 0, 2)[:, :, :, None]  # (Q, N, C, 1, frames)
        planes = list(packets.contiguous())
        counts = counts if counts is not None else self._counts(planes, frames)
        short = None if frames == self._packet else frames
        for kept, stream in zip(counts, encode_packets(self._prior, planes, counts), strict=True):
            payload = Packet(kept, stream, short).to_payload()
            self._writer.write(Section(SectionType.CODES, chunk=self._count, payload=payload))
            self._count += 1
            self._frames += frames
        self._sink.flush()

    def _counts(self, planes: list[Tensor], frames: int) -> list[int]:
        """How many planes each packet gets."""
        if self._budget is None:
            return [len(planes)] * len(planes[0])
        counts, spent, done = [], float(self._writer.position), self._frames
        for bits in packet_bits(self._prior, planes):
            done += frames
            counts.append(self._budget.planes(bits, spent, done))
            spent += float(bits[: counts[-1]].sum()) / 8 + PACKET_BYTES
        return counts
