"""Classical picture codecs on the same pixels, through Pillow."""

import io
import time
from dataclasses import dataclass
from typing import Any

from PIL import features
from torch import Tensor

from codec.errors import UsageError
from codec.media import read_image
from codec.media.image import to_pillow


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
        feature: Pillow's name of the library behind it, which a build may lack.
        qualities: lowest and highest quality.
        options: further settings of the encoder.
    """

    name: str
    format: str
    feature: str
    qualities: tuple[int, int]
    options: tuple[tuple[str, Any], ...]

    def encode(self, samples: Tensor, quality: int) -> bytes:
        """uint8 `(1 or 3, H, W)` to a whole file in the codec's own format."""
        low, high = self.qualities
        if not low <= quality <= high:
            raise UsageError(f"{self.name} has qualities {low} to {high}, got {quality}")
        if not features.check(self.feature):
            raise UsageError(f"this build of Pillow has no {self.feature!r}, which the baseline {self.name} needs")
        stream = io.BytesIO()
        to_pillow(samples).save(stream, self.format, quality=quality, **dict(self.options))
        return stream.getvalue()

    def decode(self, data: bytes) -> Tensor:
        """A whole file to uint8 `(1 or 3, H, W)`; WebP and AVIF give three equal channels for a grey picture."""
        return read_image(data).samples

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


BASELINES = {
    baseline.name: baseline
    for baseline in (
        Baseline("jpeg", "JPEG", "jpg", (1, 100), (("optimize", True), ("subsampling", "4:2:0"))),
        Baseline("webp", "WEBP", "webp", (0, 100), (("method", 6),)),
        Baseline("avif", "AVIF", "avif", (0, 100), (("subsampling", "4:2:0"),)),
        Baseline("avif444", "AVIF", "avif", (0, 100), (("subsampling", "4:4:4"),)),
    )
}
"""By name, as the command line takes them."""
