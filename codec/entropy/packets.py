"""Many packets in lockstep: short, independent, all planes of one in one coder stream.

The packets stand side by side as frames that do not see each other, so one walk, with one evaluation of a network a step,
codes all of them; each gets the bytes that it would have got alone.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codec.coding import Decoder, Encoder
from codec.entropy.base import EntropyModel, Layout, Step
from codec.entropy.driver import is_outside, source_of, walk
from codec.entropy.neighbour import as_frames
from codec.entropy.video_lattice import VideoTokenPrior
from codec.errors import BitstreamError


@dataclass(frozen=True)
class Lockstep:
    """N packets in one layout.

    Attributes:
        layout: of all of them: grids `(N frames, rows, columns)`.
        size: positions of a packet's plane.
        counts: int64 `(N,)`, how many planes each packet holds.
    """

    layout: Layout
    size: int
    counts: NDArray[np.int64]

    @property
    def planes(self) -> int:
        """How many planes any packet holds."""
        return int(self.counts.max(initial=0))

    def parts(self, step: Step) -> Iterator[tuple[int, int, int]]:
        """Each packet that holds the step's plane, with the first of its symbols and the first after them.

        Positions of a step ascend, so a packet's stand together, in the order that they would have alone.
        """
        edges = np.searchsorted(step.where, self.size * np.arange(len(self.counts) + 1)).tolist()
        for packet in np.flatnonzero(self.counts > step.plane).tolist():
            yield packet, edges[packet], edges[packet + 1]


class LockstepWriter:
    """Codes what passes by, a stream a packet.

    Args:
        packets: whose symbols they are.
    """

    def __init__(self, packets: Lockstep) -> None:
        self._packets, self._encoders = packets, [Encoder() for _ in packets.counts]

    def record(self, step: Step, symbols: NDArray[np.int64]) -> None:
        """Push each packet's symbols to its coder."""
        for packet, first, last in self._packets.parts(step):
            step.tables.part(first, last).push(self._encoders[packet], symbols[first:last])

    def finish(self) -> list[bytes]:
        """A stream for each packet."""
        return [encoder.finish() for encoder in self._encoders]


class LockstepReader:
    """Codes from a stream a packet; planes that a packet lacks are of no account.

    Args:
        packets: what the streams hold.
        streams: one for each packet.
    """

    def __init__(self, packets: Lockstep, streams: Sequence[bytes]) -> None:
        self._packets, self._decoders = packets, list[Decoder]()
        for packet, stream in enumerate(streams):
            with _named(packet):
                self._decoders.append(Decoder(stream))

    def symbols(self, step: Step) -> NDArray[np.int64]:
        """The next symbols of each packet."""
        symbols = np.zeros(len(step.where), np.int64)
        for packet, first, last in self._packets.parts(step):
            with _named(packet):
                symbols[first:last] = step.tables.part(first, last).pull(self._decoders[packet])
        return symbols

    def finish(self) -> None:
        """Raise unless every stream ended where its encoder began."""
        for packet, decoder in enumerate(self._decoders):
            with _named(packet):
                decoder.finish()


class PacketLengths:
    """Adds up -log2 of each symbol's share in its integer table, for each plane of each packet, in `bits`.

    Args:
        packets: whose symbols they are.
    """

    def __init__(self, packets: Lockstep) -> None:
        self._size = packets.size
        self.bits = np.zeros((len(packets.counts), len(packets.layout.grids)))

    def record(self, step: Step, symbols: NDArray[np.int64]) -> None:
        """Add one step."""
        bits, count = step.tables.bits(symbols), len(self.bits)
        self.bits[:, step.plane] += np.bincount(step.where // self._size, bits, count)


def encode_packets(model: EntropyModel, planes: Sequence[Tensor], counts: Sequence[int] | None = None) -> list[bytes]:
    """N packets to a coder stream each, that holds a packet's planes one after the other.

    Args:
        model: of tokens; all its planes have one grid, whose frames do not see each other.
        planes: int64 `(N, *grid)` for each plane of the model.
        counts: how many planes each packet holds, 1 or more; all if None.
    """
    packets = _packets_of(model, planes, counts)
    writer = LockstepWriter(packets)
    walk(model, packets.layout, source_of(model, planes), writer, planes=packets.planes)
    return writer.finish()


def decode_packets(
    model: EntropyModel, grid: tuple[int, ...], streams: Sequence[bytes], counts: Sequence[int]
) -> list[Tensor]:
    """Streams of N packets back to int64 planes `(N, *grid)`; planes that a packet lacks are 0.

    Streams' ends and codes' ranges are checked: a `BitstreamError` names the packet.
    """
    packets = _lockstep(model, grid, counts, len(streams))
    source = LockstepReader(packets, streams)
    known = walk(model, packets.layout, source, planes=packets.planes)
    source.finish()
    planes = [codes.reshape(len(streams), packets.size) for codes in known.codes]
    for plane, (codes, size) in enumerate(zip(planes, model.codebook_sizes, strict=True)):
        codes[packets.counts <= plane] = 0
        if is_outside(codes, size):
            packet = int(((codes < 0) | (codes >= size)).any(1).argmax())
            raise BitstreamError(f"codes of plane {plane} leave [0, {size})", f"packet {packet}")
    return [torch.from_numpy(codes).reshape(len(streams), *grid) for codes in planes]


def packet_bits(model: EntropyModel, planes: Sequence[Tensor]) -> Tensor:
    """Code length of N packets by the integer tables, float64 `(N, Q)`: that of each plane, given those before it.

    Args:
        model: as of `encode_packets`.
        planes: int64 `(N, *grid)` for each plane.
    """
    packets = _packets_of(model, planes, None)
    lengths = PacketLengths(packets)
    walk(model, packets.layout, source_of(model, planes), lengths)
    return torch.from_numpy(lengths.bits)


def _packets_of(model: EntropyModel, planes: Sequence[Tensor], counts: Sequence[int] | None) -> Lockstep:
    """The packets that planes `(N, *grid)` hold."""
    if len({plane.shape for plane in planes}) != 1 or any(plane.is_floating_point() for plane in planes):
        shapes = [f"{plane.dtype} {tuple(plane.shape)}" for plane in planes]
        raise ValueError(f"packets need planes of integers of one shape (N, *grid), got {shapes}")
    number, *grid = planes[0].shape
    return _lockstep(model, tuple(grid), [len(planes)] * number if counts is None else counts, number)


def _lockstep(model: EntropyModel, grid: tuple[int, ...], counts: Sequence[int], number: int) -> Lockstep:
    """`number` packets of the grid, checked."""
    most = len(model.codebook_sizes)
    if not all(model.codebook_sizes) or set(model.layout(grid).grids) != {grid}:
        raise ValueError(f"packets need a model of tokens, and all planes on the grid {grid}")
    if number > 1 and isinstance(model, VideoTokenPrior):
        raise ValueError("packets stand side by side as frames, and frames of this model see each other")
    if len(counts) != number or not all(1 <= count <= most for count in counts):
        raise ValueError(f"{number} packets need as many counts of planes in 1..{most}, got {list(counts)}")
    frames, rows, columns = as_frames(torch.empty(grid, dtype=torch.int8), batched=False).shape
    layout = Layout(((number * frames, rows, columns),) * most)
    return Lockstep(layout, frames * rows * columns, np.array(counts, np.int64))


@contextmanager
def _named(packet: int) -> Iterator[None]:
    """Damage found inside says in which packet."""
    try:
        yield
    except BitstreamError as error:
        raise type(error)(str(error), f"packet {packet}") from error
