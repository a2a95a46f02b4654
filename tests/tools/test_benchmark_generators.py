"""What the benchmarks of generative models count and how they lose codes."""

import argparse
from pathlib import Path

import pytest
import torch
from benchmark_generator_uses import lost_places, nearest
from benchmark_generators import JpegBytes, distinct

from codec.errors import UsageError
from codec.generation import EMPTY
from codec.media import write_image
from codec.types import Media
from tests.conftest import synthetic_picture


def test_so_many_codes_are_lost() -> None:
    single = lost_places((20, 30), 0.1, 1, seed=0)
    assert int(single.sum()) == 60
    squares = lost_places((20, 32), 0.1, 4, seed=0)
    assert int(squares.sum()) == 16 * 4
    assert all(int(part.sum()) in (0, 16) for row in squares.split(4, 0) for part in row.split(4, 1))
    assert not torch.equal(single, lost_places((20, 30), 0.1, 1, seed=1))


def test_the_nearest_code_that_is_left() -> None:
    codes = torch.tensor([[[[1, EMPTY, EMPTY, 4], [5, 6, EMPTY, 8]]]])
    found = nearest(codes)
    assert found[0, 0, 0].tolist()[0] == 1
    assert found[0, 0, 0, 1] in (1, 6)
    assert found[0, 0, 0, 2] == 4
    assert found[0, 0, 1, 2] in (6, 8)


def test_what_is_like_another_is_not_distinct() -> None:
    codes = torch.arange(4 * 8).view(4, 1, 2, 4)
    codes[3] = codes[0]
    codes[3, 0, 0, 0] = 99
    assert distinct(codes) == 0.5


def test_bytes_of_jpeg_files_are_compared_as_pictures(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    for i in range(3):
        write_image(Media("image", synthetic_picture(40, 48, i)), tmp_path / "pictures" / f"{i}.png")
    asked = argparse.Namespace(
        jpeg="jpeg:16:25:300",
        pictures=tmp_path / "pictures",
        other_pictures=tmp_path / "pictures",
        out=tmp_path,
        held_out=2,
    )
    tokens = JpegBytes(asked)
    held_out = tokens.held_out()
    assert held_out.shape == (2, 1, 1, 300)
    nonsense = torch.full_like(held_out[:1], 255)
    pixels = tokens.pixels(torch.cat([held_out, nonsense]))
    assert pixels.shape == (3, 3, 16, 16)
    assert float(pixels[:2].std()) > 0.01
    assert "tokenizer=jpeg:16:25:300" in tokens.overrides()
    asked.pictures = None
    with pytest.raises(UsageError, match="--pictures"):
        JpegBytes(asked)
