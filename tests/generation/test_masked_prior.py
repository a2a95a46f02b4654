"""A masked model in integers codes what it knows: exactly, in about as many bits as the floats say, the same in any process."""

import hashlib
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import Tensor

from codec.entropy import Layout, decode_chunk, encode_chunk, ideal_bits
from codec.entropy.exact_transformer import TURN_BITS, ExactGridTransformer, exact_norm, exact_rotations
from codec.generation import NOTHING, BitWords, Conditions, DigitPlanes, MaskedModel, MaskedPrior, TableWords
from codec.nn import GridTransformer
from codec.nn.transformer import grid_positions, rotations


def trained(*, bits: bool, planes: int = 2) -> MaskedModel:
    """A model after a moment of codes that follow their left neighbour."""
    torch.manual_seed(0)
    trunk = GridTransformer(16, 2, 2, window=(4, 4))
    if bits:
        words = [BitWords(2, 16) for _ in range(2 * planes)]
        model = MaskedModel(words, trunk, digits=DigitPlanes([[4, 4]] * planes), period=4)
    else:
        tables = [TableWords([4, 4], 16, code_dim=8, key_dim=8) for _ in range(planes)]
        model = MaskedModel(tables, trunk, conditions=Conditions(16, classes=2), period=4)
    model.start([torch.randn(16, 8)] * planes, [torch.ones(16)] * planes)
    optimiser, random = torch.optim.AdamW(model.parameters(), 1e-2), torch.Generator().manual_seed(0)
    for _ in range(60):
        codes = structured(4, planes)
        optimiser.zero_grad()
        model.loss(codes, NOTHING, random).backward()
        optimiser.step()
    return model.eval()


def structured(batch: int, planes: int, grid: tuple[int, int] = (6, 7)) -> Tensor:
    first = torch.randint(16, (batch, 1, 1, 1))
    return ((first + torch.arange(grid[1]) + torch.arange(planes)[:, None, None]) % 16).expand(batch, planes, *grid)


@pytest.fixture(scope="module", params=[False, True], ids=["table", "bits"])
def model(request: pytest.FixtureRequest) -> MaskedModel:
    return trained(bits=request.param)


def test_what_is_coded_is_read_again(model: MaskedModel) -> None:
    prior = MaskedPrior(model)
    for grid in (6, 7), (1, 1), (9, 4), (1, 13):
        planes = list(structured(1, 2, grid)[0])
        streams = encode_chunk(prior, planes)
        found = decode_chunk(prior, Layout((grid,) * 2), streams)
        assert all(torch.equal(a, b) for a, b in zip(found, planes, strict=True))


def test_the_integers_cost_what_the_floats_do(model: MaskedModel) -> None:
    codes = structured(8, 2)
    prior, floats = MaskedPrior(model), float(model.code_length(codes).sum())
    exact = sum(ideal_bits(prior, list(grid)) for grid in codes)
    assert abs(exact / floats - 1) < 0.005
    assert floats < 0.8 * 4 * codes.numel()
    written = sum(len(stream) for grid in codes for stream in encode_chunk(prior, list(grid)))
    assert 8 * written < 1.01 * exact + 8 * 8 * 2 * len(codes)


def test_any_codes_can_be_coded(model: MaskedModel) -> None:
    prior, planes = MaskedPrior(model), list(torch.randint(16, (2, 5, 5)))
    found = decode_chunk(prior, Layout(((5, 5),) * 2), encode_chunk(prior, planes))
    assert all(torch.equal(a, b) for a, b in zip(found, planes, strict=True))


def test_the_network_in_integers_is_that_in_floats() -> None:
    torch.manual_seed(1)
    network = GridTransformer(32, 3, 4, window=(4, 4)).eval()
    for weight in network.parameters():
        if weight.ndim == 1:
            torch.nn.init.normal_(weight, 1, 0.2)
    x = torch.randn(2, 6, 7, 32)
    with torch.no_grad():
        floats = network(x) / network.norm.weight
    found = ExactGridTransformer(network)((x * 4096).round().double())
    torch.testing.assert_close((found / 4096).float(), floats, atol=0.01, rtol=0)
    assert torch.equal(found, found.round())


def test_rotations_and_norms() -> None:
    found = exact_rotations((5, 9), 16)
    torch.testing.assert_close(
        (found / (1 << TURN_BITS)).float(), rotations(grid_positions((5, 9)), 16), atol=1e-4, rtol=0
    )
    x = torch.tensor([[3.0, -4.0], [0.0, 0.0]], dtype=torch.float64) * 4096
    expected = np.round(np.array([0.6, -0.8]) * np.sqrt(2) * 4096)
    np.testing.assert_allclose(exact_norm(x)[0].numpy(), expected, atol=1)
    assert exact_norm(x)[1].tolist() == [0, 0]


PORTABLE = """
import hashlib, torch
from codec.entropy import encode_chunk
from codec.generation import MaskedPrior
from tests.generation.test_masked_prior import random_model
model = random_model()
codes = torch.arange(2 * 9 * 11).view(2, 9, 11) * 7 % 16
print(hashlib.sha256(b"".join(encode_chunk(MaskedPrior(model), list(codes)))).hexdigest())
"""


def random_model() -> MaskedModel:
    """Weights that are the same on every machine: they come from integers."""
    words = [TableWords([4, 4], 16, code_dim=8, key_dim=8) for _ in range(2)]
    model = MaskedModel(words, GridTransformer(16, 2, 2, window=(4, 4)), period=4)
    for i, weight in enumerate(model.parameters()):
        numbers = (torch.arange(weight.numel()) * 7919 + 104729 * i) % 2003
        weight.data.copy_(((numbers - 1001) / 4096).view_as(weight))
    return model.eval()


@pytest.mark.parametrize(
    "variables",
    [{}, {"ATEN_CPU_CAPABILITY": "default", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2", "ONEDNN_MAX_CPU_ISA": "SSE41"}],
    ids=["plain", "old"],
)
@pytest.mark.parametrize("threads", ["1", "2"])
def test_bytes_are_the_same_on_every_machine(variables: dict[str, str], threads: str) -> None:
    environment = os.environ | variables | {"OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    done = subprocess.run([sys.executable, "-c", PORTABLE], capture_output=True, text=True, check=True, env=environment)
    codes = torch.arange(2 * 9 * 11).view(2, 9, 11) * 7 % 16
    here = b"".join(encode_chunk(MaskedPrior(random_model()), list(codes)))
    assert done.stdout.strip() == hashlib.sha256(here).hexdigest()


def test_training_masks_are_those_of_coding_and_of_gaps() -> None:
    model = random_model()
    planes, random = torch.randint(16, (64, 2, 8, 8)), torch.Generator().manual_seed(0)
    q = torch.arange(64) % 2
    steps = {(plane, int(cells.sum())) for plane, cells in model._steps(planes)}
    known, wanted = model._ordered_mask(planes, q, random)
    for i in range(64):
        assert (int(q[i]), int(wanted[i].sum())) in steps
        assert wanted[i, 1 - q[i]].sum() == 0
        assert bool(known[i, : q[i]].all())
        assert not bool((known & wanted)[i].any())
        assert q[i] == 1 or not bool(known[i, 1].any())
    known, wanted = model._random_mask(planes, q, random)
    assert bool(wanted.flatten(1).any(1).all())
    assert not bool((known & wanted).any())
    deeper = [bool(known[i, 1].any()) for i in range(64) if q[i] == 0]
    assert any(deeper)  # beside a gap all planes are known
    assert not all(deeper)
