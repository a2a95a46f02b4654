"""Pictures to `.lmc` and back: codes cut into chunks, each chunk coded on its own, alpha and metadata beside them."""

from collections.abc import Iterator, Mapping
from typing import BinaryIO

import torch
from torch import Tensor

from codec.container import Head, ImageFields, Reader, Section, SectionType, Writer, pack_planes, unpack_planes
from codec.container.head import HASH_BYTES
from codec.entropy import EntropyModel, Layout, decode_chunk, encode_chunk
from codec.errors import BitstreamError, ModelMismatchError
from codec.models.tiling import Tile, tiles
from codec.types import Codes, Media, Plane

DEPTHS = {torch.uint8: 8, torch.uint16: 16}  # bits a sample
METADATA = {SectionType.ALPHA: "alpha", SectionType.ICC: "icc", SectionType.EXIF: "exif", SectionType.TAGS: "tags"}


def write_picture(
    media: Media, codes: Codes, sink: BinaryIO, *, prior: EntropyModel, chunk: int, coding_hash: bytes
) -> None:
    """Write one picture's codes as a whole file.

    Args:
        media: for its size, channels, depth and metadata; the samples are not read.
        codes: planes of shape `(1, h, w)`.
        sink: written front to back.
        prior: tables for the codes.
        chunk: side of a chunk in positions.
        coding_hash: of the model, at least 8 bytes.
    """
    height, width = media.space
    head = Head(
        fields=ImageFields(width=width, height=height, channels=media.samples.shape[0]),
        coding_hash=coding_hash[:HASH_BYTES],
        alphabets=codes.alphabets,
        droppable_from=codes.droppable_from,
        chunk_major=len(codes.planes) > 1,
    )
    writer = Writer(sink, head)
    if (depth := DEPTHS.get(media.samples.dtype, 8)) != 8:
        writer.write(Section(SectionType.DEPTH, payload=bytes([depth])))
    for index, part in enumerate(tiles(codes.grid, chunk)):
        streams = encode_chunk(prior, [plane.codes[0, part.rows, part.columns] for plane in codes.planes])
        writer.write(Section(SectionType.CODES, chunk=index, payload=pack_planes(streams)))
    for kind, name in METADATA.items():
        if name in media.metadata:
            writer.write(Section(kind, chunk=0, payload=media.metadata[name]))
    writer.finish()


class PictureReader:
    """One picture file, read section by section.

    Args:
        source: opened file or pipe.
        priors: entropy model of each coding hash (its first 8 bytes) that can be read.
        stride: pixels a position.
        chunk: side of a chunk in positions.
        missing: int64 `(planes,)`, the codes of positions that a damaged file lost.
        partial: give what is whole instead of refusing a damaged file.

    Attributes:
        depth: bits a sample that the picture had, 8 or 16.
        codes: planes of shape `(1, h, w)`; positions that were not whole hold `missing`.
        lost: chunks that were not whole, only with `partial`.
    """

    def __init__(
        self,
        source: BinaryIO,
        *,
        priors: Mapping[bytes, EntropyModel],
        stride: int,
        chunk: int,
        missing: Tensor,
        partial: bool = False,
    ) -> None:
        self._reader = Reader(source, partial=partial)
        self.head = self._reader.head
        self._prior = self._choose(priors)
        assert isinstance(self.head.fields, ImageFields)
        self.height, self.width, self.channels = (
            self.head.fields.height,
            self.head.fields.width,
            self.head.fields.channels,
        )
        self._grid = (-(-self.height // stride), -(-self.width // stride))
        self._chunks = list(tiles(self._grid, chunk))
        self.metadata: dict[str, bytes] = {}
        self.depth = 8
        self.lost = set(range(len(self._chunks)))
        self.codes = self._read(missing, partial)

    def _choose(self, priors: Mapping[bytes, EntropyModel]) -> EntropyModel:
        if not isinstance(self.head.fields, ImageFields):
            raise BitstreamError("this file does not hold a picture", section="head")
        if self.head.coding_hash not in priors:
            known = " or ".join(coding_hash.hex() for coding_hash in priors)
            raise ModelMismatchError(f"the file needs model {self.head.coding_hash.hex()}, this is {known}", "head")
        return priors[self.head.coding_hash]

    def _read(self, missing: Tensor, partial: bool) -> Codes:
        chunks: dict[int, list[Tensor]] = {}
        for section in self._reader:
            if section.type in METADATA:
                self.metadata[METADATA[section.type]] = section.payload
            elif section.type == SectionType.DEPTH:
                self.depth = _read_depth(section.payload)
            elif section.type == SectionType.CODES:
                try:
                    chunks[section.chunk] = self._read_chunk(section)
                except BitstreamError:
                    if not partial:
                        raise
        if self.lost and not partial:
            raise BitstreamError(f"{len(self.lost)} of {len(self._chunks)} chunks are missing", section="codes")
        return self._join(chunks, missing)

    def _read_chunk(self, section: Section) -> list[Tensor]:
        where = f"codes of chunk {section.chunk}"
        if section.chunk not in self.lost:
            raise BitstreamError("the chunk is there twice, or outside the picture", section=where)
        count = len(self.head.alphabets)
        layout = Layout((self._chunks[section.chunk].shape,) * count)
        planes = decode_chunk(self._prior, layout, unpack_planes(section.payload, count, where))
        self.lost.discard(section.chunk)
        return planes

    def _join(self, chunks: dict[int, list[Tensor]], missing: Tensor) -> Codes:
        """Whole planes from chunks; only now is there memory in proportion to the size that the head claims."""
        grids = [missing[q].expand(self._grid).clone() for q in range(len(self.head.alphabets))]
        for index, planes in chunks.items():
            part = self._chunks[index]
            for grid, plane in zip(grids, planes, strict=True):
                grid[part.rows, part.columns] = plane
        return Codes(tuple(Plane(grid[None], size) for grid, size in zip(grids, self.head.alphabets, strict=True)))


def assemble(reader: PictureReader, decoded: Iterator[tuple[int, Tile, Tensor]]) -> Media:
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
