"""Pictures as files: depth and metadata ride beside the codes, and old readers are not disturbed."""

import io

import numpy as np
import pytest
import torch

from codec.container import Reader, Section, SectionType, Writer
from codec.errors import BitstreamError
from codec.types import Media
from tests.conftest import synthetic_picture
from tests.models.test_token_codec import make


def deep(height: int, width: int, channels: int = 3) -> Media:
    samples = synthetic_picture(height, width)[:channels].numpy().astype(np.uint16) * np.uint16(257)
    return Media("image", torch.from_numpy(samples))


def with_depth(data: bytes, payload: bytes | None) -> bytes:
    """The same file with another DEPTH section, or none."""
    reader, sink = Reader(io.BytesIO(data)), io.BytesIO()
    writer = Writer(sink, reader.head)
    for section in reader:
        if section.type != SectionType.DEPTH:
            writer.write(section)
        elif payload is not None:
            writer.write(Section(SectionType.DEPTH, payload=payload))
    writer.finish()
    return sink.getvalue()


@pytest.mark.parametrize("channels", [1, 3])
def test_sixteen_bits_cost_eight_bytes_and_change_no_code(channels: int) -> None:
    codec, picture = make(), synthetic_picture(50, 70)[:channels]
    shallow, data = codec.compress(Media("image", picture)), codec.compress(deep(50, 70, channels))
    assert len(data) == len(shallow) + 8
    assert with_depth(data, None) == shallow  # 255 and 65535 are the same white, so what a reader that skips it sees
    back = codec.decompress(data).samples
    assert back.dtype == torch.uint16
    assert (back.float() / 257 - codec.decompress(shallow).samples.float()).abs().max() <= 0.5


@pytest.mark.parametrize("payload", [b"", b"\x08", b"\x10\x10", b"\x20"])
def test_other_depths_are_damage(payload: bytes) -> None:
    codec = make()
    with pytest.raises(BitstreamError, match="depth: samples can have 16 bits"):
        codec.decompress(with_depth(codec.compress(deep(9, 9)), payload))


def test_the_depth_comes_before_the_codes() -> None:
    first = next(iter(Reader(io.BytesIO(make().compress(deep(9, 9))))))
    assert (first.type, first.payload) == (SectionType.DEPTH, b"\x10")


def test_metadata_comes_back_byte_for_byte() -> None:
    metadata = {"alpha": b"not looked at here", "icc": bytes(range(256)), "exif": b"II*\0"}
    codec = make()
    assert codec.decompress(codec.compress(Media("image", synthetic_picture(9, 9), metadata))).metadata == metadata
