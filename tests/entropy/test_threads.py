"""Parts in several threads make up the whole, also in a forked process."""

import os
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from codec.entropy.threads import in_parts


@pytest.fixture
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize("threads", [1, 2, 3], indirect=True)
@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 1000])
def test_every_item_is_in_one_part(threads: int, count: int) -> None:
    touched = np.zeros(count, np.int64)

    def part(first: int, last: int) -> None:
        touched[first:last] += 1

    in_parts(part, count, least=4)
    assert np.all(touched == 1)


@pytest.mark.parametrize("threads", [2], indirect=True)
def test_failures_come_through(threads: int) -> None:
    def part(first: int, last: int) -> None:
        if first:
            raise ValueError("in the second part")

    with pytest.raises(ValueError, match="second part"):
        in_parts(part, 10, least=1)


@pytest.mark.parametrize("threads", [2], indirect=True)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_it_works_after_a_fork(threads: int) -> None:
    in_parts(lambda first, last: None, 10, least=1)
    child = os.fork()
    if child == 0:
        done = []
        in_parts(lambda first, last: done.append(last - first), 10, least=1)
        os._exit(0 if sum(done) == 10 else 1)
    assert os.waitpid(child, 0)[1] == 0
