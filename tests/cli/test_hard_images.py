"""Hard pictures through the command line, in fresh processes: deep, printed, profiled, turned, lying, broken, huge."""

import io
import os
import struct
import subprocess
import sys
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

import codec as library
from codec.media import read_image
from tests.cli.test_command_line import MEDIA, TINY, codec, opened
from tests.conftest import synthetic_picture
from tests.media.test_deep import chunk
from tests.media.test_deep import png as deep_png
from tests.media.test_deep import tiff as deep_tiff
from tests.media.test_image_damage import png, with_size
from tests.media.test_metadata import EXIF_PREFIX, SRGB, exif_block, lying_block

RAMP: NDArray[np.uint16] = np.linspace(8000, 56000, 160 * 96).reshape(96, 160, 1).astype(np.uint16)
NOISE = np.random.default_rng(0).integers(0, 65536, (20, 31, 4), np.uint16)


def saved(format: str, mode: str = "RGB", **options: Any) -> bytes:
    """A photograph of 72 x 40."""
    stream = io.BytesIO()
    Image.fromarray(synthetic_picture(40, 72).permute(1, 2, 0).numpy()).convert(mode).save(stream, format, **options)
    return stream.getvalue()


def animated(format: str) -> bytes:
    stream = io.BytesIO()
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "green")]
    frames[0].save(stream, format, save_all=True, append_images=frames[1:])
    return stream.getvalue()


def deflated_bomb() -> bytes:
    """4 x 4 pixels, and behind them 50 MB of zeros."""
    head, rows = struct.pack(">IIBBBBB", 4, 4, 8, 2, 0, 0, 0), zlib.compress(bytes(50_000_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def with_long_strip() -> bytes:
    """A compressed TIFF whose one strip claims 2 GB."""
    data = deep_tiff(RAMP, "<", compressed=True)
    place = data.index(struct.pack("<HHI", 279, 4, 1)) + 8
    return data[:place] + struct.pack("<I", (1 << 31) - 1) + data[place + 4 :]


TURNED: dict[str, Any] = {"icc_profile": SRGB, "exif": EXIF_PREFIX + exif_block(orientation=6)}
READABLE = {
    "turned_png.png": saved("PNG", **TURNED),
    "turned_jpeg.jpg": saved("JPEG", **TURNED),
    "cmyk.jpg": saved("JPEG", "CMYK"),
    "ramp_grey.png": deep_png(RAMP),
    "ramp_colour.png": deep_png(RAMP.repeat(3, 2)),
    "deep_alpha.png": deep_png(NOISE),
    "deep.tiff": deep_tiff(RAMP.repeat(3, 2), ">", compressed=True),
    "deflated_bomb.png": deflated_bomb(),
    "lying.jpg": saved("JPEG", exif=EXIF_PREFIX + lying_block()),
    "lying_orientation.jpg": saved("JPEG", exif=EXIF_PREFIX + exif_block(orientation=77)),
    "broken_icc.jpg": saved("JPEG", icc_profile=b"broken" * 90),
    "broken_exif.jpg": saved("JPEG", exif=EXIF_PREFIX + b"II*\0\xff\xff\xff\x7f"),
}
WARNED = {"broken_icc.jpg": "its colour profile is damaged", "broken_exif.jpg": "its EXIF block is damaged"}
REFUSED = {
    "moving_gif.gif": (animated("GIF"), "2 frames"),
    "moving_webp.webp": (animated("WEBP"), "2 frames"),
    "moving_png.png": (animated("PNG"), "2 frames"),
    "pages_tiff.tiff": (animated("TIFF"), "2 frames or pages"),
    "short_png.png": (png(100, 4, 8, 2, 3), "its data end after"),
    "cut_png.png": (saved("PNG")[:-300], "damaged or truncated"),
    "cut_jpg.jpg": (saved("JPEG")[:-300], "truncated"),
    "tall_jpg.jpg": (with_size(saved("JPEG"), 72, 400), "its data end before the picture does"),
    "cut_tiff.tiff": (saved("TIFF")[:-500], "truncated"),
    "long_tiff.tiff": (with_long_strip(), "reaches beyond the end of the file"),
    "bomb_png.png": (png(60_000, 60_000, 8, 2, 3), "268,435,456 pixels that are allowed"),
}


@dataclass(frozen=True)
class Album:
    """The readable pictures, encoded and decoded as one folder.

    Attributes:
        coded: the `.lmc` files.
        back: PNG files.
        said: lines on stderr, of the encoder and of the decoder.
    """

    coded: Path
    back: Path
    said: tuple[list[str], list[str]]


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> Album:
    root = tmp_path_factory.mktemp("album")
    (root / "in").mkdir()
    for name, content in READABLE.items():
        (root / "in" / name).write_bytes(content)
    runs = (
        codec("encode", root / "in", root / "coded", "--model", "tiny"),
        codec("decode", root / "coded", root / "back"),
    )
    encoder, decoder = (run.stderr.decode().splitlines() for run in runs)
    return Album(root / "coded", root / "back", (encoder, decoder))


@pytest.mark.parametrize("name", ["turned_png", "turned_jpeg"])
def test_profile_and_exif_come_back(name: str, album: Album) -> None:
    back = opened(album.back / f"{name}.png")
    assert back.info["icc_profile"] == SRGB
    assert back.info["exif"].removeprefix(EXIF_PREFIX) == exif_block(orientation=1)
    assert back.size == (40, 72)
    sections = [section.name for section in library.probe(album.coded / f"{name}.lmc").sections]
    assert sections[-2:] == ["icc", "exif"]


def test_cmyk_comes_back_as_srgb(album: Album) -> None:
    assert opened(album.back / "cmyk.png").mode == "RGB"


@pytest.mark.parametrize("name", ["ramp_grey", "ramp_colour", "deep"])
def test_sixteen_bits_come_back_finer_than_eight(name: str, album: Album) -> None:
    """What is written is the decoder's own output rounded to 16 bits, not to 8 and stretched."""
    back = read_image(album.back / f"{name}.png", bits=16).samples
    channels = 1 if name == "ramp_grey" else 3
    assert (back.dtype, back.shape) == (torch.uint16, (channels, 96, 160))
    model, ramp = library.load(TINY / "tiny"), torch.from_numpy(RAMP).movedim(2, 0)
    exact = model.decode(model.encode(ramp.expand(3, -1, -1)[None]))[0]
    exact = exact if channels == 3 else exact.mean(0, keepdim=True)
    error = (back.double() / 65535 - exact.double()).square().mean()
    assert -10 * torch.log10(error) > 90  # dB; of 8 bits 59
    assert (back.double() - ramp.double()).abs().mean() < 6500


def test_deep_alpha_is_lossless(album: Album) -> None:
    back = read_image(album.back / "deep_alpha.png", bits=16)
    assert torch.equal(read_image(back.metadata["alpha"], bits=16).samples[0], torch.from_numpy(NOISE[..., 3]))


def test_a_deflated_bomb_behind_a_small_header_is_a_small_picture(album: Album) -> None:
    assert opened(album.back / "deflated_bomb.png").size == (4, 4)


@pytest.mark.parametrize("name", ["lying", "lying_orientation", "broken_icc", "broken_exif"])
def test_lies_harm_nothing(name: str, album: Album) -> None:
    assert opened(album.back / f"{name}.png").size == (72, 40)


def test_one_line_for_what_is_left_out_and_none_else(album: Album) -> None:
    assert len(album.said[0]) == len(WARNED)
    for name, words in WARNED.items():
        (line,) = [line for line in album.said[0] if name in line]
        assert words in line
    assert not album.said[1]


@pytest.mark.parametrize("suffix", ["tiff", "jpeg"])
def test_other_targets(suffix: str, album: Album, tmp_path: Path) -> None:
    """A block whose tags lie is no longer a PNG's opaque bytes: these writers read it."""
    coded = tmp_path / "coded"
    coded.mkdir()
    for name in ("lying", "ramp_colour", "turned_jpeg"):
        (coded / f"{name}.lmc").write_bytes((album.coded / f"{name}.lmc").read_bytes())
    codec("decode", coded, tmp_path / "back", "--format", suffix)
    assert read_image(tmp_path / "back" / f"lying.{suffix}").space == (40, 72)
    deep = read_image(tmp_path / "back" / f"ramp_colour.{suffix}", bits=16).samples
    assert deep.dtype == (torch.uint16 if suffix == "tiff" else torch.uint8)
    with Image.open(tmp_path / "back" / f"turned_jpeg.{suffix}") as turned:
        assert turned.info["icc_profile"] == SRGB
        exif = turned.getexif()
        assert (turned.size, exif[0x0110], exif.get(0x0112, 1)) == ((40, 72), "Seven", 1)


def test_refused_in_one_sentence_each(tmp_path: Path) -> None:
    """A folder in one process: a line for each file, and one that sums up."""
    (tmp_path / "in").mkdir()
    for name, (content, _) in REFUSED.items():
        (tmp_path / "in" / name).write_bytes(content)
    done = subprocess.run(
        [sys.executable, "-m", "codec", "encode", tmp_path / "in", tmp_path / "out", "--model", "tiny"],
        capture_output=True,
        env=os.environ | {"CODEC_CHECKPOINTS": str(TINY)},
        check=False,
    )
    lines = done.stderr.decode().splitlines()
    assert done.returncode == MEDIA
    assert len(lines) == len(REFUSED) + 1
    for name, (_, reason) in REFUSED.items():
        (line,) = [line for line in lines[:-1] if f"/{name}:" in line]
        assert reason in line
    assert not [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
