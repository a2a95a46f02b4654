"""The arithmetic of codebook usage."""

import math

import pytest
import torch

from codec.evaluation import CodebookUsage


def counted(alphabet: int, codes: list[int]) -> CodebookUsage:
    usage = CodebookUsage(alphabet)
    usage.update(torch.tensor(codes, dtype=torch.int64))
    return usage


def test_known_values() -> None:
    usage = counted(8, [0, 0, 1, 2])
    assert usage.counts.tolist() == [2, 1, 1, 0, 0, 0, 0, 0]
    assert usage.counts.dtype == torch.int64
    assert (usage.tokens, usage.dead, usage.usage) == (4, 5, 3 / 8)
    assert usage.entropy_bits == pytest.approx(1.5)
    assert usage.perplexity == pytest.approx(2**1.5)


def test_even_and_single_use() -> None:
    even = counted(5, [0, 1, 2, 3, 4])
    assert (even.usage, even.dead) == (1.0, 0)
    assert even.perplexity == pytest.approx(5)
    assert counted(5, [3, 3]).entropy_bits == 0
    assert math.copysign(1, counted(5, [3, 3]).entropy_bits) == 1


def test_any_shape_and_integer_type_adds_up() -> None:
    usage = counted(4, [1])
    usage.update(torch.full((2, 3, 1), 2, dtype=torch.int32))
    usage.update(torch.full((5,), 3, dtype=torch.uint8))
    usage.update(torch.empty(0, 7, dtype=torch.int64))
    assert usage.counts.tolist() == [0, 1, 6, 5]


def test_merge_equals_counting_together() -> None:
    first, second = counted(4, [0, 1]), counted(4, [1, 3, 3])
    first.merge(second)
    assert torch.equal(first.counts, counted(4, [0, 1, 1, 3, 3]).counts)
    assert second.tokens == 3
    with pytest.raises(ValueError, match="4 and 5"):
        first.merge(CodebookUsage(5))


@pytest.mark.parametrize("codes", [[4], [-1], [10**15]])
def test_codes_out_of_range_raise_and_change_nothing(codes: list[int]) -> None:
    usage = CodebookUsage(4)
    with pytest.raises(ValueError, match=r"\[0, 4\)"):
        usage.update(torch.tensor(codes))
    assert usage.tokens == 0


def test_wrong_use_raises() -> None:
    with pytest.raises(ValueError, match="integers"):
        CodebookUsage(4).update(torch.zeros(3))
    with pytest.raises(ValueError, match="no codes"):
        _ = CodebookUsage(4).perplexity
    with pytest.raises(ValueError, match="at least 1"):
        CodebookUsage(0)
    assert (CodebookUsage(4).usage, CodebookUsage(4).dead) == (0.0, 4)
