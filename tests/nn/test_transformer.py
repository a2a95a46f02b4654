"""Transformers over grids and sequences: what a position may see, whatever the shape, the windows and the cache."""

import pytest
import torch
from torch import Tensor

from codec.nn import GridTransformer, SequenceTransformer
from codec.nn.transformer import blocks_of, grid_positions, rotations, turned, windows_of


@pytest.fixture
def sequence() -> SequenceTransformer:
    torch.manual_seed(0)
    return SequenceTransformer(16, 3, 2).eval()


def grid(**options: object) -> GridTransformer:
    torch.manual_seed(0)
    return GridTransformer(16, 2, 2, **options).eval()  # type: ignore[arg-type]


def changed(before: Tensor, after: Tensor) -> Tensor:
    """Which positions differ: bool `(B, *grid)`."""
    return ((before - after).abs() > 1e-6).any(-1)


def test_a_sequence_sees_no_later_position(sequence: SequenceTransformer) -> None:
    x = torch.randn(2, 9, 16)
    other = x.clone()
    other[:, 5] += 1
    moved = changed(sequence(x), sequence(other))
    assert not moved[:, :5].any()
    assert moved[:, 5:].all()


@pytest.mark.parametrize("pieces", [[1] * 9, [4, 5], [9], [1, 7, 1]])
def test_a_cache_gives_what_the_whole_gives(sequence: SequenceTransformer, pieces: list[int]) -> None:
    x, cache = torch.randn(2, 9, 16), sequence.new_cache()
    found = torch.cat([sequence(part, cache) for part in x.split(pieces, 1)], 1)
    torch.testing.assert_close(found, sequence(x), atol=1e-4, rtol=0)
    assert cache.length == 9


def test_order_matters_to_a_sequence(sequence: SequenceTransformer) -> None:
    x = torch.randn(1, 6, 16)
    swapped = x[:, [1, 0, 2, 3, 4, 5]]
    assert changed(sequence(x), sequence(swapped))[0, 5]


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (16, 8), (1, 30), (9, 1)])
def test_a_grid_of_any_size_keeps_it(shape: tuple[int, int]) -> None:
    x = torch.randn(2, *shape, 16)
    assert grid(window=(4, 4))(x).shape == x.shape


def test_what_lies_beyond_the_border_is_not_seen() -> None:
    """A window that is cut by the border gives what it gives alone."""
    model = GridTransformer(16, 1, 2, window=(4, 4)).eval()
    x = torch.randn(1, 6, 6, 16)
    torch.testing.assert_close(model(x)[:, 4:, 4:], model(x[:, 4:, 4:]), atol=1e-5, rtol=0)


def test_layers_see_a_window_and_then_half_a_window_further() -> None:
    x = torch.randn(1, 16, 16, 16)
    other = x.clone()
    other[0, 0, 0] += 1
    one, two = (GridTransformer(16, depth, 2, window=(4, 4)).eval() for depth in (1, 2))
    assert changed(one(x), one(other))[0].nonzero().amax(0).tolist() == [3, 3]
    assert changed(two(x), two(other))[0].nonzero().amax(0).tolist() == [5, 5]


def test_a_window_as_large_as_the_grid_sees_all_of_it() -> None:
    x = torch.randn(1, 5, 6, 16)
    other = x.clone()
    other[0, 4, 5] += 1
    model = grid(window=(8, 8))
    assert changed(model(x), model(other)).all()


def test_rows_that_windows_keep_apart_do_not_see_each_other() -> None:
    x = torch.randn(1, 3, 40, 16)
    model = grid(window=(1, 8))
    torch.testing.assert_close(model(x)[:, 1], model(x[:, 1:2])[:, 0], atol=1e-5, rtol=0)


def test_a_batch_does_not_matter() -> None:
    x = torch.randn(3, 6, 7, 16)
    model = grid(window=(4, 4))
    torch.testing.assert_close(model(x)[1:2], model(x[1:2]), atol=1e-5, rtol=0)


def test_windows_cut_and_join() -> None:
    x = torch.randn(2, 6, 7, 3)
    for shifted in (False, True):
        place = windows_of((6, 7), (4, 4), shifted=shifted)
        assert torch.equal(place.join(place.cut(x)), x)


@pytest.mark.parametrize("window", [(4, 4), (1, 4), (8, 4)])
def test_windows_that_wrap_are_the_same_for_less(window: tuple[int, int]) -> None:
    torch.manual_seed(0)
    x, layer = torch.randn(2, 8, 12, 16), blocks_of(16, 1, 2, None)[0]
    found = []
    for place in (windows_of((8, 12), window, shifted=True), windows_of((8, 12), window, shifted=True).closed()):
        turns = rotations(grid_positions(place.window), 8)
        assert torch.equal(place.join(place.cut(x)), x)
        found.append(place.join(layer(place.cut(x), turns, place.mask(x.device, len(x)))))
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=0)


def test_only_distances_count_in_rotary_products() -> None:
    q, k = torch.randn(8), torch.randn(8)
    places = torch.tensor([[2, 7], [5, 3], [12, 7], [15, 3]])
    turns = rotations(places, 8)
    query, key = turned(q.expand(4, 8), turns), turned(k.expand(4, 8), turns)
    torch.testing.assert_close(query[0] @ key[1], query[2] @ key[3])


def test_heads_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match="3 heads do not divide 16 channels"):
        SequenceTransformer(16, 1, 3)
