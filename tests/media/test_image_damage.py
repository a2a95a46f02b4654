"""Bad pictures: always a `MediaError` of one sentence that names the file and the reason."""

import contextlib
import io
import os
import random
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from codec.errors import MediaError
from codec.media import read_image
from tests.conftest import synthetic_picture

FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "BMP", "GIF", "TIFF", "PPM")


def encoded(format: str) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(synthetic_picture(40, 56).permute(1, 2, 0).numpy()).save(stream, format)
    return stream.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, bits: int, colour_type: int, channels: int) -> bytes:
    """A black PNG by hand, for what Pillow does not write; it holds at most three rows of 100 pixels."""
    rows = min(height, 3) * (b"\0" + bytes(min(width, 100) * channels * bits // 8))
    head = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("format", FORMATS)
def test_truncated(tmp_path: Path, format: str) -> None:
    file = tmp_path / "cut.bin"
    data = encoded(format)
    for share in (0.3, 0.6, 0.9):
        file.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(MediaError, match=r"cut\.bin"):
            read_image(file)


@pytest.mark.parametrize("format", FORMATS)
def test_flipped_bytes_give_a_picture_or_a_media_error(format: str) -> None:
    chooser = random.Random(format)
    data = encoded(format)
    for _ in range(25):
        damaged = bytearray(data)
        for _ in range(4):
            damaged[chooser.randrange(len(damaged) if chooser.random() < 0.5 else 64)] = chooser.randrange(256)
        with contextlib.suppress(MediaError):
            assert read_image(bytes(damaged)).samples.numel()


def test_what_is_not_a_picture(tmp_path: Path) -> None:
    (tmp_path / "text.png").write_text("hello, world")
    (tmp_path / "empty.png").touch()
    for name, reason in {
        "text.png": "not a picture",
        "empty.png": "it is empty",
        "missing.png": "No such file",
        ".": "Is a directory",
        "nul\0.png": "null byte",
    }.items():
        with pytest.raises(MediaError, match=reason) as caught:
            read_image(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
    with pytest.raises(MediaError, match="the picture: it is empty"):
        read_image(b"")


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the administrator may read everything")
def test_no_permission(tmp_path: Path) -> None:
    file = tmp_path / "closed.png"
    file.write_bytes(encoded("PNG"))
    file.chmod(0)
    with pytest.raises(MediaError, match="Permission denied"):
        read_image(file)


@pytest.mark.parametrize(("width", "height"), [(10_000, 10_000), (60_000, 60_000), (2**31 - 1, 2**31 - 1)])
def test_huge_header(width: int, height: int) -> None:
    with pytest.raises(MediaError, match="pixels that are allowed"):
        read_image(png(width, height, 8, 0, 1))


@pytest.mark.parametrize(("colour_type", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_sixteen_bit_png(colour_type: int, channels: int) -> None:
    with pytest.raises(MediaError, match="16-bit images are not supported yet"):
        read_image(png(3, 3, 16, colour_type, channels))


@pytest.mark.parametrize("head", [b"P5 3 3 65535\n", b"P6 3 3 1023\n"])
def test_sixteen_bit_ppm(head: bytes) -> None:
    with pytest.raises(MediaError, match="16-bit images are not supported yet"):
        read_image(head + bytes(54))


@pytest.mark.parametrize(("mode", "format"), [("CMYK", "JPEG"), ("CMYK", "TIFF"), ("F", "TIFF"), ("I", "TIFF")])
def test_other_modes_are_named(mode: str, format: str) -> None:
    stream = io.BytesIO()
    Image.new(mode, (4, 4)).save(stream, format)
    with pytest.raises(MediaError, match=f"images of mode {mode} are not supported"):
        read_image(stream.getvalue())


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "TIFF", "AVIF"])
def test_several_frames(format: str) -> None:
    stream = io.BytesIO()
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green", "blue")]
    frames[0].save(stream, format, save_all=True, append_images=frames[1:])
    with pytest.raises(MediaError, match="it has 3 frames"):
        read_image(stream.getvalue())


def test_photo_with_previews_is_its_first_picture() -> None:
    stream = io.BytesIO()
    Image.new("RGB", (8, 6), "red").save(stream, "MPO", save_all=True, append_images=[Image.new("RGB", (4, 3))])
    assert read_image(stream.getvalue()).space == (6, 8)
