"""Classical picture codecs on the same pixels, through Pillow."""

import importlib
import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image, features
from torch import Tensor

from codec.errors import UsageError
from codec.media.image import to_pillow

Options = dict[str, Any]  # what Pillow's encoders take


def by_quality(quality: int) -> Options:
    """Most encoders have a quality of their own."""
    return {"quality": quality}


def by_ratio(quality: int) -> Options:
    """JPEG 2000 aims at a size instead: ten steps double it, and 100 is that of the pixels themselves."""
    return {"quality_mode": "rates", "quality_layers": [2 ** ((100 - quality) / 10)]}


@dataclass(frozen=True)
class CodedImage:
    """One picture through one codec.

    Attributes:
        name: the codec's.
        quality: its setting; None for a codec with a single rate.
        decoded: uint8, the shape of the original.
    """

    name: str
    quality: int | None
    data: bytes
    decoded: Tensor
    encode_seconds: float
    decode_seconds: float


@dataclass(frozen=True)
class Baseline:
    """A classical codec with a quality that is an integer; a higher one means a larger file.

    Attributes:
        format: Pillow's name of the file format.
        qualities: lowest and highest quality.
        curve: the qualities of a rate-distortion curve, from below 0.2 bits per pixel to above 1.
        options: further settings of the encoder.
        feature: Pillow's name of the library behind it, which a build may lack; None where a plugin brings it.
        plugin: the module that teaches Pillow the format, and the extra that installs it.
        setting: a quality as the encoder takes it.
    """

    name: str
    format: str
    qualities: tuple[int, int]
    curve: tuple[int, ...]
    options: tuple[tuple[str, Any], ...] = ()
    feature: str | None = None
    plugin: tuple[str, str] | None = None
    setting: Callable[[int], Options] = by_quality

    def encode(self, samples: Tensor, quality: int) -> bytes:
        """uint8 `(1 or 3, H, W)` to a whole file in the codec's own format."""
        low, high = self.qualities
        if not low <= quality <= high:
            raise UsageError(f"{self.name} has qualities {low} to {high}, got {quality}")
        self.check_available()
        stream = io.BytesIO()
        to_pillow(samples).save(stream, self.format, **self.setting(quality), **dict(self.options))
        return stream.getvalue()

    def decode(self, data: bytes) -> Tensor:
        """A whole file to uint8 `(1 or 3, H, W)`; WebP and AVIF give three equal channels for a grey picture."""
        self.check_available()
        with Image.open(io.BytesIO(data), formats=[self.format]) as image:
            pixels = np.array(image if image.mode == "L" else image.convert("RGB"))
        return torch.from_numpy(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1).copy())

    def check_available(self) -> None:
        """Raise `UsageError` where the library behind the codec is not installed."""
        if self.feature is not None and not features.check(self.feature):
            raise UsageError(f"this build of Pillow has no {self.feature!r}, which the baseline {self.name} needs")
        if self.plugin is not None:
            module, extra = self.plugin
            try:
                importlib.import_module(module)
            except ImportError as error:
                raise UsageError(
                    f"the baseline {self.name} needs {module}: see the extra `{extra}` in pyproject.toml"
                ) from error

    def code(self, samples: Tensor, quality: int) -> CodedImage:
        """Encode and decode, with the wall time that each took."""
        started = time.perf_counter()
        data = self.encode(samples, quality)
        encoded = time.perf_counter()
        decoded = self.decode(data)
        finished = time.perf_counter()
        if decoded.shape[0] > samples.shape[0]:
            decoded = decoded[:1]
        return CodedImage(self.name, quality, data, decoded, encoded - started, finished - encoded)

    def at_size(self, samples: Tensor, target_bytes: int, at_least: bool = True) -> CodedImage:
        """The smallest quality whose file has `target_bytes` or more, or the largest whose file has no more than that.

        Found by bisection; where sizes do not rise with every step of quality, it is one of the crossings.

        Raises:
            UsageError: no quality gives such a file.
        """
        below, above = self.qualities[0] - 1, self.qualities[1] + 1
        while above - below > 1:
            middle = (below + above) // 2
            size = len(self.encode(samples, middle))
            if size >= target_bytes if at_least else size > target_bytes:
                above = middle
            else:
                below = middle
        quality = above if at_least else below
        if not self.qualities[0] <= quality <= self.qualities[1]:
            limit = "at least" if at_least else "at most"
            raise UsageError(f"{self.name} has no quality that gives this picture {limit} {target_bytes} bytes")
        return self.code(samples, quality)


AVIF_CURVE = (5, 10, 18, 22, 26, 30, 34, 40, 50, 60, 70, 80)

BASELINES = {
    baseline.name: baseline
    for baseline in (
        Baseline(
            name="jpeg",
            format="JPEG",
            qualities=(1, 100),
            curve=(3, 4, *range(5, 96, 5)),
            options=(("optimize", True), ("subsampling", "4:2:0")),
            feature="jpg",
        ),
        Baseline(
            name="webp",
            format="WEBP",
            qualities=(0, 100),
            curve=(0, 1, 3, 6, 10, 15, 30, 50, 70, 85, 92),
            options=(("method", 6),),
            feature="webp",
        ),
        Baseline(
            name="avif",
            format="AVIF",
            qualities=(0, 100),
            curve=AVIF_CURVE,
            options=(("subsampling", "4:2:0"),),
            feature="avif",
        ),
        # What the format can do where time does not matter: 6 times slower, and about 4 points of BD-rate better.
        Baseline(
            name="avif_slow",
            format="AVIF",
            qualities=(0, 100),
            curve=(5, 14, 22, 30, 40, 50, 60, 70, 80),
            options=(("subsampling", "4:2:0"), ("speed", 2)),
            feature="avif",
        ),
        Baseline(
            name="avif444",
            format="AVIF",
            qualities=(0, 100),
            curve=AVIF_CURVE,
            options=(("subsampling", "4:4:4"),),
            feature="avif",
        ),
        # A bare codestream; Pillow leaves the colour transform off unless told, which costs 3 dB, and signs each file.
        Baseline(
            name="jpeg2000",
            format="JPEG2000",
            qualities=(0, 100),
            curve=(18, 22, 26, 28, 31, 35, 40, 45, 50, 55, 60, 65),
            options=(("irreversible", True), ("mct", 1), ("no_jp2", True), ("comment", " ")),
            feature="jpg_2000",
            setting=by_ratio,
        ),
        # Made for the eye: it spends by a perceptual distance in the XYB colour space, so PSNR in RGB does not do it justice,
        # and its lowest qualities code half the resolution, which leaves a kink in the curve. Effort 9 takes seven times as long;
        # quality 100 means lossless.
        Baseline(
            name="jxl",
            format="JXL",
            qualities=(0, 99),
            curve=(0, 5, 10, 15, 20, 30, 45, 60, 75, 85, 90),
            options=(("effort", 7),),
            plugin=("pillow_jxl", "jxl"),
        ),
    )
}
"""By name, as the command line takes them."""
