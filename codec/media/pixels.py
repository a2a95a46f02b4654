"""Samples of an opened Pillow picture, strip by strip, so that no second picture stands in memory beside them.

Pillow holds 16-bit grey, but of 16-bit colours only one byte each. It reads them big-endian or little-endian, though, and the high
byte of one is the low byte of the other: reading a file twice gives every bit, with all the formats and checks of Pillow.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageFile
from torch import Tensor

from codec.errors import MediaError

STRIP_PIXELS = 1 << 20
GREY_MODES = ("1", "L", "LA", "La")
COLOUR_MODES = ("P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "YCbCr", "CMYK", "LAB")
TO_SRGB_MODES = ("CMYK", "LAB")
PHOTOMETRIC, PLANAR, BITS_PER_SAMPLE, WHITE_IS_ZERO = 262, 284, 258, 0
DEEP_MAX = 65535
OTHER_BYTE = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}  # byte order that swaps the bytes


@dataclass(frozen=True)
class Pixels:
    """Samples as they are stored, not yet turned upright.

    Attributes:
        colours: uint8 or uint16 `(1 or 3, H, W)`.
        alpha: the same type, `(1, H, W)`; None where every pixel is opaque.
    """

    colours: Tensor
    alpha: Tensor | None = None


def strips(image: Image.Image) -> Iterator[tuple[slice, Image.Image]]:
    """A loaded picture from top to bottom: rows, and a copy of them."""
    rows = max(1, STRIP_PIXELS // image.width)
    for top in range(0, image.height, rows):
        bottom = min(top + rows, image.height)
        yield slice(top, bottom), image.crop((0, top, image.width, bottom))


def base_mode(image: Image.Image) -> str:
    """L or RGB: what samples of 8 bits will be."""
    return "L" if image.mode in GREY_MODES else "RGB"


def read_pixels(image: Image.Image, to_srgb: ImageCms.ImageCmsTransform | None = None) -> Pixels:
    """A loaded picture of 8 bits or fewer.

    Args:
        image: of one of `GREY_MODES` and `COLOUR_MODES`.
        to_srgb: converts each strip; Pillow's own conversion without it.
    """
    base, has_alpha = base_mode(image), image.has_transparency_data
    mode = base + "A" * has_alpha
    samples = torch.empty(len(mode), image.height, image.width, dtype=torch.uint8)
    for rows, strip in strips(image):
        converted = ImageCms.applyTransform(strip, to_srgb) if to_srgb is not None else None
        samples[:, rows] = _bands((converted or strip).convert(mode))
    return _split(samples)


def is_deep(image: ImageFile.ImageFile) -> bool:
    """More than 8 bits a sample in the file; called before loading, as that forgets how the pixels are stored."""
    return image.mode.startswith("I") or ";16" in _raw_mode(image) or _ppm_maximum(image) > 255


def refuse_unreadable(image: ImageFile.ImageFile, name: str) -> None:
    """Raise for samples that are not integers of up to 16 bits, and for the few layouts that Pillow gets wrong."""
    mode, tags = image.mode, getattr(image, "tag_v2", {})
    if _raw_mode(image).startswith("RGBa;16") or (tags.get(PLANAR) == 2 and max(tags.get(BITS_PER_SAMPLE, (8,))) > 8):
        raise MediaError(
            f"cannot read {name}: 16-bit TIFF with its colours apart or multiplied by alpha is not supported; "
            "convert it to interleaved samples with unassociated alpha"
        )
    known = (*GREY_MODES, *COLOUR_MODES, "I;16", "I;16L", "I;16B")
    if mode not in known and not (mode == "I" and image.format == "PPM"):
        raise MediaError(f"cannot read {name}: images of mode {mode} are not supported; convert it to grey or RGB")


def read_deep_pixels(image: ImageFile.ImageFile, reopen: Callable[[], ImageFile.ImageFile]) -> Pixels:
    """A picture of 9 to 16 bits a sample as uint16, its full scale 65535.

    Args:
        image: opened, not loaded.
        reopen: gives the same picture once more, not loaded.
    """
    key, raw, largest = image.info.get("transparency"), _raw_mode(image), _largest(image)
    if image.mode.startswith("I"):
        samples = _deep_grey(image)
    elif raw == "LA;16B":
        samples = _deep_grey_alpha(image)
    else:
        samples = _deep_colours(len(image.mode), reopen, raw if ";16" in raw else "RGB;16B")
    values = samples.numpy()
    if largest != DEEP_MAX:
        for channel in values:
            channel[:] = (channel.astype(np.uint32) * DEEP_MAX + largest // 2) // largest
    if getattr(image, "tag_v2", {}).get(PHOTOMETRIC) == WHITE_IS_ZERO:
        np.subtract(DEEP_MAX, values, out=values)
    return _split(samples) if key is None else _keyed(samples, key)


def eight_bits(samples: Tensor) -> Tensor:
    """uint16 samples to the nearest of 8 bits; uint8 as they are."""
    if samples.dtype == torch.uint8:
        return samples
    rounded = torch.empty(samples.shape, dtype=torch.uint8)
    for row in range(samples.shape[1]):
        rounded[:, row] = (samples[:, row].int() + 128).div(257, rounding_mode="floor").to(torch.uint8)
    return rounded


def upright(samples: Tensor, orientation: int) -> Tensor:
    """Samples `(C, H, W)` as EXIF's orientation 1 to 8 wants them shown."""
    turned = samples.transpose(-1, -2) if orientation >= 5 else samples
    sides = {2: [-1], 3: [-1, -2], 4: [-2], 6: [-1], 7: [-1, -2], 8: [-2]}.get(orientation, [])
    return turned.flip(sides) if sides else turned.contiguous()


def _split(samples: Tensor) -> Pixels:
    """Colours and alpha of 1 to 4 channels."""
    if samples.shape[0] in (1, 3):
        return Pixels(samples)
    opaque = int(samples[-1].numpy().min()) == (255 if samples.dtype == torch.uint8 else DEEP_MAX)
    return Pixels(samples[:-1], None if opaque else samples[-1:])


def _keyed(samples: Tensor, key: int | tuple[int, ...]) -> Pixels:
    """A colour that stands for full transparency, as an alpha plane."""
    wanted = np.array(key, np.uint16).reshape(-1, 1, 1)
    alpha = np.where((samples.numpy() == wanted).all(0, keepdims=True), 0, DEEP_MAX).astype(np.uint16)
    return _split(torch.cat([samples, torch.from_numpy(alpha)]))


def _bands(image: Image.Image) -> Tensor:
    """uint8 `(C, H, W)`."""
    pixels = torch.from_numpy(np.array(image))
    return pixels[None] if pixels.ndim == 2 else pixels.permute(2, 0, 1)


def _raw_mode(image: Image.Image) -> str:
    """How the pixels lie in the file, by Pillow's name; empty where the format does not say."""
    for tile in getattr(image, "tile", ()):
        arguments = tile.args if isinstance(tile.args, tuple) else (tile.args,)
        return str(arguments[0]) if arguments else ""
    return ""


def _ppm_maximum(image: Image.Image) -> int:
    tiles = getattr(image, "tile", ())
    return int(tiles[0].args[1]) if tiles and tiles[0].codec_name == "ppm" else 255


def _largest(image: ImageFile.ImageFile) -> int:
    """Which sample is white; Pillow has brought grey PPM to 16 bits itself."""
    if image.mode == "RGB" and _ppm_maximum(image) > 255:
        return _ppm_maximum(image)
    return 4095 if _raw_mode(image) == "I;12" else DEEP_MAX


def _deep_grey(image: ImageFile.ImageFile) -> Tensor:
    image.load()
    samples = np.empty((1, image.height, image.width), np.uint16)
    for rows, strip in strips(image):
        samples[0, rows] = np.asarray(strip)
    return torch.from_numpy(samples)


def _deep_grey_alpha(image: ImageFile.ImageFile) -> Tensor:
    """Four bytes a pixel, which Pillow takes for four channels."""
    samples = np.empty((2, image.height, image.width), np.uint16)
    for rows, values in _loaded_as(image, "RGBA"):
        samples[:, rows] = values[0::2].astype(np.uint16) << 8 | values[1::2]
    return torch.from_numpy(samples)


def _deep_colours(channels: int, reopen: Callable[[], ImageFile.ImageFile], raw: str) -> Tensor:
    image = reopen()
    samples = np.zeros((channels, image.height, image.width), np.uint16)
    for rows, values in _loaded_as(image, raw):
        samples[:, rows] = values.astype(np.uint16) << 8
    del image  # its memory, before the second reading
    for rows, values in _loaded_as(reopen(), raw[:-1] + OTHER_BYTE[raw[-1]]):
        samples[:, rows] |= values
    return torch.from_numpy(samples)


def _loaded_as(image: ImageFile.ImageFile, raw: str) -> Iterator[tuple[slice, NDArray[np.uint8]]]:
    """Load a picture as if its pixels lay in the file as `raw` says: rows, and uint8 `(C, rows, W)`."""
    tiles = []
    for tile in image.tile:
        if tile.codec_name == "ppm":
            tiles.append(tile._replace(codec_name="raw", args=(raw, 0, 1)))
        else:
            tiles.append(tile._replace(args=(raw, *tile.args[1:]) if isinstance(tile.args, tuple) else raw))
    image.tile = tiles
    image.load()
    for rows, strip in strips(image):
        yield rows, np.moveaxis(np.asarray(strip), 2, 0)
