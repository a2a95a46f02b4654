"""What every codec offers, whatever it is made of."""

from typing import BinaryIO, Literal, Protocol

from torch import Tensor

from codec.types import Codes, Media

PriorName = Literal["static", "learned"]


class Codec(Protocol):
    """A model that turns media into codes and into files, and back."""

    def encode(self, x: Tensor) -> Codes:
        """Samples `(B, C, *space)` to codes."""

    def decode(self, codes: Codes) -> Tensor:
        """Codes to samples."""

    def compress(self, media: Media, *, prior: PriorName | None = None) -> bytes:
        """Media to the bytes of a `.lmc` file; by the entropy model of a name, the best by default."""

    def decompress(self, data: bytes, *, partial: bool = False) -> Media:
        """The bytes of a `.lmc` file to media."""

    def read_codes(self, source: BinaryIO, *, partial: bool = False) -> object:
        """Only the lossless half of `decompress`: the codes of a file, checked."""

    def coding_hash(self, prior: PriorName = "static") -> bytes:
        """SHA-256 of all that a decoder must share for files written with a prior."""

    def to(self, device: str) -> "Codec":
        """The same model on another device."""
