"""The head of a file: what it is, how large, which model it needs, and its planes; docs/bitstream.md has the bytes."""

from dataclasses import dataclass, fields
from enum import IntEnum
from typing import ClassVar

from codec.coding import crc32c
from codec.container.byte_reader import ByteReader, pack_varint
from codec.errors import BitstreamError, UnsupportedVersionError

MAGIC, VERSION, HASH_BYTES = b"LMC", 1, 8
MAX_PLANES, MAX_ALPHABET, MAX_NUMBER = 64, 1 << 24, (1 << 35) - 1
_KIND_MASK, _GREY, _CHUNK_MAJOR, _GAIN, _DROPPABLE, _UNBOUNDED = 0x07, 0x08, 0x10, 0x20, 0x40, 0x80


class MediaCode(IntEnum):
    """Kind of media in the low bits of the flags."""

    IMAGE = 1
    AUDIO = 2
    VIDEO = 3


@dataclass(frozen=True)
class ImageFields:
    """A picture's size in pixels; `channels`, 1 or 3, is what to give back."""

    code: ClassVar[MediaCode] = MediaCode.IMAGE
    limits: ClassVar[dict[str, tuple[int, int]]] = {"width": (1, 1 << 20), "height": (1, 1 << 20)}
    width: int
    height: int
    channels: int = 3

    @property
    def is_open(self) -> bool:
        """Whether END says the length."""
        return False

    def check(self) -> None:
        """Bound what a lying head could make a reader allocate."""
        if self.channels not in (1, 3):
            raise BitstreamError(f"a picture has 1 or 3 channels, got {self.channels}", "head")
        if self.width * self.height > 1 << 32:
            raise BitstreamError(f"{self.width} x {self.height} pixels are more than 2^32", "head")


@dataclass(frozen=True)
class AudioFields:
    """Sound; `samples` 0 means that END says how many."""

    code: ClassVar[MediaCode] = MediaCode.AUDIO
    limits: ClassVar[dict[str, tuple[int, int]]] = {
        "rate_hz": (1, 1 << 24), "channels": (1, 256), "samples": (0, MAX_NUMBER)
    }  # fmt: skip
    rate_hz: int
    channels: int
    samples: int = 0

    @property
    def is_open(self) -> bool:
        """Whether END says the length."""
        return self.samples == 0

    def check(self) -> None:
        """Nothing beyond the limits of each number."""


@dataclass(frozen=True)
class VideoFields:
    """Moving pictures; `frames` 0 means that END says how many. The time base is seconds a tick, as a fraction."""

    code: ClassVar[MediaCode] = MediaCode.VIDEO
    limits: ClassVar[dict[str, tuple[int, int]]] = {
        "width": (1, 1 << 16), "height": (1, 1 << 16), "frames": (0, MAX_NUMBER),
        "time_base_numerator": (1, 1 << 31), "time_base_denominator": (1, 1 << 31),
    }  # fmt: skip
    width: int
    height: int
    frames: int
    time_base_numerator: int
    time_base_denominator: int

    @property
    def is_open(self) -> bool:
        """Whether END says the length."""
        return self.frames == 0

    def check(self) -> None:
        """Nothing beyond the limits of each number."""


Fields = ImageFields | AudioFields | VideoFields
_BY_CODE: dict[int, type[ImageFields] | type[AudioFields] | type[VideoFields]] = {
    MediaCode.IMAGE: ImageFields, MediaCode.AUDIO: AudioFields, MediaCode.VIDEO: VideoFields
}  # fmt: skip


@dataclass(frozen=True)
class Head:
    """All that a reader must know before the first section.

    Attributes:
        fields: size of the media.
        coding_hash: first 8 bytes of the SHA-256 of the model's coding part.
        alphabets: for each plane its number of codes, 0 where any integer may occur.
        droppable_from: planes from this one on may be missing.
        gain: index of the quality, for models with several.
        chunk_major: each section holds all planes of a chunk; else planes come coarse to fine over all chunks.
        version: of the format.
    """

    fields: Fields
    coding_hash: bytes
    alphabets: tuple[int, ...]
    droppable_from: int | None = None
    gain: int | None = None
    chunk_major: bool = False
    version: int = VERSION

    def __post_init__(self) -> None:
        _bounded("version", self.version, 1, VERSION)
        if len(self.coding_hash) != HASH_BYTES:
            raise BitstreamError(f"a coding hash has {HASH_BYTES} bytes, got {len(self.coding_hash)}", "head")
        _bounded("planes", len(self.alphabets), 1, MAX_PLANES)
        for alphabet in self.alphabets:
            _bounded("alphabet", alphabet, 0, MAX_ALPHABET)
        if self.droppable_from is not None:
            _bounded("first droppable plane", self.droppable_from, 1, len(self.alphabets))
        if self.gain is not None:
            _bounded("gain", self.gain, 0, MAX_NUMBER)
        for name, (low, high) in self.fields.limits.items():
            _bounded(name, getattr(self.fields, name), low, high)
        self.fields.check()

    @property
    def kind(self) -> str:
        """`image`, `audio` or `video`."""
        return self.fields.code.name.lower()

    @property
    def is_unbounded(self) -> bool:
        """Whether any integer may occur in every plane; the file then lists no alphabets."""
        return not any(self.alphabets)

    @property
    def names_plane(self) -> bool:
        """Whether CODES sections say which plane they hold: only where planes of a chunk lie apart."""
        return not self.chunk_major and len(self.alphabets) > 1

    def to_bytes(self) -> bytes:
        """The head as it stands in a file, with its checksum."""
        grey = isinstance(self.fields, ImageFields) and self.fields.channels == 1
        flags = self.fields.code | _GREY * grey | _CHUNK_MAJOR * self.chunk_major
        flags |= _GAIN * (self.gain is not None) | _DROPPABLE * (self.droppable_from is not None)
        numbers = [getattr(self.fields, name) for name in _stored(type(self.fields))]
        numbers += [number for number in (self.gain, self.droppable_from) if number is not None]
        flags |= _UNBOUNDED * self.is_unbounded
        listed = () if self.is_unbounded else self.alphabets
        numbers += [len(self.alphabets), *((alphabet - 1) % (MAX_ALPHABET + 1) for alphabet in listed)]
        body = MAGIC + bytes([self.version, flags]) + self.coding_hash + b"".join(map(pack_varint, numbers))
        return body + crc32c(body).to_bytes(4, "little")


def read_head(source: ByteReader) -> Head:
    """Take the head off the front of a file."""
    source.begin("head")
    magic = source.take(len(MAGIC), short="not an .lmc file")
    if magic != MAGIC:
        raise BitstreamError("not an .lmc file", "head")
    version = source.take(1)[0]
    if version > VERSION:
        raise UnsupportedVersionError(
            f"the file has version {version}, this reader knows versions up to {VERSION}", "head"
        )
    flags = source.take(1)[0]
    if version == 0 or flags & _KIND_MASK not in _BY_CODE:
        raise BitstreamError(f"unknown version {version} or flags {flags:#04x}", "head")
    coding_hash = source.take(HASH_BYTES)
    kind = _BY_CODE[flags & _KIND_MASK]
    numbers = {name: source.take_varint() for name in _stored(kind)}
    gain = source.take_varint() if flags & _GAIN else None
    droppable = source.take_varint() if flags & _DROPPABLE else None
    count = _bounded("planes", source.take_varint(), 1, MAX_PLANES)
    listed = 0 if flags & _UNBOUNDED else count
    stored = [_bounded("alphabet", source.take_varint(), 0, MAX_ALPHABET) for _ in range(listed)]
    fault = source.crc_fault()
    if fault is not None:
        raise fault
    if kind is ImageFields:
        numbers["channels"] = 1 if flags & _GREY else 3
    elif flags & _GREY:
        raise BitstreamError("only a picture can be grey", "head")
    alphabets = tuple((number + 1) % (MAX_ALPHABET + 1) for number in stored) or (0,) * count
    return Head(kind(**numbers), coding_hash, alphabets, droppable, gain, bool(flags & _CHUNK_MAJOR), version)


def _stored(kind: type[Fields]) -> list[str]:
    """Names of the numbers that the head writes for a kind; a picture's channels are a flag."""
    return [field.name for field in fields(kind) if field.name in kind.limits]


def _bounded(name: str, value: int, low: int, high: int) -> int:
    if not low <= value <= high:
        raise BitstreamError(f"{name} must lie in {low}..{high}, got {value}", "head")
    return value
