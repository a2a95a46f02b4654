"""Writers of pictures with 16 bits a sample, which Pillow cannot write in colour: PNG, TIFF and PPM, row by row.

PNG: W3C, "Portable Network Graphics", 3rd edition, 2025. TIFF: Adobe, "TIFF Revision 6.0", 1992. An encoder of another library
would hold the picture three times over in memory; these hold a strip.
"""

import struct
import zlib
from collections.abc import Iterator
from itertools import accumulate
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import ImageFileDirectory_v2
from torch import Tensor

from codec.media.metadata import EXIF_DIRECTORY, EXIF_PREFIX, GPS_DIRECTORY, TIFF_TAGS

STRIP_SAMPLES = 1 << 20
PNG_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}  # by channels
SUB, UP, PAETH = 1, 2, 4  # types of PNG row filters
LITTLE_ENDIAN, DEFLATE, DIFFERENCES, UNASSOCIATED_ALPHA = b"II", 8, 2, 2


def write_deep(samples: Tensor, sink: BinaryIO, format: str, *, icc_profile: bytes = b"", exif: bytes = b"") -> None:
    """Write uint16 `(1 to 4, H, W)`, the last of 2 or 4 channels being alpha.

    Args:
        samples: full scale is 65535.
        sink: written front to back.
        format: `"PNG"`, `"TIFF"` or `"PPM"`, which takes neither alpha nor metadata.
        icc_profile: a colour profile.
        exif: a block with its prefix.
    """
    if format == "PNG":
        _write_png(samples, sink, icc_profile, exif.removeprefix(EXIF_PREFIX))
    elif format == "TIFF":
        _write_tiff(samples, sink, icc_profile, exif)
    else:
        channels, height, width = samples.shape
        sink.write(f"P{5 if channels == 1 else 6}\n{width} {height}\n65535\n".encode())
        for strip in _strips(samples):
            sink.write(strip.astype(">u2").tobytes())


def _strips(samples: Tensor) -> Iterator[NDArray[np.uint16]]:
    """Rows from top to bottom, `(rows, W, C)`."""
    channels, height, width = samples.shape
    rows = max(1, STRIP_SAMPLES // (channels * width))
    for top in range(0, height, rows):
        yield np.ascontiguousarray(np.moveaxis(samples[:, top : top + rows].numpy(), 0, 2))


def _write_png(samples: Tensor, sink: BinaryIO, icc: bytes, exif: bytes) -> None:
    channels, height, width = samples.shape
    head = struct.pack(">IIBBBBB", width, height, 16, PNG_COLOUR_TYPES[channels], 0, 0, 0)
    sink.write(b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head))
    if icc:
        sink.write(_chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc)))
    if exif:
        sink.write(_chunk(b"eXIf", exif))
    deflater = zlib.compressobj()
    above = np.zeros((1, 2 * channels * width), np.uint8)
    for strip in _strips(samples):
        rows = strip.astype(">u2").view(np.uint8).reshape(len(strip), -1)
        sink.write(_chunk(b"IDAT", deflater.compress(_filtered(rows, above, 2 * channels))))
        above = rows[-1:]
    sink.write(_chunk(b"IDAT", deflater.flush()) + _chunk(b"IEND", b""))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _filtered(rows: NDArray[np.uint8], above: NDArray[np.uint8], step: int) -> bytes:
    """Each row less a prediction, of three the one that leaves the smallest numbers, with its type in front.

    Args:
        rows: `(n, bytes)`.
        above: `(1, bytes)`, the row before them.
        step: bytes from one sample to its neighbour's.
    """
    up = np.concatenate([above, rows[:-1]])
    left, corner = (np.pad(part, ((0, 0), (step, 0)))[:, :-step] for part in (rows, up))
    choices = {SUB: rows - left, UP: rows - up, PAETH: rows - _paeth(left, up, corner)}
    costs = np.stack([np.abs(choice.view(np.int8).astype(np.int16)).sum(1) for choice in choices.values()])
    kinds = np.array(list(choices), np.uint8)[costs.argmin(0)][:, None]
    best = np.select([kinds == kind for kind in choices], list(choices.values()))
    return np.concatenate([kinds, best], 1).tobytes()


def _paeth(left: NDArray[np.uint8], up: NDArray[np.uint8], corner: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Of the three neighbours the one nearest to left + up - corner; Paeth 1991, Graphics Gems II."""
    a, b, c = (part.astype(np.int16) for part in (left, up, corner))
    from_left, from_up, from_corner = abs(b - c), abs(a - c), abs(a + b - 2 * c)
    nearest = np.where(from_up <= from_corner, up, corner)
    return np.where((from_left <= from_up) & (from_left <= from_corner), left, nearest)


def _write_tiff(samples: Tensor, sink: BinaryIO, icc: bytes, exif: bytes) -> None:
    """Deflated strips of horizontal differences behind one directory."""
    channels, height, width = samples.shape
    packed = [zlib.compress(_differences(strip).astype("<u2").tobytes()) for strip in _strips(samples)]
    directory = ImageFileDirectory_v2(prefix=LITTLE_ENDIAN)
    tags: dict[int, Any] = {
        256: width, 257: height, 258: (16,) * channels, 259: DEFLATE, 262: 2 if channels > 2 else 1, 277: channels,
        278: max(1, STRIP_SAMPLES // (channels * width)), 279: tuple(map(len, packed)), 284: 1, 317: DIFFERENCES,
    }  # fmt: skip
    if channels in (2, 4):
        tags[338] = UNASSOCIATED_ALPHA
    tags[273] = tuple(accumulate(tags[279], initial=0))[:-1]  # Pillow counts from the end of the directory on
    for tag, value in (tags | _exif_tags(exif)).items():
        directory[tag] = value
    if icc:
        directory.tagtype[34675] = 7
        directory[34675] = icc
    sink.write(LITTLE_ENDIAN + struct.pack("<HI", 42, 8) + directory.tobytes(8))
    for data in packed:
        sink.write(data)


def _differences(strip: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Each sample less the one to its left."""
    return np.diff(strip, axis=1, prepend=np.zeros_like(strip[:, :1]))


def _exif_tags(exif: bytes) -> dict[int, Any]:
    """The tags of an EXIF block that go into a TIFF's own directory."""
    if not exif:
        return {}
    block = Image.Exif()
    block.load(exif)
    found = {tag: block[tag] for tag in TIFF_TAGS if tag in block}
    return found | {tag: dict(block.get_ifd(tag)) for tag in (EXIF_DIRECTORY, GPS_DIRECTORY) if tag in block}
