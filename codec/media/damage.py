"""Files whose header promises more than their data hold, where Pillow would fill the rest with black or grey and say nothing.

PNG: W3C, "Portable Network Graphics", 3rd edition, 2025. TIFF: Adobe, "TIFF Revision 6.0", 1992. JPEG: ITU-T T.81, 1992.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from typing import BinaryIO

from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

PIECE_BYTES = 1 << 20  # of memory that a check takes
PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of each colour type
WHOLE = ((0, 0, 1, 1),)
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
TILED, ROWS_PER_STRIP, STRIP_OFFSETS, STRIP_BYTES, TILE_OFFSETS, TILE_BYTES = 322, 278, 273, 279, 324, 325
WIDTH, HEIGHT, SAMPLES_PER_PIXEL, PLANAR, TILE_LENGTH = 256, 257, 277, 284, 323
MIDDLE_GREY = frozenset({127, 128})  # what a JPEG decoder makes of blocks that are not there, inverted or not


def check_png(file: BinaryIO) -> None:
    """Raise unless every IDAT chunk has its checksum and together they hold every row that IHDR announces."""
    file.seek(16)
    width, height, bits, colour, _, _, interlaced = struct.unpack(">IIBBBBB", file.read(13))
    expected = _png_bytes(width, height, bits * PNG_CHANNELS[colour], interlaced)
    inflater, found = zlib.decompressobj(), 0
    for piece in _png_data(file):
        while piece and found < expected:
            found += len(inflater.decompress(piece, PIECE_BYTES))
            piece = inflater.unconsumed_tail
    if found < expected:
        raise ValueError(f"its data end after {found} of {expected} bytes of rows")


def check_tiff(image: TiffImageFile, file: BinaryIO) -> None:
    """Raise unless there are as many strips or tiles as the size asks for; compressed ones must lie inside the file."""
    tags = image.tag_v2
    width, height = tags[WIDTH], tags[HEIGHT]
    tiled = TILED in tags
    across = -(-width // tags[TILED]) if tiled else 1
    down = -(-height // (tags[TILE_LENGTH] if tiled else min(tags.get(ROWS_PER_STRIP, height), height)))
    layers = tags.get(SAMPLES_PER_PIXEL, 1) if tags.get(PLANAR, 1) == 2 else 1
    offsets = tags[TILE_OFFSETS if tiled else STRIP_OFFSETS]
    counts = tags.get(TILE_BYTES if tiled else STRIP_BYTES, (0,) * len(offsets))
    if min(len(offsets), len(counts)) < across * down * layers:
        raise ValueError(f"it has {len(offsets)} strips or tiles, its size needs {across * down * layers}")
    end = file.seek(0, io.SEEK_END)
    compressed = any(tile.codec_name == "libtiff" for tile in image.tile)
    for number, (offset, count) in enumerate(zip(offsets, counts, strict=False)):
        if compressed and offset + count > end:
            raise ValueError(f"strip or tile {number} reaches beyond the end of the file")


def check_jpeg(image: Image.Image, file: BinaryIO) -> None:
    """Raise if a loaded JPEG ends in blocks that are not in the file.

    A last pixel of exactly middle grey is suspicious, no more; then a second decoder, which does not forgive, decides.
    """
    last = image.getpixel((image.width - 1, image.height - 1))
    if set(last if isinstance(last, tuple) else (last,)) <= MIDDLE_GREY:
        _decode_strictly(file)


def _decode_strictly(file: BinaryIO) -> None:
    import av

    file.seek(0)
    decoder = av.CodecContext.create("mjpeg", "r")
    decoder.options = {"err_detect": "explode"}
    try:
        decoder.decode(av.Packet(file.read()))
    except av.error.InvalidDataError as error:
        raise ValueError("its data end before the picture does") from error


def _png_bytes(width: int, height: int, pixel_bits: int, interlaced: int) -> int:
    """Bytes of all rows with their filter bytes."""
    total = 0
    for left, top, across, down in ADAM7 if interlaced else WHOLE:
        columns, rows = -(-(width - left) // across), -(-(height - top) // down)
        if columns > 0 and rows > 0:
            total += rows * (1 + -(-columns * pixel_bits // 8))
    return total


def _png_data(file: BinaryIO) -> Iterator[bytes]:
    """Contents of the IDAT chunks in pieces, each chunk's checksum compared."""
    file.seek(8)
    while len(head := file.read(8)) == 8:
        size, kind = struct.unpack(">I4s", head)
        if kind != b"IDAT":
            file.seek(size + 4, io.SEEK_CUR)
            continue
        checksum = zlib.crc32(kind)
        for start in range(0, size, PIECE_BYTES):
            piece = file.read(min(PIECE_BYTES, size - start))
            checksum = zlib.crc32(piece, checksum)
            yield piece
        if file.read(4) != struct.pack(">I", checksum):
            raise ValueError("the checksum of its data is wrong")
