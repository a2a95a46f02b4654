"""Colour profiles and EXIF blocks: what is kept beside the samples, and what of it a written file may hold.

ICC.1:2022; CIPA DC-008-2023, "Exchangeable image file format (Exif) 3.0". Both may lie or be damaged, and neither may
harm the picture: what cannot be used is left out with one line to the log, which Python shows on stderr.
"""

import io
import logging
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from PIL import Image, ImageCms
from PIL.TiffImagePlugin import TiffImageFile

LOG = logging.getLogger(__name__)
EXIF_PREFIX = b"Exif\0\0"
ORIENTATION, EXIF_DIRECTORY, GPS_DIRECTORY, SHORT = 0x0112, 0x8769, 0x8825, 3
# What a TIFF says of the photograph; the others say how the file is laid out, and Pillow itself turns it as orientation says.
TIFF_TAGS = (0x010E, 0x010F, 0x0110, 0x011A, 0x011B, 0x0128, 0x0131, 0x0132, 0x013B, 0x8298)
HOLDS_METADATA = ("PNG", "JPEG", "WEBP", "AVIF", "TIFF")
WITHOUT_GREY = ("WEBP",)  # a grey picture is written in colour, so that its profile would no longer fit


@dataclass(frozen=True)
class Exif:
    """What an EXIF block is worth.

    Attributes:
        block: a TIFF block without prefix, for samples that are upright; empty where there is none that can be used.
        orientation: 1 to 8, how the samples are stored; 1 where the block says nothing, or nonsense.
    """

    block: bytes = b""
    orientation: int = 1


def read_exif(image: Image.Image, name: str) -> Exif:
    """Orientation and block of a file; a damaged block changes nothing."""
    data = image.info.get("exif") or (_tiff_exif(image) if isinstance(image, TiffImageFile) else b"")
    exif = parse_exif(data)
    if data and not exif.block:
        LOG.warning("%s: its EXIF block is damaged and was left out", name)
    return exif


def parse_exif(data: bytes) -> Exif:
    """Take the orientation out of a block, so that what is kept describes upright samples.

    Only the first directory is read. Everything else is kept as it stands, but for the link to the thumbnail of a picture
    that was turned: that would stay as it was.
    """
    block = bytearray(data.removeprefix(EXIF_PREFIX))
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(bytes(block[:4]))
    if order is None or len(block) < 10:
        return Exif()
    (first,) = struct.unpack_from(order + "I", block, 4)
    if not 8 <= first <= len(block) - 2:
        return Exif()
    end = first + 2 + 12 * struct.unpack_from(order + "H", block, first)[0]
    if end > len(block):
        return Exif()
    orientation = 1
    for entry in range(first + 2, end, 12):
        tag, kind, count, value = struct.unpack_from(order + "HHIH", block, entry)
        if tag == ORIENTATION:
            orientation = value if (kind, count) == (SHORT, 1) and 1 <= value <= 8 else orientation
            struct.pack_into(order + "HIHH", block, entry + 2, SHORT, 1, 1, 0)
    if orientation != 1:
        block[end : end + 4] = bytes(len(block[end : end + 4]))
    return Exif(bytes(block), orientation)


def usable_profile(icc: bytes, mode: str) -> bool:
    """Whether a colour profile is whole and made for samples of a Pillow mode: L, RGB or CMYK."""
    return bool(icc) and _transform(_profile(icc), mode) is not None


def to_srgb(image: Image.Image, icc: bytes, name: str) -> ImageCms.ImageCmsTransform | None:
    """How CMYK or LAB samples become sRGB; None means Pillow's plain conversion of CMYK."""
    if image.mode == "LAB":
        return _transform(ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")), "LAB")
    transform = _transform(_profile(icc), image.mode) if icc else None
    if icc and transform is None:
        LOG.warning("%s: its colour profile is damaged or not for %s and was not used", name, image.mode)
    return transform


def kept_profile(icc: bytes, mode: str, name: str) -> Mapping[str, bytes]:
    """The profile as metadata, if it fits the samples."""
    if icc and not usable_profile(icc, mode):
        LOG.warning("%s: its colour profile is damaged or not for %s samples and was left out", name, mode)
    return {"icc": icc} if usable_profile(icc, mode) else {}


def writable_metadata(
    metadata: Mapping[str, bytes], format: str, mode: str, name: str, trial: Callable[..., object]
) -> dict[str, bytes]:
    """Profile and EXIF as options of a writer, each only if it can be written.

    Args:
        metadata: of the picture; it may come from a stranger's file.
        format: of the file to be written.
        mode: L or RGB.
        name: of that file, for the log.
        trial: writes a picture of one pixel with the option that it is given; raises if that cannot be done.
    """
    icc, exif = metadata.get("icc", b""), parse_exif(metadata.get("exif", b"")).block
    given = {"icc_profile": icc, "exif": EXIF_PREFIX + exif if exif else b""}
    if icc and not usable_profile(icc, "RGB" if format in WITHOUT_GREY else mode):
        given["icc_profile"] = b""
    options = {
        key: value for key, value in given.items() if value and format in HOLDS_METADATA and _works(trial, key, value)
    }
    for key, original in (("icc_profile", "icc"), ("exif", "exif")):
        if metadata.get(original) and key not in options:
            LOG.warning("%s: this %s file cannot hold the picture's %s block; left out", name, format, original.upper())
    return options


def _works(trial: Callable[..., object], key: str, value: bytes) -> bool:
    try:
        trial(**{key: value})
    except Exception:  # writers read EXIF too, and let nearly every type out
        return False
    return True


def _profile(icc: bytes) -> ImageCms.ImageCmsProfile | None:
    try:
        return ImageCms.ImageCmsProfile(io.BytesIO(icc))
    except (OSError, ImageCms.PyCMSError):
        return None


def _transform(profile: ImageCms.ImageCmsProfile | None, mode: str) -> ImageCms.ImageCmsTransform | None:
    """To sRGB as image editors do it by default: relative colorimetric, black points matched."""
    if profile is None:
        return None
    try:
        return ImageCms.buildTransform(
            profile,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except (ImageCms.PyCMSError, ValueError):
        return None


def _tiff_exif(image: TiffImageFile) -> bytes:
    """A block of the tags of a TIFF file that speak of the photograph."""
    try:
        stored, kept = image.getexif(), Image.Exif()
        for tag in TIFF_TAGS:
            if tag in stored:
                kept[tag] = stored[tag]
        for tag in (EXIF_DIRECTORY, GPS_DIRECTORY):
            if directory := stored.get_ifd(tag):
                kept[tag] = dict(directory)
        return kept.tobytes() if len(kept) else b""
    except Exception:  # lying tags: Pillow lets nearly every type out
        return b"damaged"
