"""The prior of vectors: what is expected, what it costs, that every field comes back, with a past and without."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from codec.coding import Decoder, Encoder
from codec.entropy import CodeLength, MotionPrior, RoundedLatent, Step, walk
from codec.entropy.base import FIXED_POINT
from codec.entropy.motion import _median

GRIDS = [(1, 1), (1, 7), (5, 3), (9, 13)]


class Pushed:
    def __init__(self) -> None:
        self.encoder = Encoder()

    def record(self, step: Step, symbols: NDArray[np.int64]) -> None:
        step.tables.push(self.encoder, symbols)


class Pulled:
    def __init__(self, stream: bytes) -> None:
        self.decoder = Decoder(stream)

    def symbols(self, step: Step) -> NDArray[np.int64]:
        return step.tables.pull(self.decoder)


@pytest.fixture(scope="module")
def prior() -> MotionPrior:
    torch.manual_seed(0)
    model = MotionPrior(width=8)
    for network in model.networks:
        torch.nn.init.normal_(network[-1].weight, std=0.1)  # type: ignore[index, union-attr]
    frozen = model.eval()
    frozen.freeze([field(8, (9, 13)).double()], field(8, (9, 13), 1).numpy())
    return frozen


def field(count: int, grid: tuple[int, int], seed: int = 0) -> Tensor:
    """Fields that are constant in pieces, int64 `(count, 2, *grid)`."""
    random = torch.Generator().manual_seed(seed)
    pieces = torch.randint(-30, 31, (count, 2, 3, 3), generator=random)
    return torch.nn.functional.interpolate(pieces.double(), grid).long()


def bits(model: MotionPrior, motion: Tensor, past: Tensor | None) -> float:
    length = CodeLength()
    layout = model.layout(tuple(motion.shape[1:]), past=None if past is None else past.numpy())
    walk(model, layout, RoundedLatent([motion.double().numpy().ravel()], 0.0), length)
    return length.bits


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("has_past", [False, True])
def test_every_field_comes_back(prior: MotionPrior, grid: tuple[int, int], has_past: bool) -> None:
    motion = torch.randint(-200, 201, (2, *grid), generator=torch.Generator().manual_seed(5))
    past = field(1, grid, 2)[0].numpy() if has_past else None
    pushed, layout = Pushed(), prior.layout(grid, past=past)
    walk(prior, layout, RoundedLatent([motion.double().numpy().ravel()], 0.0), pushed)
    found = walk(prior, layout, Pulled(pushed.encoder.finish())).latents[0]
    assert np.array_equal(found.reshape(2, *grid), motion.numpy() * FIXED_POINT)


def test_integers_cost_what_floats_do(prior: MotionPrior) -> None:
    motion, past = field(4, (9, 13), 3), field(4, (9, 13), 4)
    exact = sum(bits(prior, one, before) for one, before in zip(motion, past, strict=True))
    assert exact == pytest.approx(float(prior(motion, past).sum().detach()), rel=0.02)


def test_what_is_expected_costs_little_from_the_start() -> None:
    motion = torch.full((1, 2, 18, 22), 7)
    model = MotionPrior().requires_grad_(False)
    assert float(model(motion, motion)) / (18 * 22) < 0.6
    outlier = motion.clone()
    outlier[0, :, 9, 9] = -40
    assert float(model(outlier, motion) - model(motion, motion)) < 40


def test_the_median_is_one_of_what_is_there() -> None:
    vectors = torch.tensor([[[5, 1], [9, 9], [-3, 2], [7, 0]]]).expand(3, -1, -1)
    there = torch.tensor([[True, True, True, True], [True, False, True, True], [False] * 4])
    assert _median(vectors, there).tolist() == [[5, 1], [5, 1], [0, 0]]
