"""The prior of flags: any flags come back, beside any planes, and integers cost what floats do."""

import numpy as np
import pytest
import torch
from torch import Tensor

from codec.entropy import CodeLength, FlagPrior, GivenCodes, walk
from tests.entropy.test_motion import GRIDS, Pulled, Pushed

PLANES = 3


@pytest.fixture(scope="module")
def prior() -> FlagPrior:
    """After a moment of flags that are mostly those of the first plane beside them."""
    torch.manual_seed(0)
    model = FlagPrior(PLANES, width=8)
    optimiser = torch.optim.AdamW(model.parameters(), 1e-2)
    for seed in range(80):
        optimiser.zero_grad()
        flags, beside = like_those_beside(8, (9, 13), seed)
        model(flags, beside).sum().backward()
        optimiser.step()
    flags, beside = like_those_beside(8, (9, 13), 100)
    model.eval().freeze([flags], beside.numpy())
    return model


def like_those_beside(count: int, grid: tuple[int, int], seed: int) -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(seed)
    beside = torch.randint(2, (count, PLANES, *grid), generator=random) * 256
    noise = (torch.rand((count, *grid), generator=random) < 0.05).long()
    return (beside[:, 0] // 256 + noise) % 2, beside


@pytest.mark.parametrize("grid", GRIDS)
def test_any_flags_come_back(prior: FlagPrior, grid: tuple[int, int]) -> None:
    flags = torch.randint(2, grid, generator=torch.Generator().manual_seed(1)).numpy()
    beside = torch.randint(-256, 257, (PLANES, *grid), generator=torch.Generator().manual_seed(2)).numpy()
    pushed, layout = Pushed(), prior.layout(grid, beside)
    walk(prior, layout, GivenCodes([flags.ravel()]), pushed)
    found = walk(prior, layout, Pulled(pushed.encoder.finish())).codes[0]
    assert np.array_equal(found.reshape(grid), flags)


def test_what_lies_beside_is_used_and_integers_cost_what_floats_do(prior: FlagPrior) -> None:
    flags, beside = like_those_beside(4, (9, 13), 7)
    exact = 0.0
    for one, near in zip(flags, beside.numpy(), strict=True):
        length = CodeLength()
        walk(prior, prior.layout((9, 13), near), GivenCodes([one.numpy().ravel()]), length)
        exact += length.bits
    with torch.no_grad():
        assert exact == pytest.approx(float(prior(flags, beside).sum()), rel=0.02)
    assert exact < 0.6 * flags.numel()


def test_other_planes_are_refused(prior: FlagPrior) -> None:
    with pytest.raises(ValueError, match="3 planes"):
        prior.layout((2, 2), np.zeros((2, 2, 2), np.int64))
