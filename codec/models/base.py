"""What every codec offers, whatever it is made of."""

from typing import BinaryIO, Protocol

from torch import Tensor

from codec.types import Codes, Media


class Codec(Protocol):
    """A model that turns media into codes and into files, and back."""

    def encode(self, x: Tensor) -> Codes:
        """Samples `(B, C, *space)` to codes."""

    def decode(self, codes: Codes) -> Tensor:
        """Codes to samples."""

    def compress(self, media: Media) -> bytes:
        """Media to the bytes of a `.lmc` file."""

    def decompress(self, data: bytes, *, partial: bool = False) -> Media:
        """The bytes of a `.lmc` file to media."""

    def read_codes(self, source: BinaryIO, *, partial: bool = False) -> object:
        """Only the lossless half of `decompress`: the codes of a file, checked."""

    def coding_hash(self) -> bytes:
        """SHA-256 of all that a decoder must share."""

    def to(self, device: str) -> "Codec":
        """The same model on another device."""
