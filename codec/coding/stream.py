"""The bytes of one coder stream: a head, the escapes, the lane states, the words. Little-endian throughout.

    byte 0      bits 0-1  log2 of the number of lanes (1, 2, 4 or 8)
                bit 2     1 if escapes follow
                bits 3-7  reserved; a reader MUST refuse any but 0
    escapes     only with bit 2: a LEB128 length N >= 1, then N bytes: one LEB128 integer per escaped symbol, in
                symbol order. With the table's support `low … end - 1`, the integer is 2 * (symbol - end) for a
                symbol from `end` on and 2 * (low - symbol) - 1 for one below `low`. Integers are as short as
                possible and at most 5 bytes long, and a symbol MUST fit 32 bits with sign.
    states      one lane: the final state's significant bytes, no leading zeros; none at all for state 256.
                More lanes: 8 bytes for each, lane 0 first, each state at least 2^32.
    words       32-bit words up to the end of the stream, in the order in which the decoder takes them.

With one lane the number n of bytes after the escapes tells state from words. A state with words after it is at least
2^32, so it has 5 to 8 bytes: n <= 8 means n bytes of state and no word, otherwise it has 5 + (n - 5) mod 4 bytes.

Coding. Symbol i of the stream (counted over everything pushed) belongs to lane i mod lanes; every lane has one 64-bit
state x, and all take their words from the one list. A symbol has frequency f and start c (the sum of the frequencies
before it) in a table that sums to 2^p, 1 <= p <= 24; p may change from symbol to symbol. The decoder does

    slot = x mod 2^p; find the symbol with c <= slot < c + f; x = f * (x >> p) + slot - c
    if x < 2^32 and a word is left: x = (x << 32) | word

and the encoder the reverse, last symbol first:

    if (x >> (64 - p)) >= f: give out x mod 2^32 as a word; x = x >> 32
    x = ((x div f) << p) + x mod f + c

It starts at x = 256 with one lane and at x = 2^32 with more; the last word it gives out is the first in the stream.
When all symbols are read, every lane MUST be back at its start, and every word and escape used.

Why a start below 2^32 is safe: a state that gives out a word keeps at least f * 2^(32 - p) and so becomes at least 2^32,
and no later state is smaller. While words are left, x < 2^32 thus says that one was given out here; with none left, none
was. Why not 1: it costs 0.03 bytes less, but a decoder with other tables runs dry and stays at 0 or 1, so that one such
stream in twenty would pass.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from codec.coding.varint import pack_varints, unpack_varint, unpack_varints
from codec.errors import BitstreamError

LANES = (1, 2, 4, 8)
SECTION = "coder stream"
_HAS_ESCAPES = 4


def start_state(lanes: int) -> int:
    """Where the encoder's states begin and the decoder's must end."""
    return 1 << 8 if lanes == 1 else 1 << 32


@dataclass(frozen=True, eq=False)
class Stream:
    """The parts of a stream.

    Attributes:
        escapes: int64 `(E,)`, unsigned numbers of the escaped symbols.
        states: uint64 `(lanes,)`, where the decoder begins.
        words: uint32 `(W,)`, in the decoder's order.
    """

    escapes: NDArray[np.int64]
    states: NDArray[np.uint64]
    words: NDArray[np.uint32]

    def to_bytes(self) -> bytes:
        """The stream as it stands in a file."""
        head = LANES.index(self.states.size) | (_HAS_ESCAPES if self.escapes.size else 0)
        escapes = pack_varints(self.escapes)
        length = pack_varints(np.array([len(escapes)])) if escapes else b""
        states = _short_state(int(self.states[0])) if self.states.size == 1 else self.states.astype("<u8").tobytes()
        return b"".join([bytes([head]), length, escapes, states, self.words.astype("<u4", copy=False).tobytes()])

    @classmethod
    def from_bytes(cls, data: bytes | bytearray | memoryview) -> Stream:
        """Take a stream apart; damage that shows without the tables is a `BitstreamError`."""
        view = memoryview(data).cast("B")
        if not view:
            raise BitstreamError("it is empty, but has at least one byte", SECTION)
        head, view = view[0], view[1:]
        if head >> 3:
            raise BitstreamError(f"reserved bits are set in its first byte {head:#04x}", SECTION)
        escapes = np.empty(0, np.int64)
        if head & _HAS_ESCAPES:
            escapes, view = _read_escapes(view)
        lanes = LANES[head & 3]
        size = _one_state_size(view) if lanes == 1 else 8 * lanes
        if len(view) < size or (len(view) - size) % 4:
            raise BitstreamError(f"{len(view)} bytes are not {size} of states and whole words", SECTION)
        return cls(escapes, _read_states(view[:size], lanes), np.frombuffer(view[size:], "<u4").astype(np.uint32))


def _read_escapes(view: memoryview) -> tuple[NDArray[np.int64], memoryview]:
    """The escapes' numbers, and what comes after them."""
    length, used = unpack_varint(view, SECTION)
    view = view[used:]
    if not 1 <= length <= len(view):
        raise BitstreamError(f"it has {length} bytes of escapes, but {len(view)} are left", SECTION)
    return unpack_varints(view[:length], SECTION), view[length:]


def _one_state_size(view: memoryview) -> int:
    """Bytes that the state of a single lane takes at the head of `view`."""
    return len(view) if len(view) <= 8 else 5 + (len(view) - 5) % 4


def _short_state(state: int) -> bytes:
    return b"" if state == start_state(1) else state.to_bytes((state.bit_length() + 7) // 8, "little")


def _read_states(view: memoryview, lanes: int) -> NDArray[np.uint64]:
    if lanes > 1:
        states = np.frombuffer(view, "<u8").astype(np.uint64)
        if states.min() < start_state(lanes):
            raise BitstreamError("a lane's state is below 2^32", SECTION)
        return states
    state = int.from_bytes(view, "little") if view else start_state(lanes)
    if _short_state(state) != bytes(view):
        raise BitstreamError("its state is not written in the fewest bytes", SECTION)
    return np.array([state], np.uint64)
