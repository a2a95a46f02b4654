"""Patterns give every code one place, in the order of their papers, and can be undone; streams give what the whole gives."""

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from codec.generation import (
    EMPTY,
    CoarseFirst,
    Delay,
    Flatten,
    FrameSteps,
    Grid,
    Parallel,
    Pattern,
    Scales,
    StepFrames,
    deinterleave,
    interleave,
)

PATTERNS: dict[str, Pattern] = {
    "flatten": Flatten(),
    "raster": CoarseFirst(chunk=1),
    "chunks": CoarseFirst(chunk=3),
    "coarse_first": CoarseFirst(),
    "parallel": Parallel(),
    "delay": Delay(),
    "scales": Scales(),
}
STREAMED = {name: pattern for name, pattern in PATTERNS.items() if pattern.chunk}
GRIDS: list[Grid] = [(7,), (1,), (3, 5), (4, 2, 3)]


@pytest.fixture(params=PATTERNS)
def pattern(request: pytest.FixtureRequest) -> Pattern:
    return PATTERNS[request.param]


def planes_of(grids: Sequence[Grid], batch: int = 2) -> list[Tensor]:
    return [torch.randint(1000, (batch, *grid)) for grid in grids]


def same(one: Sequence[Tensor], two: Sequence[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def rows(sequence: Tensor) -> list[list[int]]:
    """Of the only example, row by row."""
    return sequence[0].T.tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("planes", [1, 2, 5])
def test_every_pattern_can_be_undone(pattern: Pattern, grid: Grid, planes: int) -> None:
    codes = planes_of([grid] * planes)
    sequence = interleave(codes, pattern)
    assert int((sequence != EMPTY).sum()) == 2 * planes * math.prod(grid)
    assert same(deinterleave(sequence, [grid] * planes, pattern), codes)


@pytest.mark.parametrize("pattern", [CoarseFirst(), Scales()], ids=["coarse_first", "scales"])
def test_planes_of_several_scales(pattern: Pattern) -> None:
    grids: list[Grid] = [(1, 1), (2, 3), (4, 6)]
    codes = planes_of(grids)
    assert same(deinterleave(interleave(codes, pattern), grids, pattern), codes)


def test_other_patterns_refuse_several_scales() -> None:
    for pattern in (Flatten(), Parallel(), Delay(), CoarseFirst(chunk=1)):
        with pytest.raises(ValueError, match="planes of one grid"):
            interleave(planes_of([(1, 1), (2, 2)]), pattern)


def test_what_stands_in_empty_places_does_not_matter(pattern: Pattern) -> None:
    codes = planes_of([(5,)] * 3)
    sequence = interleave(codes, pattern)
    noise = torch.randint(1000, sequence.shape)
    assert same(deinterleave(noise.where(sequence == EMPTY, sequence), [(5,)] * 3, pattern), codes)


def test_delay_is_that_of_the_paper() -> None:
    """Figure 1 of MusicGen without its special first step: four frames of three codebooks."""
    codes = [torch.tensor([[1, 2, 3, 4]]) + 10 * q for q in range(3)]
    late = EMPTY
    assert rows(interleave(codes, Delay())) == [
        [1, 2, 3, 4, late, late],
        [late, 11, 12, 13, 14, late],
        [late, late, 21, 22, 23, 24],
    ]
    assert interleave(codes, Delay([0, 2, 0])).shape == (1, 6, 3)


def test_orders() -> None:
    codes = [torch.tensor([[1, 2, 3, 4]]) + 10 * q for q in range(2)]
    assert rows(interleave(codes, Flatten())) == [[1, 11, 2, 12, 3, 13, 4, 14]]
    assert rows(interleave(codes, CoarseFirst())) == [[1, 2, 3, 4, 11, 12, 13, 14]]
    assert rows(interleave(codes, CoarseFirst(chunk=3))) == [[1, 2, 3, 11, 12, 13, 4, 14]]
    assert rows(interleave(codes, Parallel())) == [[1, 2, 3, 4], [11, 12, 13, 14]]
    pictures = [plane.view(1, 2, 2) for plane in codes]
    assert rows(interleave(pictures, CoarseFirst(chunk=1))) == [[1, 2, 11, 12, 3, 4, 13, 14]]
    assert rows(interleave([pictures[0][:, :1, :1], pictures[1]], Scales())) == [[1, 11]] + [
        [EMPTY, n] for n in (12, 13, 14)
    ]


@pytest.mark.parametrize("name", STREAMED)
@pytest.mark.parametrize("cells", [(), (2,), (2, 3)])
@pytest.mark.parametrize("planes", [1, 4])
def test_a_stream_is_the_whole_in_pieces(name: str, cells: Grid, planes: int) -> None:
    pattern, frames = STREAMED[name], 11
    codes = torch.randint(1000, (2, planes, frames, *cells))
    whole = interleave(list(codes.unbind(1)), pattern)
    there, back = FrameSteps(pattern, planes, cells), StepFrames(pattern, planes, cells)
    steps = [there.push(piece) for piece in codes.split([1, 4, 0, 2, 3, 1], 2)]
    assert all(len(piece[0]) for piece in steps[1:2]), "nothing comes before the end"
    assert torch.equal(torch.cat([*steps, there.finish()], 1), whole)
    found = [back.push(piece) for piece in whole.split([3, whole.shape[1] - 5, 2], 1)]
    assert torch.equal(torch.cat([*found, back.finish()], 2), codes)


def test_a_step_waits_for_no_more_than_its_codes() -> None:
    stream = FrameSteps(Delay(), 3)
    assert stream.push(torch.tensor([[[1], [11], [21]]])).tolist() == [[[1, EMPTY, EMPTY]]]
    assert stream.push(torch.tensor([[[2], [12], [22]]])).tolist() == [[[2, 11, EMPTY]]]
    assert stream.finish().tolist() == [[[EMPTY, 12, 21], [EMPTY, EMPTY, 22]]]


def test_a_long_stream_holds_little() -> None:
    stream = FrameSteps(Delay(), 4)
    for _ in range(50):
        stream.push(torch.zeros(1, 4, 3, dtype=torch.int64))
    assert stream._held is not None
    assert stream._held.shape[2] <= 6


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="no stream"):
        FrameSteps(Scales(), 2)
    with pytest.raises(ValueError, match="2 shifts cannot be those of 3 planes"):
        interleave(planes_of([(4,)] * 3), Delay([0, 1]))
    with pytest.raises(ValueError, match="one of them is"):
        Delay([1, 2])
    with pytest.raises(ValueError, match="at least 1 slice"):
        CoarseFirst(chunk=-1)
    with pytest.raises(ValueError, match="expected \\(6, 3\\) steps and rows"):
        deinterleave(torch.zeros(1, 4, 3), [(4,)] * 3, Delay())
    back = StepFrames(Flatten(), 3)
    back.push(torch.zeros(1, 4, 1))
    with pytest.raises(ValueError, match="inside a frame"):
        back.finish()
