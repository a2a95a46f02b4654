"""Codes as inputs and outputs of transformers: probabilities, bits, digits, and what is drawn from them."""

import math

import pytest
import torch

from codec.generation import EMPTY, BitWords, DigitPlanes, Sampling, TableWords
from codec.generation.sampling import cut, draw, guided


def started_table(radices: list[int]) -> TableWords:
    torch.manual_seed(0)
    words = TableWords(radices, 16, code_dim=4, key_dim=4)
    size = words.alphabet
    words.start(torch.randn(size, 6), torch.arange(size))
    for digit in words.digits.keys:
        torch.nn.init.normal_(digit.keys, std=0.3)  # type: ignore[arg-type]
    return words


@pytest.mark.parametrize("radices", [[30], [5, 6], [2, 3, 5]])
def test_probabilities_of_a_tree_sum_to_one_and_agree_with_its_bits(radices: list[int]) -> None:
    words, hidden = started_table(radices), torch.randn(40, 16)
    found = words.log_probabilities(hidden)
    torch.testing.assert_close(found.exp().sum(1), torch.ones(40))
    codes = torch.randint(30, (40,))
    bits = -found.gather(1, codes[:, None])[:, 0] / math.log(2)
    torch.testing.assert_close(words.code_bits(hidden, codes), bits, atol=0.02, rtol=0)  # which has a floor


def test_tables_begin_at_how_often_codes_occur() -> None:
    words = TableWords([5, 6], 16)
    counts = torch.arange(30)
    words.start(torch.randn(30, 6), counts)
    with torch.no_grad():
        found = words.log_probabilities(torch.zeros(1, 16)).exp()[0]
    torch.testing.assert_close(found, (counts + 0.5) / (counts + 0.5).sum(), atol=0.02, rtol=0)


def test_what_is_unknown_has_a_vector_of_its_own() -> None:
    words = started_table([30])
    words.table.weight.data[0] = 7.0
    codes = torch.tensor([EMPTY, 0])
    torch.testing.assert_close(words.embed(codes)[0], words.enter(torch.full((4,), 7.0)))


def test_unknown_bits_are_zeros() -> None:
    words = BitWords(3, 16)
    assert not words.embed(torch.tensor([EMPTY])).any()
    assert torch.equal(words.embed(torch.tensor([5])), words.enter(torch.tensor([[1.0, -1.0, 1.0]])))


def test_codes_to_digits_and_back() -> None:
    digits = DigitPlanes([[5, 6], [7]])
    assert (digits.alphabets, digits.digit_alphabets) == ((30, 7), (6, 5, 7))
    digits.start([torch.randn(30, 4), torch.randn(7, 4)])
    codes = torch.stack([torch.randint(30, (2, 3, 4)), torch.randint(7, (2, 3, 4))], 1)
    codes[0, 0, 1] = EMPTY
    split = digits.split(codes)
    assert split.shape == (2, 3, 3, 4)
    assert bool((split[0, :2, 1] == EMPTY).all())
    assert torch.equal(digits.join(split), codes)


def test_only_the_likeliest_are_drawn() -> None:
    logits = torch.tensor([[0.4, 0.3, 0.2, 0.1]]).log()
    assert cut(logits, Sampling(top_k=2)).isfinite().tolist() == [[True, True, False, False]]
    assert cut(logits, Sampling(top_p=0.65)).isfinite().tolist() == [[True, True, False, False]]
    assert cut(logits, Sampling(top_p=0.1)).isfinite().tolist() == [[True, False, False, False]]
    random = torch.Generator().manual_seed(0)
    drawn, likely = draw(logits.expand(50, 4), Sampling(top_k=1), random)
    assert drawn.tolist() == [0] * 50
    torch.testing.assert_close(likely.exp(), torch.full((50,), 0.4))
    assert draw(logits.flip(1), Sampling(temperature=0), random)[0].tolist() == [3]


def test_draws_follow_probabilities() -> None:
    logits = torch.tensor([0.5, 0.3, 0.2]).log().expand(20000, 3)
    drawn, _ = draw(logits, Sampling(), torch.Generator().manual_seed(0))
    torch.testing.assert_close(torch.bincount(drawn) / 20000, torch.tensor([0.5, 0.3, 0.2]), atol=0.02, rtol=0)


def test_guidance_of_one_is_the_conditional() -> None:
    conditional, other = torch.randn(4, 9).log_softmax(1), torch.randn(4, 9).log_softmax(1)
    torch.testing.assert_close(guided([conditional, other], 1.0), conditional)
    torch.testing.assert_close(guided([conditional, other], 0.0), other)


@pytest.mark.parametrize("options", [{"temperature": -1.0}, {"top_p": 0.0}, {"top_k": 0}, {"steps": 0}])
def test_settings_that_make_no_sense(options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="at least"):
        Sampling(**options)  # type: ignore[arg-type]
