"""Integers to bytes and back: frozen integer tables, the rANS coder that they drive, and a checksum.

stream.py specifies the bytes; reference.py is the same coder in plain Python, for readers and for the tests. Names are
loaded when first used, so that a checksum does not import numba.
"""

from typing import TYPE_CHECKING

from codec.lazy import lazy_names

if TYPE_CHECKING:
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

_HOMES = {
    "Decoder": "codec.coding.rans",
    "Encoder": "codec.coding.rans",
    "FrozenTables": "codec.coding.tables",
    "crc32c": "codec.coding.checksum",
    "decode": "codec.coding.rans",
    "encode": "codec.coding.rans",
    "gaussian_tables": "codec.coding.tables",
    "quantise_frequencies": "codec.coding.frequencies",
    "tables_from_pmfs": "codec.coding.tables",
}

__getattr__ = lazy_names(__name__, _HOMES)
