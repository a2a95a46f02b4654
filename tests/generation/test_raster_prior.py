"""A raster model in integers codes what it knows, on grids of any size: exactly, in about as many bits as the floats say."""

import hashlib
import os
import subprocess
import sys
from itertools import product

import pytest
import torch
from torch import Tensor

from codec.entropy import Layout, decode_chunk, encode_chunk, ideal_bits
from codec.entropy.exact_raster import ExactRasterTransformer
from codec.generation import NOTHING, Conditions, RasterModel, RasterPrior, TableWords
from codec.nn import RasterTransformer
from codec.nn.raster import grid_places, seen_before
from tests.generation.test_masked_prior import structured


def small_model(planes: int) -> RasterModel:
    words = [TableWords([4, 4], 16, code_dim=8, key_dim=8) for _ in range(planes)]
    return RasterModel(words, RasterTransformer(16, 2, 2, reach=(2, 3)), conditions=Conditions(16, classes=2))


@pytest.fixture(scope="module", params=[1, 2])
def model(request: pytest.FixtureRequest) -> RasterModel:
    """After a moment of codes that follow their left neighbour."""
    torch.manual_seed(0)
    model, random = small_model(request.param), torch.Generator().manual_seed(0)
    model.start([torch.randn(16, 8)] * request.param, [torch.ones(16)] * request.param)
    optimiser = torch.optim.AdamW(model.parameters(), 1e-2)
    for _ in range(40):
        optimiser.zero_grad()
        model.loss(structured(4, request.param), NOTHING, random).backward()
        optimiser.step()
    return model.eval()


def test_what_is_coded_is_read_again(model: RasterModel) -> None:
    prior, count = RasterPrior(model), len(model.alphabets)
    for grid in (6, 7), (1, 1), (9, 4), (1, 13), (13, 20), (20, 1):
        planes = list(structured(1, count, grid)[0])
        found = decode_chunk(prior, Layout((grid,) * count), encode_chunk(prior, planes))
        assert all(torch.equal(a, b) for a, b in zip(found, planes, strict=True))


@pytest.mark.parametrize("grid", [(6, 7), (13, 20)])
def test_the_integers_cost_what_the_floats_do(model: RasterModel, grid: tuple[int, int]) -> None:
    """Those of large grids too, whose earliest rows are forgotten."""
    codes = structured(4, len(model.alphabets), grid)
    codes = torch.where(torch.rand(codes.shape) < 0.1, (codes + 5) % 16, codes)
    floats = float(model.code_length(codes).sum())
    exact = sum(ideal_bits(RasterPrior(model), list(one)) for one in codes)
    assert abs(exact / floats - 1) < 0.01
    assert floats < 0.9 * 4 * codes.numel()


def test_any_codes_can_be_coded(model: RasterModel) -> None:
    prior, planes = RasterPrior(model), list(torch.randint(16, (len(model.alphabets), 5, 5)))
    found = decode_chunk(prior, Layout(((5, 5),) * len(planes)), encode_chunk(prior, planes))
    assert all(torch.equal(a, b) for a, b in zip(found, planes, strict=True))


def test_a_position_sees_what_is_near_and_before() -> None:
    places = grid_places(5 * 7, 7)
    seen = seen_before(places, places, (2, 3)).view(5, 7, 5, 7)
    for row, column, up, along in product(range(5), range(7), range(5), range(7)):
        before = (up, along) <= (row, column) if up == row else row - 2 <= up < row
        assert bool(seen[row, column, up, along]) == (before and abs(along - column) <= 3)


def test_the_network_in_integers_is_that_in_floats() -> None:
    torch.manual_seed(1)
    network = RasterTransformer(32, 3, 4, reach=(2, 2)).eval()
    for weight in network.parameters():
        if weight.ndim == 1:
            torch.nn.init.normal_(weight, 1, 0.2)
    x = torch.randn(9, 11, 32)
    with torch.no_grad():
        floats = (network(x.flatten(0, 1)[None], 11)[0] / network.norm.weight).view_as(x)
    twin = ExactRasterTransformer(network)
    seen, found = twin.nothing_seen((9, 11)), torch.zeros(9, 11, 32)
    assert seen.rows < 9
    for front in twin.fronts((9, 11)):
        entered = (x[front.rows, front.columns] * 4096).round().double()
        found[front.rows, front.columns] = (twin(entered, front, seen) / 4096).float()
    torch.testing.assert_close(found, floats, atol=0.01, rtol=0)


def test_a_network_step_by_step_is_that_of_all_at_once() -> None:
    torch.manual_seed(1)
    network = RasterTransformer(32, 2, 4, reach=(2, 2)).eval()
    x, cache = torch.randn(2, 4 * 5, 32), network.new_cache()
    with torch.no_grad():
        found = torch.cat([network(step, 5, cache) for step in x.split(1, 1)], 1)
        torch.testing.assert_close(found, network(x, 5), atol=1e-5, rtol=1e-5)


PORTABLE = """
import hashlib, torch
from codec.entropy import encode_chunk
from codec.generation import RasterPrior
from tests.generation.test_raster_prior import random_model
codes = torch.arange(2 * 9 * 11).view(2, 9, 11) * 7 % 16
print(hashlib.sha256(b"".join(encode_chunk(RasterPrior(random_model()), list(codes)))).hexdigest())
"""


def random_model() -> RasterModel:
    """Weights that are the same on every machine: they come from integers."""
    model = small_model(2)
    for i, weight in enumerate(model.parameters()):
        numbers = (torch.arange(weight.numel()) * 7919 + 104729 * i) % 2003
        weight.data.copy_(((numbers - 1001) / 4096).view_as(weight))
    return model.eval()


@pytest.mark.parametrize("threads", ["1", "3"])
def test_bytes_are_the_same_on_every_machine(threads: str) -> None:
    old = {"ATEN_CPU_CAPABILITY": "default", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2", "NUMBA_CPU_NAME": "generic"}
    environment = os.environ | old | {"OMP_NUM_THREADS": threads}
    run = subprocess.run([sys.executable, "-c", PORTABLE], capture_output=True, text=True, env=environment, check=True)
    codes: Tensor = torch.arange(2 * 9 * 11).view(2, 9, 11) * 7 % 16
    here = hashlib.sha256(b"".join(encode_chunk(RasterPrior(random_model()), list(codes)))).hexdigest()
    assert run.stdout.strip() == here
