"""The driver's sources and recorders on tables that are known."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from codec.coding import tables_from_pmfs
from codec.entropy import (
    CodeLength,
    Frequencies,
    GivenCodes,
    Known,
    Layout,
    Rows,
    StaticTokenPrior,
    Step,
    decode_chunk,
    encode_chunk,
    walk,
)
from codec.errors import BitstreamError, ModelMismatchError


class Wider(StaticTokenPrior):
    """Claims four codes, but its tables go up to seven, as a damaged model's might."""

    def steps(self, layout: Layout, known: Known) -> Iterator[Step]:
        """All at once."""
        tables = tables_from_pmfs([np.full(8, 1 / 8)], [0])
        yield Step(0, np.arange(layout.sizes[0]), Rows(np.zeros(layout.sizes[0], np.int64), tables))


def test_decoded_codes_outside_the_alphabet_are_damage() -> None:
    model = Wider([4])
    wide = Wider([8])
    stream = encode_chunk(wide, [torch.arange(8)])
    with pytest.raises(BitstreamError, match=r"leave \[0, 4\)"):
        decode_chunk(model, model.layout((8,)), stream)


def test_a_stream_of_another_model_is_refused() -> None:
    codes = torch.arange(64).repeat(4)
    one, two = StaticTokenPrior([64]), StaticTokenPrior([64])
    two.fit([torch.arange(64)])
    with pytest.raises(ModelMismatchError):
        decode_chunk(two, two.layout((256,)), encode_chunk(one, [codes]))


def test_the_ideal_length_is_that_of_the_tables() -> None:
    length, model = CodeLength(), StaticTokenPrior([16])
    walk(model, model.layout((100,)), GivenCodes([np.arange(100) % 16]), length)
    assert length.bits == pytest.approx(400)


def test_draws_follow_the_tables() -> None:
    """Both kinds of tables; where an escape is drawn, the first symbol stands for it."""
    random, n = np.random.default_rng(0), 40_000
    pmfs = [np.array([0.5, 0.3, 0.1, 0.1]), np.array([0.1, 0.1, 0.2, 0.6])]
    rows = Rows(np.arange(n) % 2, tables_from_pmfs(pmfs, [-1, 5], has_escape=True))
    drawn = rows.draw(random)
    for row, expected in enumerate(([0.6, 0.3, 0.1], [0.7, 0.1, 0.2])):
        values = drawn[row::2] - (-1, 5)[row]
        assert np.bincount(values, minlength=3) / (n / 2) == pytest.approx(np.array(expected), abs=0.02)
    shares = Frequencies(np.tile([1, 2, 13], (n, 1)), precision=4).draw(random)
    assert np.bincount(shares) / n == pytest.approx(np.array([1, 2, 13]) / 16, abs=0.02)
