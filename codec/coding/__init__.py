"""Integers to bytes and back: frozen integer tables, the rANS coder that they drive, and a checksum.

stream.py specifies the bytes; reference.py is the same coder in plain Python, for readers and for the tests.
"""

from codec.coding.checksum import crc32c
from codec.coding.frequencies import quantise_frequencies
from codec.coding.rans import Decoder, Encoder, decode, encode
from codec.coding.tables import FrozenTables, gaussian_tables, tables_from_pmfs

__all__ = [
    "Decoder",
    "Encoder",
    "FrozenTables",
    "crc32c",
    "decode",
    "encode",
    "gaussian_tables",
    "quantise_frequencies",
    "tables_from_pmfs",
]
