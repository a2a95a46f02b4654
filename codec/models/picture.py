"""Pictures to `.lmc` and back: chunks of coder streams, each read on its own, alpha and metadata beside them."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import BinaryIO, Generic, TypeVar

import torch
from torch import Tensor

from codec.container import Head, ImageFields, Reader, Section, SectionType, Writer, pack_planes, unpack_planes
from codec.errors import BitstreamError, ModelMismatchError
from codec.models.tiling import Tile, tiles
from codec.types import Media

DEPTHS = {torch.uint8: 8, torch.uint16: 16}  # bits a sample
METADATA = {SectionType.ALPHA: "alpha", SectionType.ICC: "icc", SectionType.EXIF: "exif", SectionType.TAGS: "tags"}

Prior = TypeVar("Prior")
Chunk = TypeVar("Chunk")


def write_picture(media: Media, head: Head, chunks: Iterable[Sequence[bytes]], sink: BinaryIO) -> None:
    """Write one picture as a whole file.

    Args:
        media: for its depth and metadata; the samples are not read.
        head: of the file; it says in which order planes and chunks come.
        chunks: for each chunk a coder stream for each plane.
        sink: written front to back.
    """
    writer = Writer(sink, head)
    if (depth := DEPTHS.get(media.samples.dtype, 8)) != 8:
        writer.write(Section(SectionType.DEPTH, payload=bytes([depth])))
    for section in _sections(head, chunks):
        writer.write(section)
    for kind, name in METADATA.items():
        if name in media.metadata:
            writer.write(Section(kind, chunk=0, payload=media.metadata[name]))
    writer.finish()


def image_fields(media: Media) -> ImageFields:
    """What the head says of a picture."""
    height, width = media.space
    return ImageFields(width=width, height=height, channels=media.samples.shape[0])


def _sections(head: Head, chunks: Iterable[Sequence[bytes]]) -> Iterator[Section]:
    if not head.names_plane:
        for index, streams in enumerate(chunks):
            yield Section(SectionType.CODES, chunk=index, payload=pack_planes(streams))
        return
    held = list(chunks)
    for plane in range(len(head.alphabets)):
        for index, streams in enumerate(held):
            yield Section(SectionType.CODES, chunk=index, first_plane=plane, payload=streams[plane])


class PictureReader(Generic[Prior]):
    """One picture file, read section by section.

    Args:
        source: opened file or pipe.
        priors: what can be read, by coding hash (its first 8 bytes).
        stride: pixels a position.
        chunk: side of a chunk in positions.
        partial: give what is whole instead of refusing a damaged file.

    Attributes:
        prior: the one that the file names.
        grid: rows and columns of positions.
        depth: bits a sample that the picture had, 8 or 16.
        lost: chunks that were not whole, only with `partial`.
    """

    def __init__(
        self, source: BinaryIO, *, priors: Mapping[bytes, Prior], stride: int, chunk: int, partial: bool = False
    ) -> None:
        self._reader, self._partial = Reader(source, partial=partial), partial
        self.head = self._reader.head
        self.prior = self._choose(priors)
        assert isinstance(self.head.fields, ImageFields)
        fields = self.head.fields
        self.height, self.width, self.channels = fields.height, fields.width, fields.channels
        self.grid = (-(-self.height // stride), -(-self.width // stride))
        self.chunks = list(tiles(self.grid, chunk))
        self.metadata: dict[str, bytes] = {}
        self.depth = 8
        self.lost = set(range(len(self.chunks)))

    def _choose(self, priors: Mapping[bytes, Prior]) -> Prior:
        if not isinstance(self.head.fields, ImageFields):
            raise BitstreamError("this file does not hold a picture", section="head")
        if self.head.coding_hash not in priors:
            known = " or ".join(coding_hash.hex() for coding_hash in priors)
            raise ModelMismatchError(f"the file needs model {self.head.coding_hash.hex()}, this is {known}", "head")
        return priors[self.head.coding_hash]

    def read(self, decode: Callable[[Tile, list[bytes]], Chunk]) -> dict[int, Chunk]:
        """Every whole chunk, from its tile and the streams of its first planes; all planes unless the file is damaged."""
        chunks: dict[int, Chunk] = {}
        for index, streams in self._streams():
            try:
                if index not in self.lost:
                    raise BitstreamError("the chunk is there twice, or outside the picture", f"codes of chunk {index}")
                chunks[index] = decode(self.chunks[index], streams)
                self.lost.discard(index)
            except BitstreamError:
                if not self._partial:
                    raise
        if self.lost and not self._partial:
            raise BitstreamError(f"{len(self.lost)} of {len(self.chunks)} chunks are missing", section="codes")
        return chunks

    def _streams(self) -> Iterator[tuple[int, list[bytes]]]:
        """Chunks as they come; where planes lie apart, at the end of the file, each with its first whole planes."""
        apart: dict[int, dict[int, bytes]] = {}
        for section in self._reader:
            if section.type in METADATA:
                self.metadata[METADATA[section.type]] = section.payload
            elif section.type == SectionType.DEPTH:
                self.depth = _read_depth(section.payload)
            elif section.type == SectionType.CODES and self.head.names_plane:
                if section.first_plane in (planes := apart.setdefault(section.chunk, {})):
                    raise BitstreamError("the plane is there twice", section.title)
                planes[section.first_plane] = section.payload
            elif section.type == SectionType.CODES:
                yield section.chunk, unpack_planes(section.payload, len(self.head.alphabets), section.title)
        for index, planes in apart.items():
            yield index, self._first_planes(index, planes)

    def _first_planes(self, index: int, planes: dict[int, bytes]) -> list[bytes]:
        whole = next((i for i in range(len(planes)) if i not in planes), len(planes))
        if whole < len(self.head.alphabets) and not self._partial:
            raise BitstreamError(f"plane {whole} is missing", f"codes of chunk {index}")
        if whole < (self.head.droppable_from or len(self.head.alphabets)):
            raise BitstreamError(f"plane {whole} is missing, which nothing can replace", f"codes of chunk {index}")
        return [planes[i] for i in range(whole)]


def assemble(reader: PictureReader[Prior], decoded: Iterator[tuple[int, Tile, Tensor]]) -> Media:
    """Decoded tiles to the picture at its true size, of the depth and the channels that the file names."""
    dtype, largest = (torch.uint8, 255) if reader.depth == 8 else (torch.uint16, 65535)
    samples = torch.empty(reader.channels, reader.height, reader.width, dtype=dtype)
    for _, place, block in decoded:
        block = block[:, : reader.height - place.top, : reader.width - place.left]
        block = block if reader.channels == 3 else block.mean(0, keepdim=True)
        samples[:, place.rows, place.columns] = block.mul(largest).round_().to(dtype)
    return Media("image", samples, reader.metadata)


def _read_depth(payload: bytes) -> int:
    if payload != b"\x10":
        raise BitstreamError(f"samples can have 16 bits, this names {payload.hex() or 'nothing'}", section="depth")
    return payload[0]
