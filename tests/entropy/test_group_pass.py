"""The compiled loops of a pass give what its parts give one by one, on grids of any size and in any number of threads."""

from collections.abc import Iterator
from itertools import product

import numpy as np
import pytest
import torch

from codec.entropy.contexts import ChannelContext, NeighbourContext, Place, SeenExactly
from codec.entropy.group_pass import ExactPasses, GroupPass
from codec.entropy.multi_reference import ChannelAttentionContext
from codec.entropy.positions import Positions

FEATURES, KNOTS, BEFORE, OWN = 6, 4, (3, 5), 4
GRIDS = [(1, 1), (1, 2), (2, 1), (3, 7), (8, 6), (40, 33)]


@pytest.fixture(params=[1, 2])
def threads(request: pytest.FixtureRequest) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield
    torch.set_num_threads(before)


def filled(height: int, width: int, phases: int, phase: int) -> SeenExactly:
    """Two chunks in which all that a pass may see is known."""
    random = np.random.default_rng(height * width)
    count = height * width
    gains = random.integers(0, 1024, (2, height, width))
    features = torch.from_numpy(random.integers(-2000, 2000, (2, FEATURES, height, width)))
    amplitude = np.zeros((2, count, sum(BEFORE) + OWN), np.int64)
    passes = ExactPasses(features.double().numpy(), gains, amplitude, knots=KNOTS, phases=phases)
    edges = np.cumsum([0, *BEFORE, OWN])
    for s, p in product(range(len(BEFORE) + 1), range(phases)):
        work = passes.begin(int(edges[s]), int(edges[s + 1]), p)
        if s == len(BEFORE) and p == phase:
            return work.seen
        passes.learn(work, random.integers(-3000, 3000, (2, work.seen.stop - work.seen.start, count)))
    raise ValueError("there is no such phase")


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize(("phases", "phase"), [(1, 0), (2, 0), (2, 1)])
@pytest.mark.parametrize("kernel", [1, 3, 7])
def test_loops_equal_the_parts(grid: tuple[int, int], phases: int, phase: int, kernel: int, threads: None) -> None:
    torch.manual_seed(0)
    contexts = (NeighbourContext(kernel), ChannelAttentionContext(1, 3), ChannelContext())
    module = GroupPass(Place(FEATURES, BEFORE, OWN, phase), contexts, width=10, depth=2, knots=KNOTS, parameters=2)
    torch.nn.init.normal_(module.network[-1].weight)
    seen = filled(*grid, phases, phase)
    module.convert(seen, torch.device("cpu"))
    whole = seen.integers()
    planes = [whole.features, seen.hats(), *(context.exact(whole) for context in module.contexts)]
    rows = torch.cat([part.flatten(2).transpose(1, 2)[:, torch.from_numpy(seen.index)] for part in planes], 2)
    expected = module.twin(rows.flatten(0, 1)).unflatten(0, (2, len(seen.index)))
    found = module.exact(seen)
    assert np.array_equal(found, expected.double().numpy())
    assert found.size == 0 or np.ptp(found) > 100


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("phases", [1, 2])
def test_phases_share_the_grid(grid: tuple[int, int], phases: int) -> None:
    positions = Positions(*grid, phases)
    indices = [positions.index(phase) for phase in range(phases)]
    assert np.array_equal(np.sort(np.concatenate(indices)), np.arange(grid[0] * grid[1]))
    for phase, index in enumerate(indices):
        known = positions.known(phase, torch.device("cpu")).flatten().numpy()
        assert not known[index].any()
        assert known.sum() == sum(map(len, indices[:phase]))
        last = positions.span(phase, 0, grid[0])[1]
        assert last == len(index)


@pytest.mark.parametrize("kernel", [4, 15])
def test_kernels_beyond_the_loops_are_refused(kernel: int) -> None:
    with pytest.raises(ValueError, match="odd and at most 13"):
        NeighbourContext(kernel).build(Place(4, (2,), 2, 0))
