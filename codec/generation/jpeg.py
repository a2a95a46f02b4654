"""The bytes of JPEG files as words, for the control: a language model of a format that nobody learned.

Han et al. 2024, "JPEG-LM: LLMs as Image Generators with Canonical Codec Representations", arXiv:2408.08459. Pictures of one size and
quality have one header, which is left away; what is left is the entropy-coded scan, and a word for its end, repeated to a fixed length.
"""

import hashlib
import io
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from codec.errors import BitstreamError, UsageError

END = 256  # the word behind the last byte
START_OF_SCAN, END_OF_IMAGE = b"\xff\xda", b"\xff\xd9"
PREFIX = "jpeg"


@dataclass(frozen=True)
class JpegWords:
    """Square pictures as bytes of baseline JPEG with 4:2:0 chroma and standard tables.

    Attributes:
        side: of the pictures in pixels.
        quality: 1 to 95.
        length: words of a picture; one with a longer scan has none.
    """

    side: int
    quality: int = 25
    length: int = 1024

    def __post_init__(self) -> None:
        if not 8 <= self.side <= 1024 or not 1 <= self.quality <= 95 or self.length < 1:
            raise UsageError(
                f"a side of 8 to 1024 and a quality of 1 to 95 are needed, got {self.side}, {self.quality}"
            )

    @staticmethod
    def named(name: str) -> "JpegWords | None":
        """`jpeg:SIDE:QUALITY:LENGTH`; None if it is no such name."""
        prefix, *numbers = name.split(":")
        if prefix != PREFIX or len(numbers) != 3 or not all(number.isdecimal() for number in numbers):
            return None
        return JpegWords(*map(int, numbers))

    @property
    def name(self) -> str:
        """By which it is asked for."""
        return f"{PREFIX}:{self.side}:{self.quality}:{self.length}"

    @property
    def alphabets(self) -> tuple[int, ...]:
        """Of the one plane."""
        return (END + 1,)

    @cached_property
    def header(self) -> bytes:
        """What stands before the scan of every such file."""
        return _split(self._encode(np.zeros((self.side, self.side, 3), np.uint8)))[0]

    @property
    def coding_hash(self) -> str:
        """SHA-256 of all that says what the words mean, in hex."""
        return hashlib.sha256(self.header + self.length.to_bytes(8, "little")).hexdigest()

    def codes(self, pixels: Tensor) -> Tensor | None:
        """uint8 `(3, side, side)` to int64 `(1, 1, length)`; None if its scan is too long."""
        header, scan = _split(self._encode(pixels.permute(1, 2, 0).contiguous().numpy()))
        if header != self.header:
            raise BitstreamError("this JPEG has another header than those of its settings", "jpeg")
        if len(scan) >= self.length:
            return None
        words = torch.full((self.length,), END)
        words[: len(scan)] = torch.frombuffer(bytearray(scan), dtype=torch.uint8).long()
        return words[None, None]

    def file(self, codes: Tensor) -> bytes:
        """int64 `(1, 1, length)` to a JPEG file, up to the first end."""
        words = codes.flatten()
        ends = (words == END).nonzero()
        scan = words[: int(ends[0])] if len(ends) else words
        return self.header + bytes(scan.tolist()) + END_OF_IMAGE

    def pixels(self, codes: Tensor) -> Tensor:
        """The way back, uint8 `(3, side, side)`; what a scan that ends early does not say is grey.

        Raises:
            BitstreamError: no decoder can make anything of it.
        """
        try:
            picture = Image.open(io.BytesIO(self.file(codes)))
            array = _loaded(picture)
        except (UnidentifiedImageError, OSError, SyntaxError) as error:
            raise BitstreamError(f"these bytes are no picture ({error})", "jpeg") from error
        return torch.from_numpy(array).permute(2, 0, 1)

    def _encode(self, pixels: np.ndarray) -> bytes:
        sink = io.BytesIO()
        Image.fromarray(pixels).save(sink, "JPEG", quality=self.quality, subsampling=2, optimize=False)
        return sink.getvalue()


def _split(data: bytes) -> tuple[bytes, bytes]:
    """All up to and with the scan's own header, and the scan."""
    start = data.index(START_OF_SCAN)
    start += 2 + int.from_bytes(data[start + 2 : start + 4], "big")
    return data[:start], data[start : -len(END_OF_IMAGE)]


def _loaded(picture: Image.Image) -> np.ndarray:
    """Pixels of a picture whose scan may be too short."""
    from PIL import ImageFile

    before, ImageFile.LOAD_TRUNCATED_IMAGES = ImageFile.LOAD_TRUNCATED_IMAGES, True
    try:
        return np.array(picture.convert("RGB"))
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = before
