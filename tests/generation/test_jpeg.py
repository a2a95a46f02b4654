"""Pictures as the bytes of JPEG files, and back."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

from codec.errors import BitstreamError, UsageError
from codec.generation import JpegWords
from codec.generation.jpeg import END
from tests.conftest import synthetic_picture

WORDS = JpegWords(32, 50, 600)


def test_a_picture_comes_back_as_jpeg_leaves_it() -> None:
    pixels = synthetic_picture(32, 32, 0)
    codes = WORDS.codes(pixels)
    assert codes is not None
    assert codes.shape == (1, 1, 600)
    assert int(codes.max()) == END
    sink = io.BytesIO()
    Image.fromarray(pixels.permute(1, 2, 0).numpy()).save(sink, "JPEG", quality=50, subsampling=2)
    assert WORDS.file(codes) == sink.getvalue()
    expected = torch.from_numpy(np.array(Image.open(sink).convert("RGB"))).permute(2, 0, 1)
    assert torch.equal(WORDS.pixels(codes), expected)


def test_a_scan_that_is_too_long_has_no_words() -> None:
    noise = torch.randint(256, (3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert JpegWords(32, 95, 600).codes(noise) is None


def test_a_scan_that_ends_early_or_never_is_still_a_picture() -> None:
    codes = WORDS.codes(synthetic_picture(32, 32, 1))
    assert codes is not None
    short = codes.clone()
    short[..., 60:] = END
    assert WORDS.pixels(short).shape == (3, 32, 32)
    assert WORDS.pixels(torch.full((1, 1, 600), 7)).shape == (3, 32, 32)


def test_names() -> None:
    assert JpegWords.named("jpeg:32:50:600") == WORDS
    assert WORDS.name == "jpeg:32:50:600"
    assert JpegWords.named("image-tokens-f16") is None
    assert JpegWords.named("jpeg:32:50") is None
    with pytest.raises(UsageError, match="quality of 1 to 95"):
        JpegWords.named("jpeg:32:0:9")
    assert len({JpegWords(32, quality, 600).coding_hash for quality in (25, 50)}) == 2


def test_what_no_decoder_can_read(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = JpegWords(32, 50, 600)
    broken.__dict__["header"] = b"nothing"
    with pytest.raises(BitstreamError, match="no picture"):
        broken.pixels(torch.full((1, 1, 600), END))
