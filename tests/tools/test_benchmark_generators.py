"""What the benchmarks of generative models count and how they lose codes."""

import torch
from benchmark_generators import distinct
from benchmark_generator_uses import lost_places, nearest

from codec.generation import EMPTY


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
