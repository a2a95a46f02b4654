"""Attention in integers against attention in floats, and against arithmetic that cannot be wrong."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from codec.entropy.attention import (
    channel_attention,
    checkerboard_window,
    divide_rounded,
    exact_channel_attention,
    exact_exponentials,
    exact_linear_attention,
    exact_sigmoid,
    exact_window_attention,
    linear_attention,
    window_attention,
)
from codec.entropy.exact import BORDER_LIMIT

WINDOW = checkerboard_window(5)
BIAS = torch.arange(2 * len(WINDOW)).reshape(2, -1) * 20
EVEN = (torch.arange(6)[:, None] + torch.arange(7)) % 2 == 0


def integers(*shape: int, spread: float, seed: int) -> Tensor:
    """Normal values in 1/256."""
    return torch.round(256 * spread * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))).long()


def linear(exact: bool, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (exact_linear_attention if exact else linear_attention)(q, k, v, EVEN.flatten())


def channels(exact: bool, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return (exact_channel_attention if exact else channel_attention)(q, k, v)


def window(exact: bool, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    q, k, v = (part.unflatten(3, (6, 7)) for part in (q, k, v))
    bias = BIAS if exact else BIAS / 256
    return (exact_window_attention if exact else window_attention)(q, k, v, bias, WINDOW, EVEN)


KINDS = [linear, channels, window]
Kind = Callable[[bool, Tensor, Tensor, Tensor], Tensor]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("spread", [0.1, 1.0, 4.0])
def test_integers_agree_with_floats(kind: Kind, spread: float) -> None:
    q, k = (integers(2, 2, 8, 42, spread=spread, seed=seed) for seed in (0, 1))
    v = integers(2, 2, 8, 42, spread=20, seed=2)
    found, expected = kind(True, q, k, v), kind(False, q / 256, k / 256, v / 256)
    assert found.dtype == torch.int64
    torch.testing.assert_close(found / 256, expected, atol=0.1, rtol=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_thread_count_and_order_do_not_matter(kind: Kind) -> None:
    q, k, v = (integers(4, 2, 8, 42, spread=5, seed=seed) for seed in range(3))
    expected = kind(True, q, k, v)
    torch.set_num_threads(2)
    assert torch.equal(kind(True, q, k, v), expected)
    torch.set_num_threads(1)
    other = (q, k.flip(2), v.flip(2)) if kind is channels else (q.flip(2), k.flip(2), v)
    assert torch.equal(kind(True, *other), expected)


def test_sums_at_the_limits_are_exact() -> None:
    """All positions alike, all values at the border and odd: float sums would round if they left the exact range."""
    k, v = torch.zeros(1, 1, 1, 1 << 16, dtype=torch.int64), torch.full((1, 1, 1, 1 << 16), BORDER_LIMIT)
    assert torch.equal(exact_linear_attention(k, k, v), v)
    with pytest.raises(ValueError, match="positions exactly"):
        exact_linear_attention(*(torch.zeros(1, 1, 1, 1 << 18, dtype=torch.int64) for _ in range(3)))
    with pytest.raises(ValueError, match="positions exactly"):
        exact_channel_attention(*(torch.zeros(1, 1, 1, 1 << 24, dtype=torch.int8) for _ in range(3)))


def test_exponentials_are_those_of_the_distance_from_the_largest() -> None:
    logits = torch.tensor([[-100_000, 0, 256, 512]])
    e = exact_exponentials(logits, 1)
    assert e.tolist() == [[0.0, 8869.0, 24109.0, 65536.0]]
    assert torch.equal(exact_exponentials(logits + (1 << 30), 1), e)


def test_attention_over_equal_values_is_that_value() -> None:
    """Weights sum to one, in integers too."""
    q, k = (integers(1, 2, 8, 42, spread=3, seed=seed) for seed in (0, 1))
    v = torch.full((1, 2, 8, 42), -12_345)
    assert torch.equal(linear(True, q, k, v), v)
    assert torch.equal(channels(True, q, k, v), v)
    around = window(True, q, k, v)
    assert torch.equal(around[..., ~EVEN], v.unflatten(3, (6, 7))[..., ~EVEN])
    assert not around[..., EVEN].any()  # nothing that it may see is known


def test_sigmoid_is_symmetric_and_near_the_true_one() -> None:
    logits = torch.arange(-6000, 6001)
    found = exact_sigmoid(logits)
    assert torch.equal(found + found.flip(0), torch.full_like(found, 1 << 16))
    assert (found.diff() >= 0).all()
    torch.testing.assert_close(found / 65536, torch.sigmoid(logits / 256), atol=3e-5, rtol=0)


def test_division_rounds_to_the_nearest() -> None:
    found = divide_rounded(torch.tensor([7, -7, 5, 3, 0, 9]), torch.tensor([2, 2, 3, 3, 0, 4]))
    assert found.tolist() == [4, -3, 2, 1, 0, 2]


def test_the_window_of_a_checkerboard() -> None:
    assert len(WINDOW) == 12
    assert all((i + j) % 2 for i, j in WINDOW)
