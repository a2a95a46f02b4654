"""Pixels of video: from FFmpeg's frames of any kind to upright 8-bit RGB, and from RGB to Y'CbCr.

ITU-R BT.601-7, BT.709-6, BT.2020-2; the matrix and range that a frame names are used, else BT.601 below 720 lines and BT.709 from
there on, in limited range. Writers tag what they write by the same rule.
"""

from typing import Any

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from codec.media.video import Chroma, VideoFormat

Pixels = NDArray[np.uint8]

HD_LINES = 720
# Of H.273, table 4, what FFmpeg converts, by its own numbers; 5 and 6 are two names of BT.601.
MATRICES = {
    1: Colorspace.ITU709, 4: Colorspace.FCC, 5: Colorspace.ITU601, 6: Colorspace.ITU601, 7: Colorspace.SMPTE240M,
    9: Colorspace.BT2020,
}  # fmt: skip
UNNAMED = (0, 2, 3)  # RGB, unspecified, reserved
MATRIX_TAGS = {Colorspace.ITU601: 6, Colorspace.ITU709: 1}
QUALITY = (
    Interpolation.BICUBIC
    | Interpolation.FULL_CHR_H_INT
    | Interpolation.FULL_CHR_H_INP
    | Interpolation.ACCURATE_RND
    | Interpolation.BITEXACT
)
# Grey of limited range in full range, for which FFmpeg takes it.
WIDENED = ((np.arange(256) - 16) * 255 / 219).round().clip(0, 255).astype(np.uint8)
PLANES = (1, 2, 0)  # planar RGB of FFmpeg's stands as green, blue, red
FULL_RANGE = ("yuvj", "rgb", "bgr", "gbr", "pal8", "xyz")  # names of formats that need no range begin so


def usual_matrix(height: int) -> Colorspace:
    """What pictures have that do not say."""
    return Colorspace.ITU601 if height < HD_LINES else Colorspace.ITU709


class ToRGB:
    """Frames of one video to upright pixels."""

    def __init__(self) -> None:
        self._reformatter = VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> Pixels:
        """uint8 `(3, H, W)`, turned as the frame's display matrix says.

        Raises:
            ValueError: its colours are of a kind that FFmpeg cannot convert.
        """
        rgb = self._reformatter.reformat(
            frame,
            format="gbrp",
            src_colorspace=_matrix(frame),
            src_color_range=_range(frame),
            dst_color_range=ColorRange.JPEG,
            interpolation=QUALITY,
            threads=1,
        )
        planes = [plane_rows(plane, rgb.width) for plane in rgb.planes]
        pixels = np.stack([planes[PLANES.index(channel)] for channel in range(3)])
        if is_grey(frame.format) and frame.color_range == ColorRange.MPEG:
            pixels = WIDENED[pixels]
        return upright(pixels, frame)


class FromRGB:
    """Pictures of one video to frames of 8-bit Y'CbCr in limited range, tagged with their matrix."""

    def __init__(self, format: VideoFormat) -> None:
        self._reformatter, self._format = VideoReformatter(), format

    def __call__(self, pixels: Pixels) -> av.VideoFrame:
        """A frame of uint8 `(3, H, W)`; its chroma lies amid the pixels that share it."""
        rgb = av.VideoFrame(self._format.width, self._format.height, "gbrp")
        for plane, channel in zip(rgb.planes, PLANES, strict=True):
            fill_plane(plane, pixels[channel])
        return self._reformatter.reformat(
            rgb,
            format=f"yuv{self._format.chroma}p",
            src_color_range=ColorRange.JPEG,
            dst_colorspace=usual_matrix(self._format.height),
            dst_color_range=ColorRange.MPEG,
            interpolation=QUALITY,
            threads=1,
        )


def upright(pixels: Pixels, frame: av.VideoFrame) -> Pixels:
    """`(3, H, W)` pixels as they are shown: turned by quarters and mirrored, as 16.16 numbers a, b, c, d say where x and y go."""
    side_data: Any = frame.side_data.get("DISPLAYMATRIX")
    if side_data is None:
        return pixels
    (a, b, _), (c, d, _), _ = np.frombuffer(bytes(side_data), np.int32).reshape(3, 3).tolist()
    across, down = a, d
    if abs(b) + abs(c) > abs(a) + abs(d):
        pixels, across, down = pixels.swapaxes(1, 2), c, b
    return np.ascontiguousarray(pixels[:, :: -1 if down < 0 else 1, :: -1 if across < 0 else 1])


def is_grey(format: av.VideoFormat) -> bool:
    """Whether FFmpeg's pixels of a kind have luma alone."""
    return len(format.components) < 3 and not format.has_palette


def chroma_of(format: av.VideoFormat) -> Chroma:
    """What a writer needs to keep the colour of FFmpeg's pixels of a kind."""
    if format.is_rgb or format.has_palette:
        return "444"
    return "420" if is_grey(format) or format.chroma_width(2) == 1 == format.chroma_height(2) else "444"


def plane_rows(plane: Any, row_bytes: int) -> Pixels:
    """The rows of a plane of a frame, `(rows, row_bytes)`, which share its memory."""
    return np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)[:, :row_bytes]


def fill_plane(plane: Any, rows: Pixels) -> None:
    """Write `(rows, row_bytes)` into a plane of a frame."""
    plane_rows(plane, rows.shape[1])[:] = rows


def _matrix(frame: av.VideoFrame) -> Colorspace:
    if frame.colorspace in UNNAMED:
        return usual_matrix(frame.height)
    if frame.colorspace not in MATRICES:
        raise ValueError(
            f"its colours are of a kind ({frame.colorspace} in H.273) that is not supported; convert it to BT.709"
        )
    return MATRICES[frame.colorspace]


def _range(frame: av.VideoFrame) -> ColorRange | int:
    if frame.color_range == ColorRange.UNSPECIFIED and not frame.format.name.startswith(FULL_RANGE):
        return ColorRange.MPEG
    return frame.color_range
