"""Pictures of 16 bits a sample: every bit in, every bit out, in each format, byte order and layout."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from codec.errors import MediaError
from codec.media import read_image, write_image
from codec.media.image import to_pillow
from codec.types import Media


def noise(*shape: int) -> NDArray[np.uint16]:
    return np.random.default_rng(0).integers(0, 65536, shape, np.uint16)


def tensor(pixels: NDArray[np.uint16]) -> Tensor:
    return torch.from_numpy(np.moveaxis(pixels, 2, 0).copy())


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(pixels: NDArray[np.uint16], extra: bytes = b"") -> bytes:
    """A PNG by hand, from `(H, W, C)`, without filters."""
    height, width, channels = pixels.shape
    head = struct.pack(">IIBBBBB", width, height, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    body = chunk(b"IHDR", head) + extra + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def tiff(
    pixels: NDArray[np.uint16], order: str, *, compressed: bool = False, planar: bool = False, white: int = 1
) -> bytes:
    """A TIFF by hand, from `(H, W, C)`; `order` is `<` or `>`."""
    height, width, channels = pixels.shape
    body = (np.moveaxis(pixels, 2, 0) if planar else pixels).astype(f"{order}u2").tobytes()
    body = zlib.compress(body) if compressed else body
    parts = channels if planar else 1
    entries = [
        (256, [width]), (257, [height]), (258, [16] * channels), (259, [8 if compressed else 1]),
        (262, [2 if channels > 2 else white]), (273, [8 + i * len(body) // parts for i in range(parts)]), (277, [channels]),
        (278, [height]), (279, [len(body) // parts] * parts), (284, [2 if planar else 1]),
        *([(338, [2])] if channels == 4 else []),
    ]  # fmt: skip
    start = 8 + len(body) + len(body) % 2
    directory, beyond = struct.pack(order + "H", len(entries)), b""
    end = start + 6 + 12 * len(entries)
    for tag, values in entries:
        packed = struct.pack(f"{order}{len(values)}I", *values)
        where = packed if len(values) == 1 else struct.pack(order + "I", end + len(beyond))
        beyond += b"" if len(values) == 1 else packed
        directory += struct.pack(order + "HHI", tag, 4, len(values)) + where
    magic = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", start)
    return magic + body + b"\0" * (len(body) % 2) + directory + bytes(4) + beyond


@pytest.mark.parametrize("channels", [1, 3])
def test_png(channels: int) -> None:
    pixels = noise(9, 7, channels)
    assert torch.equal(read_image(png(pixels), bits=16).samples, tensor(pixels))
    rounded = read_image(png(pixels)).samples
    assert rounded.dtype == torch.uint8
    assert torch.equal(rounded.float(), (tensor(pixels).float() / 257).round())


@pytest.mark.parametrize("channels", [2, 4])
def test_png_with_alpha(channels: int) -> None:
    pixels = noise(9, 7, channels)
    media = read_image(png(pixels), bits=16)
    assert torch.equal(media.samples, tensor(pixels)[:-1])
    assert torch.equal(read_image(media.metadata["alpha"], bits=16).samples, tensor(pixels)[-1:])
    pixels[..., -1] = 65535
    assert not read_image(png(pixels), bits=16).metadata
    pixels[0, 0, -1] = 257
    assert Image.open(io.BytesIO(read_image(png(pixels), bits=16).metadata["alpha"])).mode == "L"


@pytest.mark.parametrize("channels", [1, 3])
def test_png_with_a_transparent_colour(channels: int) -> None:
    pixels = noise(4, 3, channels)
    key = pixels[2, 1].astype(">u2").tobytes()
    media = read_image(png(pixels, chunk(b"tRNS", key)), bits=16)
    assert torch.equal(media.samples, tensor(pixels))
    expected = torch.full((1, 4, 3), 255)
    expected[0, 2, 1] = 0
    assert torch.equal(read_image(media.metadata["alpha"]).samples.long(), expected)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_tiff(order: str, compressed: bool, channels: int) -> None:
    pixels = noise(9, 7, channels)
    media = read_image(tiff(pixels, order, compressed=compressed), bits=16)
    assert torch.equal(media.samples, tensor(pixels)[:3])
    if channels == 4:
        assert torch.equal(read_image(media.metadata["alpha"], bits=16).samples, tensor(pixels)[3:])


def test_tiff_where_zero_is_white() -> None:
    pixels = noise(5, 4, 1)
    assert torch.equal(read_image(tiff(pixels, "<", white=0), bits=16).samples, tensor(65535 - pixels))


def test_tiff_with_colours_apart_is_refused_rather_than_misread() -> None:
    with pytest.raises(MediaError, match="colours apart"):
        read_image(tiff(noise(5, 4, 3), "<", planar=True))


@pytest.mark.parametrize(("magic", "channels"), [("P5", 1), ("P6", 3)])
@pytest.mark.parametrize("largest", [65535, 1023])
def test_ppm(magic: str, channels: int, largest: int) -> None:
    pixels = noise(5, 4, channels) & np.uint16(largest)
    data = f"{magic} 4 5 {largest}\n".encode() + pixels.astype(">u2").tobytes()
    expected = tensor(pixels).double().mul(65535 / largest)
    assert (read_image(data, bits=16).samples.double() - expected).abs().max() <= 0.5


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".ppm"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (3, 1), (1, 5), (70, 33)])
def test_what_is_written_is_read_again(tmp_path: Path, suffix: str, channels: int, size: tuple[int, int]) -> None:
    media = Media("image", tensor(noise(*size, channels)))
    write_image(media, tmp_path / f"a{suffix}")
    assert torch.equal(read_image(tmp_path / f"a{suffix}", bits=16).samples, media.samples)


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_alpha_is_written_in_full(tmp_path: Path, suffix: str) -> None:
    media = read_image(png(noise(6, 5, 4)), bits=16)
    write_image(media, tmp_path / f"a{suffix}")
    again = read_image(tmp_path / f"a{suffix}", bits=16)
    assert torch.equal(again.samples, media.samples)
    assert again.metadata == media.metadata


def test_strips_join(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codec.media.pixels.STRIP_PIXELS", 20)
    monkeypatch.setattr("codec.media.deep.STRIP_SAMPLES", 50)
    media = Media("image", tensor(noise(11, 7, 3)))
    for format in ("png", "tiff", "ppm"):
        stream = io.BytesIO()
        write_image(media, stream, format)
        assert torch.equal(read_image(stream, bits=16).samples, media.samples)


def test_smooth_pictures_become_small() -> None:
    ramp = (np.add.outer(np.arange(128), np.arange(128)) * 97).astype(np.uint16)[..., None].repeat(3, 2)
    for format in ("png", "tiff"):
        stream = io.BytesIO()
        write_image(Media("image", tensor(ramp)), stream, format)
        assert len(stream.getvalue()) < ramp.nbytes / 20


@pytest.mark.parametrize("suffix", [".jpg", ".webp", ".bmp"])
def test_other_formats_get_the_nearest_8_bits(tmp_path: Path, suffix: str) -> None:
    ramp = np.arange(0, 65536, 64, dtype=np.uint16).reshape(1, -1, 1).repeat(9, 0).repeat(3, 2)
    write_image(Media("image", tensor(ramp)), tmp_path / f"a{suffix}")
    error = read_image(tmp_path / f"a{suffix}").samples.float() - tensor(ramp).float() / 257
    assert error.abs().max() <= (3 if suffix == ".jpg" else 0.5)
    assert to_pillow(tensor(ramp)).getpixel((1023, 0)) == (255, 255, 255)
