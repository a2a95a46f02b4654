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


@pytest.mark.parametrize(("width", "height"), [(20_000, 20_000), (60_000, 60_000), (2**31 - 1, 2**31 - 1)])
def test_huge_header(width: int, height: int) -> None:
    with pytest.raises(
        MediaError, match=f"claims {width} x {height}, more than the 268,435,456 pixels that are allowed"
    ):
        read_image(png(width, height, 8, 0, 1))


@pytest.mark.parametrize(
    ("bits", "colour_type", "channels"), [(8, 0, 1), (8, 2, 3), (16, 0, 1), (16, 6, 4), (16, 4, 2)]
)
def test_png_with_fewer_rows_than_its_header_says(bits: int, colour_type: int, channels: int) -> None:
    assert read_image(png(100, 3, bits, colour_type, channels)).space == (3, 100)
    with pytest.raises(MediaError, match="its data end after"):
        read_image(png(100, 4, bits, colour_type, channels))
    with pytest.raises(MediaError, match="its data end after"):
        read_image(png(10_000, 10_000, bits, colour_type, channels))  # before memory is taken for it


def test_png_with_a_flipped_bit_in_its_pixels() -> None:
    data = bytearray(png(100, 3, 8, 2, 3))
    data[60] ^= 4
    with pytest.raises(MediaError, match="damaged"):
        read_image(bytes(data))


def with_size(jpeg: bytes, width: int, height: int) -> bytes:
    """A JPEG whose frame header claims another size."""
    place = next(at for at in (jpeg.find(b"\xff\xc0"), jpeg.find(b"\xff\xc2")) if at > 0)
    return jpeg[: place + 5] + struct.pack(">HH", height, width) + jpeg[place + 9 :]


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_with_less_data_than_its_header_says(mode: str, progressive: bool) -> None:
    stream = io.BytesIO()
    picture = Image.fromarray(synthetic_picture(64, 80).permute(1, 2, 0).numpy()).convert(mode)
    picture.save(stream, "JPEG", progressive=progressive)
    for width, height in ((80, 66), (80, 160), (97, 64)):
        with pytest.raises(MediaError, match="its data end before the picture does"):
            read_image(with_size(stream.getvalue(), width, height))


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_a_grey_corner_alone_does_not_refuse_a_jpeg(mode: str) -> None:
    stream = io.BytesIO()
    Image.new(mode, (30, 20), "#808080").save(stream, "JPEG")
    assert read_image(stream.getvalue()).space == (20, 30)


@pytest.mark.parametrize("compression", [None, "tiff_deflate", "tiff_lzw"])
def test_tiff_with_fewer_strips_than_its_header_says(compression: str | None) -> None:
    stream = io.BytesIO()
    picture = Image.fromarray(synthetic_picture(60, 80).permute(1, 2, 0).numpy())
    picture.save(stream, "TIFF", compression=compression, tiffinfo={278: 16})
    data = stream.getvalue()
    place = max(data.find(struct.pack("<HHI", 257, kind, 1)) for kind in (3, 4))
    with pytest.raises(MediaError, match="strips or tiles, its size needs"):
        read_image(data[: place + 8] + struct.pack("<I", 240) + data[place + 12 :])


@pytest.mark.parametrize(("mode", "format"), [("F", "TIFF"), ("I", "TIFF")])
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


def test_smaller_copies_in_a_tiff_are_no_pages() -> None:
    stream, preview = io.BytesIO(), Image.new("RGB", (4, 3))
    preview.encoderinfo = {"tiffinfo": {254: 1}}
    Image.new("RGB", (8, 6), "red").save(stream, "TIFF", save_all=True, append_images=[preview])
    assert read_image(stream.getvalue()).samples[:, 0, 0].tolist() == [255, 0, 0]


def test_photo_with_previews_is_its_first_picture() -> None:
    stream = io.BytesIO()
    Image.new("RGB", (8, 6), "red").save(stream, "MPO", save_all=True, append_images=[Image.new("RGB", (4, 3))])
    assert read_image(stream.getvalue()).space == (6, 8)
