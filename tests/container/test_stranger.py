"""A reader written from docs/bitstream.md alone: nothing of the package but its reference coder, and it reads a golden file."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from codec.coding import reference
from codec.container import Reader

GOLDEN = Path(__file__).parents[1] / "golden"
CODES, END = 2, 4


def checksum(data: bytes, value: int = 0) -> int:
    """CRC-32C bit by bit."""
    value ^= 0xFFFFFFFF
    for octet in data:
        value ^= octet
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value ^ 0xFFFFFFFF


@dataclass
class Cursor:
    """A place in the file."""

    data: bytes
    at: int = 0

    def take(self, count: int) -> bytes:
        self.at += count
        return self.data[self.at - count : self.at]

    def varint(self) -> int:
        octet = self.take(1)[0]
        return octet if octet < 128 else octet - 128 + 128 * self.varint()

    def checked(self, begin: int, value: int = 0) -> int:
        """The checksum stored here, which must be that of what lies before it from `begin` on."""
        expected = checksum(self.data[begin : self.at], value)
        stored = int.from_bytes(self.take(4), "little")
        assert stored == expected
        return stored


def read(data: bytes) -> tuple[tuple[int, int, int], dict[int, bytes]]:
    """Width, height and alphabet of a picture with one plane, and the payload of each chunk."""
    cursor = Cursor(data)
    assert cursor.take(4) == b"LMC\1"
    assert cursor.take(1)[0] & ~0x08 == 1
    cursor.take(8)
    width, height, planes, alphabet = (cursor.varint() for _ in range(4))
    assert planes == 1
    chain, payloads = cursor.checked(0), {}
    while (type_ := data[begin := cursor.at]) != END:
        assert cursor.take(1)[0] == CODES
        size, chunk = cursor.varint(), cursor.varint()
        payloads[chunk] = cursor.take(size)
        chain = checksum(cursor.checked(begin).to_bytes(4, "little"), chain)
    assert cursor.take(2) == bytes([type_, 0])
    cursor.checked(begin, chain)
    assert cursor.at == len(data)
    return (width, height, alphabet + 1), payloads


@pytest.mark.parametrize("name", ["colour", "grey"])
def test_the_page_suffices_to_read_a_file(name: str) -> None:
    data = (GOLDEN / f"{name}.lmc").read_bytes()
    (width, height, alphabet), payloads = read(data)
    reader = Reader(io.BytesIO(data))
    assert (reader.head.fields.width, reader.head.fields.height) == (width, height)  # type: ignore[union-attr]
    assert reader.head.alphabets == (alphabet,)
    assert {section.chunk: section.payload for section in reader} == payloads


def test_the_page_gives_the_codes_that_it_shows() -> None:
    frequencies = load_file(GOLDEN / "tiny" / "model.safetensors")["prior.frequencies_0"].astype(np.int64).tolist()
    table = reference.SymbolTable(frequencies, precision=16)
    _, payloads = read((GOLDEN / "grey.lmc").read_bytes())
    codes = [reference.decode(payloads[chunk], [table] * count) for chunk, count in ((0, 16), (1, 2))]
    shown = "33 50 51 52 34 43 4 34 4 52 43 43 52 52 41 52 34 34"
    assert [*codes[0], *codes[1]] == [int(number) for number in shown.split()]
