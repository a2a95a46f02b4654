"""Several codebooks on several grids: counts, grids, and what knowing the coarser level saves."""

import math

import pytest
import torch
from torch import Tensor

from codec.entropy import Frequencies, Layout, MultiCodebookPrior, decode_chunk, encode_chunk, source_of, walk
from codec.entropy.base import Step
from tests.entropy.samples import train


def related_planes(seed: int) -> list[Tensor]:
    """16 coarse codes; fine ones lie within two of twice the coarse code at their place."""
    random = torch.Generator().manual_seed(seed)
    coarse = torch.randint(16, (4, 2, 4, 4), generator=random)
    fine = 2 * coarse.repeat_interleave(2, 2).repeat_interleave(2, 3)
    return [coarse, (fine + torch.randint(2, fine.shape, generator=random)) % 32]


def test_grids_double_and_odd_sides_round_up() -> None:
    prior = MultiCodebookPrior([64, 32, 16], groups=3)
    assert prior.layout((5, 8)).grids == ((3, 2, 2), (3, 3, 4), (3, 5, 8))
    assert prior.layout((9,)).grids == ((3, 3), (3, 5), (3, 9))


def test_counts_are_a_moving_average() -> None:
    prior = MultiCodebookPrior([4], groups=2, conditioned=False, decay=0.75)
    first = torch.tensor([[[[0, 0, 1, 1]], [[2, 2, 2, 2]]]])
    prior.count([first])
    prior.count([torch.full_like(first, 3)])
    shares = prior.get_buffer("shares_0")
    torch.testing.assert_close(shares, torch.tensor([[0.375, 0.375, 0, 0.25], [0, 0, 0.75, 0.25]]))


def test_static_tables_cost_the_entropy() -> None:
    """Two groups, one of which always holds the same code."""
    prior = MultiCodebookPrior([4], groups=2, conditioned=False).eval()
    codes = torch.stack([torch.arange(256) % 4, torch.full((256,), 3)]).reshape(1, 2, 16, 16)
    assert abs(prior.freeze([codes])) < 0.05
    assert float(prior.bits([codes])) == pytest.approx(512 - 256 * math.log2(1 - 0.75 / 128), rel=0.01)


def test_a_level_is_one_step() -> None:
    prior, planes = MultiCodebookPrior([16, 32], groups=2), [plane[0] for plane in related_planes(0)]

    class Steps:
        def __init__(self) -> None:
            self.seen: list[Step] = []

        def record(self, step: Step, symbols: object) -> None:
            self.seen.append(step)

    steps = Steps()
    walk(prior, Layout(tuple(tuple(plane.shape) for plane in planes)), source_of(prior, planes), steps)
    assert [(step.plane, len(step.where)) for step in steps.seen] == [(0, 32), (1, 128)]
    assert isinstance(steps.seen[1].tables, Frequencies)


def test_the_coarser_level_saves_what_it_tells() -> None:
    """Order 0 costs 5 bits a fine code, of which the coarse code tells nearly 4."""
    bits = []
    for conditioned in (False, True):
        torch.manual_seed(0)
        prior = MultiCodebookPrior([16, 32], groups=2, conditioned=conditioned, width=32)
        if conditioned:
            train(prior, related_planes, steps=120, rate=2e-2)
        prior.eval()
        prior.freeze(related_planes(1000))
        bits.append(float(prior.bits(related_planes(1000))))
    assert bits[0] == pytest.approx(4 * (32 * 4 + 128 * 5), rel=0.05)
    assert bits[1] < 4 * (32 * 4 + 128 * 1.3)


def test_sound_has_one_axis() -> None:
    prior = MultiCodebookPrior([8, 8], groups=2).eval()
    planes = [torch.arange(10).reshape(2, 5) % 8, torch.arange(18).reshape(2, 9) % 8]
    prior.freeze([plane[None] for plane in planes])
    decoded = decode_chunk(prior, prior.layout((9,)), encode_chunk(prior, planes))
    assert all(torch.equal(one, two) for one, two in zip(decoded, planes, strict=True))


@pytest.mark.parametrize(
    ("sizes", "groups", "complaint"), [([], 1, "at least 1 group"), ([4], 0, "at least 1"), ([8, 4096], 1, "2\\^10")]
)
def test_wrong_sizes_are_refused(sizes: list[int], groups: int, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        MultiCodebookPrior(sizes, groups=groups)
