"""Integer networks: the same integers whatever the order of summation, and next to the float network."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from codec.entropy.exact import LIMIT, IntegerNetwork, check_exact, divide, sequential
from codec.entropy.tables import SCALE_ROWS, exponential_table, frequencies_from_logits, nearest_row, scales


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return sequential(
        nn.Conv2d(4, 16, 3, padding=1), nn.ConvTranspose2d(16, 8, 4, stride=2, padding=1), nn.Conv2d(8, 6, 5, padding=2)
    )


def test_the_twin_follows_the_float_network() -> None:
    net = network()
    inputs = torch.randint(-3000, 3000, (2, 4, 9, 7))
    twin = IntegerNetwork(net, input_bits=8, output_bits=8)
    twin.convert(net, inputs)
    exact = twin(inputs) / 256
    with torch.no_grad():
        floats = net(inputs.float() / 256)
    assert (exact - floats).abs().max() < 0.02 * floats.abs().max()
    assert (exact - floats).square().mean().sqrt() < 0.005
    assert torch.equal(exact * 256, (exact * 256).round())


def reference(twin: IntegerNetwork, net: nn.Sequential, x: torch.Tensor) -> torch.Tensor:
    """The same layers in int64, convolutions as unfold and matmul."""
    x = x.long()
    for i, layer in enumerate(part for part in net if isinstance(part, nn.Conv2d)):
        weight, bias = twin.get_buffer(f"weight_{i}").long(), twin.get_buffer(f"bias_{i}")
        columns = F.unfold(x.double(), layer.kernel_size, padding=layer.padding).long()
        sums = (weight.flatten(1) @ columns + bias[:, None]).reshape(x.shape[0], -1, *x.shape[2:])
        shift = int(twin.shifts[i])
        x = (sums + (1 << shift >> 1)) >> shift
        if i + 1 < len(twin.shifts):
            x = x.clamp(-LIMIT, LIMIT)
            x = torch.where(x < 0, (x * 5) >> 9, x)
    return x


def test_equals_int64_for_any_layout_and_thread_count() -> None:
    net = sequential(nn.Conv2d(4, 32, 3, padding=1), nn.Conv2d(32, 8, 3, padding=1))
    inputs = torch.randint(-LIMIT, LIMIT, (2, 4, 20, 20))
    twin = IntegerNetwork(net, input_bits=8, output_bits=8)
    twin.convert(net, inputs)
    expected, threads = reference(twin, net, inputs), torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            for x in (inputs, inputs.contiguous(memory_format=torch.channels_last)):
                assert torch.equal(twin(x).long(), expected)
                assert torch.equal(twin(x[:1]).long(), expected[:1])
    finally:
        torch.set_num_threads(threads)


def test_adversarial_sums_at_the_limit_are_exact() -> None:
    """Largest operands, odd sums, all of one sign: what random data would forgive."""
    weight = torch.full((1, 4096), LIMIT, dtype=torch.float64)
    x = torch.full((1, 4096), LIMIT, dtype=torch.float64)
    total = int((x @ weight.T).item())
    assert total == 4096 * LIMIT * LIMIT
    order = torch.randperm(4096)
    assert int((x[:, order] @ weight[:, order].T).item()) == total


def test_sums_that_could_leave_the_exact_range_are_refused() -> None:
    weight = torch.full((2, 1 << 24), LIMIT, dtype=torch.int32)
    check_exact(weight[:, : 1 << 20], torch.zeros(2), LIMIT, 0)
    with pytest.raises(ValueError, match="2\\^53"):
        check_exact(weight, torch.zeros(2), LIMIT, 0)


def test_rounding_is_half_up() -> None:
    values = torch.tensor([-6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6], dtype=torch.float64)
    assert divide(values, 2).tolist() == [np.floor(v / 4 + 0.5) for v in values.tolist()]


def test_layers_without_a_twin_are_refused() -> None:
    with pytest.raises(ValueError, match="no integer twin"):
        IntegerNetwork(nn.Sequential(nn.Linear(2, 2), nn.GELU()), input_bits=0, output_bits=8)


def test_frequencies_follow_softmax_and_sum_exactly() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 600, (300, 40)).astype(np.int64)
    logits[0], logits[1, 0] = 5, 10**9
    for precision in (8, 12, 16, 20):
        frequencies = frequencies_from_logits(logits, precision)
        assert (frequencies.sum(1) == 1 << precision).all()
        assert frequencies.min() >= 1
    shares = np.exp((logits - logits.max(1, keepdims=True)) / 256)
    shares /= shares.sum(1, keepdims=True)
    assert np.abs(frequencies / 2**20 - shares).max() < 1e-4
    with pytest.raises(ValueError, match="do not fit"):
        frequencies_from_logits(np.zeros((1, 5), np.int64), 2)


def test_the_exponential_is_what_it_says_and_frozen() -> None:
    table = exponential_table()
    exact = 2**16 * np.exp(-np.arange(len(table)) / 256)
    assert np.abs(table - exact).max() <= 0.5 + 1e-6
    assert (table[0], table[1], table[256], int(table.sum())) == (65536, 65280, 24109, 16809922)


def test_rows_are_nearest_in_the_logarithm() -> None:
    logarithms = np.arange(-1000, 2300)
    rows = nearest_row(logarithms)
    distance = np.abs(np.log2(scales())[None] - logarithms[:, None] / 256)
    assert (rows >= 0).all()
    assert (rows < SCALE_ROWS).all()
    assert (distance[np.arange(len(rows)), rows] <= distance.min(1) + 1 / 256).all()
