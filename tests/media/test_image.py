"""Pictures in every mode, orientation and size, through files and back."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from codec.errors import MediaError, UsageError
from codec.media import IMAGE_SUFFIXES, read_image, write_image
from codec.types import Media
from tests.conftest import synthetic_picture

MODES = {"1": 1, "L": 1, "LA": 1, "P": 3, "RGB": 3, "RGBA": 3}
SIZES = [(1, 1), (1, 7), (7, 1), (5, 3), (33, 47)]  # height, width


def png(image: Image.Image, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "PNG", **options)
    return stream.getvalue()


def picture(mode: str) -> Image.Image:
    pixels = synthetic_picture(12, 17).permute(1, 2, 0).numpy()
    image = Image.fromarray(pixels)
    if mode.endswith("A"):
        alpha = Image.fromarray(np.arange(12 * 17, dtype=np.uint8).reshape(12, 17))
        image = image.convert(mode.removesuffix("A"))
        image.putalpha(alpha)
        return image
    return image.convert(mode)


@pytest.mark.parametrize(("mode", "channels"), MODES.items())
def test_every_mode_keeps_its_pixels_through_png(tmp_path: Path, mode: str, channels: int) -> None:
    image = picture(mode)
    media = read_image(png(image))
    expected = np.array(image.convert("RGB" if channels == 3 else "L")).reshape(12, 17, channels)
    assert media.samples.dtype == torch.uint8
    assert torch.equal(media.samples, torch.from_numpy(expected).permute(2, 0, 1))
    assert ("alpha" in media.metadata) == mode.endswith("A")
    write_image(media, tmp_path / "again.png")
    again = read_image(tmp_path / "again.png")
    assert torch.equal(again.samples, media.samples)
    assert again.metadata == media.metadata
    if "alpha" in media.metadata:
        assert torch.equal(read_image(media.metadata["alpha"]).samples[0].flatten(), torch.arange(204).byte())


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB"])
def test_transparent_colour_becomes_alpha(mode: str) -> None:
    image = Image.new(mode, (4, 2))
    image.putpixel((1, 0), (255, 255, 255) if mode == "RGB" else 1 if mode == "P" else 255)
    media = read_image(png(image, transparency=(0, 0, 0) if mode == "RGB" else 0))
    alpha = read_image(media.metadata["alpha"]).samples
    assert alpha.flatten().tolist() == [0, 255, 0, 0, 0, 0, 0, 0]


def test_palette_with_an_alpha_for_each_colour() -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    media = read_image(png(image, transparency=b"\x80\x40"))
    assert media.samples[:, 0].tolist() == [[10, 40], [20, 50], [30, 60]]
    assert read_image(media.metadata["alpha"]).samples.flatten().tolist() == [0x80, 0x40]


def test_opaque_alpha_is_dropped() -> None:
    assert not read_image(png(Image.new("RGBA", (3, 3), (1, 2, 3, 255)))).metadata


@pytest.mark.parametrize("format", ["PNG", "JPEG", "TIFF", "WEBP", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(format: str, orientation: int) -> None:
    stored = np.zeros((16, 32, 3), np.uint8)
    stored[:8, :8] = 255  # bright where the stored picture's first row and column meet
    exif = Image.Exif()
    exif[0x0112] = orientation
    stream = io.BytesIO()
    Image.fromarray(stored).save(stream, format, exif=exif)
    samples = read_image(stream.getvalue()).samples
    assert samples.shape == ((3, 16, 32) if orientation < 5 else (3, 32, 16))
    # EXIF 2.32, table 6: where row 0 and column 0 of the stored picture belong
    bottom, right = orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7)
    assert samples[0, -4 if bottom else 3, -4 if right else 3] > 200
    assert samples[0].float().mean() == pytest.approx(255 / 8, abs=4)


def test_damaged_exif_does_not_stop_a_picture() -> None:
    stream = io.BytesIO()
    Image.new("RGB", (4, 3)).save(stream, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff")
    assert read_image(stream.getvalue()).space == (3, 4)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".avif", ".bmp", ".tiff", ".ppm"])
def test_every_format_at_odd_sizes(tmp_path: Path, suffix: str, size: tuple[int, int]) -> None:
    for channels in (1, 3):
        media = Media("image", synthetic_picture(*size)[:channels])
        write_image(media, tmp_path / f"a{suffix}")
        again = read_image(tmp_path / f"a{suffix}").samples
        assert again.shape[1:] == size
        error = (again.int() - media.samples.int()).abs().float()
        if suffix in (".jpg", ".avif"):
            assert error.mean() < 6
        else:
            assert error.max() == 0
    assert os.listdir(tmp_path) == [f"a{suffix}"]


@pytest.mark.parametrize("suffix", [".png", ".webp", ".avif", ".tiff"])
@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_alpha_survives(tmp_path: Path, suffix: str, mode: str) -> None:
    media = read_image(png(picture(mode)))
    write_image(media, tmp_path / f"a{suffix}")
    again = read_image(tmp_path / f"a{suffix}")
    before, after = (read_image(one.metadata["alpha"]).samples.int() for one in (media, again))
    assert (before - after).abs().max() <= (4 if suffix == ".avif" else 0)


def test_streams_and_explicit_formats(tmp_path: Path) -> None:
    media = Media("image", synthetic_picture(9, 8))
    stream = io.BytesIO()
    write_image(media, stream, "png")
    assert torch.equal(read_image(stream).samples, media.samples)
    write_image(media, tmp_path / "odd.name", ".PNG")
    assert torch.equal(read_image(str(tmp_path / "odd.name")).samples, media.samples)


def test_gif_with_one_frame_is_a_picture() -> None:
    stream = io.BytesIO()
    picture("P").save(stream, "GIF")
    assert read_image(stream.getvalue()).space == (12, 17)


def test_formats_that_cannot_do_it(tmp_path: Path) -> None:
    media = read_image(png(picture("RGBA")))
    for suffix in ("jpg", "bmp", "ppm"):
        with pytest.raises(UsageError, match="alpha plane of this picture; use one of PNG, WEBP"):
            write_image(media, tmp_path / f"a.{suffix}")
    with pytest.raises(UsageError, match=r"cannot write pictures as '\.xyz'"):
        write_image(media, tmp_path / "a.xyz")
    with pytest.raises(UsageError, match="audio as a PNG"):
        write_image(Media("audio", torch.zeros(1, 9), rate=8000), tmp_path / "a.png")
    with pytest.raises(MediaError, match="20000x1 picture as WEBP"):
        write_image(Media("image", torch.zeros(1, 1, 20000, dtype=torch.uint8)), tmp_path / "a.webp")
    with pytest.raises(MediaError, match=r"alpha plane is L \(17, 12\), the picture needs L \(2, 2\)"):
        write_image(Media("image", torch.zeros(3, 2, 2, dtype=torch.uint8), media.metadata), tmp_path / "a.png")
    assert not os.listdir(tmp_path)


def test_samples_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="uint8"):
        write_image(Media("image", torch.zeros(3, 2, 2)), tmp_path / "a.png")
    assert not os.listdir(tmp_path)


def test_suffixes_are_lower_case_with_a_dot() -> None:
    assert {".png", ".jpg", ".webp", ".avif"} <= IMAGE_SUFFIXES
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in IMAGE_SUFFIXES)
