"""Colour profiles and EXIF: kept where they can be used, left out with one line where not, never in the picture's way."""

import io
import logging
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from codec.media import read_image, write_image
from codec.media.metadata import EXIF_PREFIX, parse_exif
from codec.types import Media
from tests.conftest import synthetic_picture

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
FORMATS = ["PNG", "JPEG", "WEBP", "AVIF", "TIFF"]


def exif_block(order: str = "<", orientation: int = 6, kind: int = 3, count: int = 1) -> bytes:
    """Orientation, and a camera's name that lies beyond the directory."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    value = struct.pack(order + "HH", orientation, 0) if kind == 3 else struct.pack(order + "I", orientation)
    entries = struct.pack(order + "HHII", 0x0110, 2, 6, 38) + struct.pack(order + "HHI", 0x0112, kind, count) + value
    return head + struct.pack(order + "H", 2) + entries + struct.pack(order + "I", 0) + b"Seven\0"


def saved(image: Image.Image, format: str, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def picture(mode: str = "RGB") -> Image.Image:
    return Image.fromarray(synthetic_picture(24, 40).permute(1, 2, 0).numpy()).convert(mode)


@pytest.mark.parametrize("format", FORMATS)
def test_a_profile_survives_byte_for_byte(format: str) -> None:
    media = read_image(saved(picture(), format, icc_profile=SRGB))
    assert media.metadata == {"icc": SRGB}
    for samples in (media.samples, torch.from_numpy(media.samples.numpy().astype(np.uint16) * np.uint16(257))):
        stream = io.BytesIO()
        write_image(Media("image", samples, media.metadata), stream, format.lower())
        assert read_image(stream, bits=16).metadata == {"icc": SRGB}


@pytest.mark.parametrize("icc", [b"junk" * 50, SRGB[:300], SRGB[:16] + b"CMYK" + SRGB[20:]])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_profile_that_cannot_be_used_is_left_out(icc: bytes, mode: str, caplog: pytest.LogCaptureFixture) -> None:
    media = read_image(saved(picture(mode), "PNG", icc_profile=icc))
    assert not media.metadata
    (record,) = caplog.records
    assert (record.levelno, "colour profile" in record.message) == (logging.WARNING, True)


def test_a_colour_profile_is_not_for_grey(caplog: pytest.LogCaptureFixture) -> None:
    assert not read_image(saved(picture("L"), "JPEG", icc_profile=SRGB)).metadata
    assert "not for L samples" in caplog.text


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("deep", [False, True])
def test_exif_survives_for_upright_samples(format: str, deep: bool) -> None:
    media = read_image(saved(picture(), format, exif=EXIF_PREFIX + exif_block()))
    assert media.space == (40, 24)
    assert b"Seven\0" in media.metadata["exif"]
    samples = torch.from_numpy(media.samples.numpy().astype(np.uint16)) if deep else media.samples
    for target in FORMATS:
        stream = io.BytesIO()
        write_image(Media("image", samples, media.metadata), stream, target.lower())
        with Image.open(stream) as again:
            assert again.getexif()[0x0110] == "Seven"
            assert again.getexif().get(0x0112, 1) == 1
            assert again.size == (24, 40)
        assert read_image(stream).space == (40, 24)


@pytest.mark.parametrize("order", ["<", ">"])
def test_only_the_orientation_changes(order: str) -> None:
    for orientation in range(1, 9):
        exif = parse_exif(exif_block(order, orientation))
        assert exif.orientation == orientation
        assert exif.block == exif_block(order, 1)


@pytest.mark.parametrize(("orientation", "kind", "count"), [(0, 3, 1), (77, 3, 1), (6, 4, 1), (6, 3, 2), (9, 3, 1)])
def test_a_lying_orientation_turns_nothing(orientation: int, kind: int, count: int) -> None:
    block = exif_block("<", orientation, kind, count)
    assert read_image(saved(picture(), "JPEG", exif=EXIF_PREFIX + block)).space == (24, 40)
    assert parse_exif(parse_exif(block).block).orientation == 1
    assert parse_exif(block).block == exif_block("<", 1)


def test_the_thumbnail_of_a_turned_picture_is_unlinked() -> None:
    for orientation, link in ((1, 44), (6, 0)):
        block = bytearray(exif_block("<", orientation) + bytes(6))
        block[34:38] = struct.pack("<I", 44)
        assert struct.unpack("<I", parse_exif(bytes(block)).block[34:38]) == (link,)


BROKEN = {
    "no block": b"hello",
    "another magic": b"XX" + exif_block()[2:],
    "directory outside": b"II*\0\xff\xff\xff\x7f" + bytes(20),
    "directory in the head": b"II*\0\x04\0\0\0" + bytes(20),
    "more entries than bytes": b"II*\0\x08\0\0\0\xff\xff" + bytes(30),
    "cut": exif_block()[:20],
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_a_broken_block_is_left_out(name: str, format: str, caplog: pytest.LogCaptureFixture) -> None:
    media = read_image(saved(picture(), format, exif=EXIF_PREFIX + BROKEN[name]))
    assert media.space == (24, 40)
    assert not media.metadata
    assert "its EXIF block is damaged and was left out" in caplog.text


def lying_block() -> bytes:
    """Offsets outside, a type that does not exist, a directory that is its own child."""
    entries = [(0x010F, 2, 100, 0xFFFFFF), (0x0110, 99, 1, 0), (0x0132, 2, 0xFFFFFFFF, 8), (0x8769, 4, 1, 8)]
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + packed + struct.pack("<I", 8)


@pytest.mark.parametrize("target", ["png", "jpg", "webp", "avif", "tiff", "ppm", "bmp"])
@pytest.mark.parametrize("deep", [False, True])
def test_a_block_whose_tags_lie_never_stops_the_writer(target: str, deep: bool) -> None:
    media = read_image(saved(picture(), "JPEG", exif=EXIF_PREFIX + lying_block()))
    assert media.metadata["exif"] == lying_block()
    samples = torch.from_numpy(media.samples.numpy().astype(np.uint16) * np.uint16(257)) if deep else media.samples
    stream = io.BytesIO()
    write_image(Media("image", samples, media.metadata), stream, target)
    again = read_image(stream)
    assert again.space == media.space
    if target in ("png", "webp"):
        assert again.metadata["exif"] == lying_block()


def test_metadata_that_a_format_cannot_hold_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    long = exif_block() + bytes(70_000)
    media = Media("image", synthetic_picture(8, 9), {"icc": SRGB, "exif": long})
    write_image(media, tmp_path / "a.ppm")
    assert "this PPM file cannot hold the picture's ICC block" in caplog.text
    caplog.clear()
    write_image(media, tmp_path / "a.jpg")
    assert "this JPEG file cannot hold the picture's EXIF block" in caplog.text
    assert read_image(tmp_path / "a.jpg").metadata == {"icc": SRGB}


def test_cmyk_without_a_profile_is_converted_plainly() -> None:
    for format in ("JPEG", "TIFF"):
        media = read_image(saved(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), format))
        assert (media.samples[:, 0, 0].int() - torch.tensor([255, 0, 0])).abs().max() < 6


def cmyk_profile() -> bytes:
    """A printer of our own, whose inks are what this table says: 8-bit Lab of paper, cyan (a red here), and all the rest (black)."""
    paper, cyan, rest = (bytes(lab) for lab in ([255, 128, 128], [138, 209, 195], [0, 128, 128]))
    # of the four binary digits of a place in the table, cyan is the highest
    colours = b"".join(paper if ink == 0 else cyan if ink == 8 else rest for ink in range(16))
    matrix = b"".join(struct.pack(">i", 65536 * (place % 4 == 0)) for place in range(9))
    table = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + matrix + bytes(range(256)) * 4 + colours + bytes(range(256)) * 3
    table += bytes(-len(table) % 4)
    head = bytearray(128)
    head[8:12], head[12:24], head[36:40] = struct.pack(">I", 0x02400000), b"prtrCMYKLab ", b"acsp"
    head[68:80] = struct.pack(">iii", 63190, 65536, 54061)  # D50
    head[:4] = struct.pack(">I", 144 + len(table))
    return bytes(head) + struct.pack(">I4sII", 1, b"A2B0", 144, len(table)) + table


@pytest.mark.parametrize("format", ["JPEG", "TIFF"])
def test_cmyk_is_converted_with_its_own_profile(format: str, caplog: pytest.LogCaptureFixture) -> None:
    media = read_image(saved(Image.new("CMYK", (8, 8), (255, 0, 0, 0)), format, icc_profile=cmyk_profile()))
    assert not caplog.records
    assert not media.metadata
    assert (media.samples[:, 0, 0].int() - torch.tensor([255, 0, 0])).abs().max() < 20


def test_lab_becomes_srgb() -> None:
    lab = Image.merge("LAB", [Image.new("L", (4, 4), value) for value in (137, 208, 195)])  # pure red
    media = read_image(saved(lab, "TIFF"))
    assert (media.samples[:, 0, 0].int() - torch.tensor([255, 0, 0])).abs().max() < 12


def test_a_profile_that_is_not_for_cmyk_is_not_used(caplog: pytest.LogCaptureFixture) -> None:
    media = read_image(saved(Image.new("CMYK", (8, 8), (255, 0, 0, 0)), "JPEG", icc_profile=SRGB))
    assert "was not used" in caplog.text
    assert not media.metadata
    assert media.samples[1, 0, 0] > 240
