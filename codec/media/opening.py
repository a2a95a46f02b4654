"""From a path, bytes or a stream to an opened, checked Pillow picture; every failure is a `MediaError` of one sentence."""

import io
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    PpmImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from codec.errors import MediaError
from codec.media.damage import check_png, check_tiff
from codec.media.sources import Source, damaged, empty, open_stream, system_errors

READABLE = tuple(
    plugin.format
    for plugin in (
        PngImagePlugin.PngImageFile,
        JpegImagePlugin.JpegImageFile,
        WebPImagePlugin.WebPImageFile,
        AvifImagePlugin.AvifImageFile,
        BmpImagePlugin.BmpImageFile,
        GifImagePlugin.GifImageFile,
        TiffImagePlugin.TiffImageFile,
        PpmImagePlugin.PpmImageFile,
    )
)
"""Pillow's names of the formats that are read; importing the plugins has registered them."""

MAX_PIXELS = 1 << 28
"""More are refused before anything is allocated. The largest photographs that cameras make have 2^27.6; these need 2 GB."""

NEW_SUBFILE_TYPE, REDUCED_OR_MASK = (
    254,
    0b101,
)  # TIFF 6.0, page 36: a page that only shows another one smaller, or is its mask


@contextmanager
def opened_file(source: Source, name: str) -> Iterator[BinaryIO]:
    """The source as a stream that seeks; what is raised inside comes out as a `MediaError`, Pillow's warnings not at all."""
    with system_errors(name), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with open_stream(source) as file, decoder_errors(name):
            yield _seekable(file, name)


@contextmanager
def decoder_errors(name: str) -> Iterator[None]:
    """Any failure of a decoder as one sentence."""
    try:
        yield
    except MediaError:
        raise
    except MemoryError as error:
        raise MediaError(f"cannot read {name}: there is not enough memory for it") from error
    except Image.DecompressionBombError as error:
        raise MediaError(
            f"cannot read {name}: it claims more than the {MAX_PIXELS:,} pixels that are allowed"
        ) from error
    except OSError as error:
        if error.strerror is not None:  # of the system: a folder, a disk that fails
            raise
        raise damaged(name, error) from error
    except Exception as error:  # on damaged input Pillow lets nearly every type out: struct, zlib, Syntax, Index ...
        raise damaged(name, error) from error


def open_picture(file: BinaryIO, name: str) -> ImageFile.ImageFile:
    """A single picture of a sensible size whose file is as long as its header says; its pixels are not loaded yet."""
    image = identify(file, name)
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise MediaError(
            f"cannot read {name}: it claims {width} x {height}, more than the {MAX_PIXELS:,} pixels that are allowed"
        )
    pages = _pages(image)
    if pages > 1:
        raise MediaError(f"cannot read {name}: it has {pages} frames or pages, only single pictures are supported")
    if image.format == "PNG":
        check_png(file)
        return identify(file, name)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        check_tiff(image, file)
    return image


def identify(file: BinaryIO, name: str) -> ImageFile.ImageFile:
    """`Image.open` without its limit on pixels: that is a global of Pillow's, which other users of the process rely on."""
    file.seek(0)
    prefix = file.read(16)
    for format in READABLE:
        factory, accepts = Image.OPEN[format]
        if accepts is not None and accepts(prefix) is not True:
            continue
        file.seek(0)
        try:
            return cast(Callable[[BinaryIO, str], ImageFile.ImageFile], factory)(file, "")
        except (SyntaxError, IndexError, TypeError, struct.error):
            continue
    raise MediaError(f"cannot read {name}: not a picture, or not one of {', '.join(READABLE)}")


def _seekable(file: BinaryIO, name: str) -> BinaryIO:
    """The stream at its start, a copy in memory where it is a pipe; never empty."""
    stream = file if file.seekable() else io.BytesIO(file.read())
    stream.seek(0)
    if not stream.read(1):
        raise empty(name)
    return stream


def _pages(image: ImageFile.ImageFile) -> int:
    """Frames or pages; neither the previews of a camera's MPO nor smaller copies and masks in a TIFF count."""
    frames = int(getattr(image, "n_frames", 1))
    if image.format == "MPO":
        return 1
    if not isinstance(image, TiffImagePlugin.TiffImageFile) or frames == 1:
        return frames
    pages = 1
    for frame in range(1, frames):
        image.seek(frame)
        pages += not int(image.tag_v2.get(NEW_SUBFILE_TYPE, 0)) & REDUCED_OR_MASK
    image.seek(0)
    return pages
