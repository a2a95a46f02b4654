"""Integer networks: the same integers whatever the order of summation, and next to the float network."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from codec.entropy import IntegerNetwork, SummedEmbedding, leaky_sequential
from codec.entropy.exact import BORDER_LIMIT, LIMIT, IntegerLayer, divide
from tests.entropy.reference import int64_forward

SYMBOLS = torch.randint(9, (2, 3, 6, 5), generator=torch.Generator().manual_seed(0))
PIXELS = torch.randint(-3000, 3000, (2, 4, 9, 7), generator=torch.Generator().manual_seed(1))


def networks() -> dict[str, tuple[nn.Sequential, Tensor]]:
    """Every kind of layer, each with inputs."""
    torch.manual_seed(0)
    return {
        "convolutions": (leaky_sequential(nn.Conv2d(4, 32, 3, padding=1), nn.Conv2d(32, 6, 5, padding=2)), PIXELS),
        "strided": (leaky_sequential(nn.Conv2d(4, 16, 3, 2, 1), nn.Conv2d(16, 8, 1, bias=False)), PIXELS),
        "grouped": (nn.Sequential(nn.Conv2d(4, 8, 3, padding=1, groups=4), nn.ReLU(), nn.Conv2d(8, 2, 1)), PIXELS),
        "leaky": (nn.Sequential(nn.Conv2d(4, 8, 1), nn.LeakyReLU(0.01), nn.Conv2d(8, 2, 1)), PIXELS),
        "transposed": (
            leaky_sequential(
                nn.ConvTranspose2d(4, 8, 4, 2, 1),
                nn.ConvTranspose2d(8, 6, 5, 2, 2, output_padding=1),
                nn.Conv2d(6, 3, 3, padding=1),
            ),
            PIXELS,
        ),
        "linear": (leaky_sequential(nn.Linear(7, 64), nn.Linear(64, 5)), PIXELS[0, 0]),
        "embedding": (
            leaky_sequential(SummedEmbedding([9, 10, 11], 8), nn.Conv2d(8, 16, 3, padding=1), nn.Conv2d(16, 5, 1)),
            SYMBOLS,
        ),
    }


def converted(network: nn.Sequential, inputs: Tensor) -> IntegerNetwork:
    twin = IntegerNetwork(network, input_bits=8, output_bits=8)
    twin.convert(network, inputs)
    return twin


@pytest.mark.parametrize("name", networks())
def test_equals_int64_and_follows_the_float_network(name: str) -> None:
    network, inputs = networks()[name]
    twin = converted(network, inputs)
    outputs = twin(inputs)
    assert outputs.dtype == torch.int64
    assert torch.equal(outputs, int64_forward(twin, network, inputs))
    with torch.no_grad():
        floats = network(inputs if name == "embedding" else inputs / 256)
    assert (outputs / 256 - floats).abs().max() < 1 / 512 + 2e-3 * floats.abs().max()


@pytest.mark.parametrize("name", networks())
def test_inputs_far_beyond_calibration_are_exact_too(name: str) -> None:
    network, inputs = networks()[name]
    twin = converted(network, inputs)
    if name != "embedding":
        inputs = inputs * (2 * BORDER_LIMIT // 3000) | 1
    assert torch.equal(twin(inputs), int64_forward(twin, network, inputs))


def test_neither_layout_nor_threads_nor_batch_nor_channel_order_matter() -> None:
    network, inputs = networks()["convolutions"]
    twin, threads = converted(network, inputs), torch.get_num_threads()
    expected = twin(inputs)
    order = torch.randperm(32)
    for i, name in ((0, "weight"), (0, "bias"), (2, "weight")):
        values = twin.layers[i].get_buffer(name)
        values.copy_(values[order] if i == 0 else values[:, order])
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            for given in (inputs, inputs.double().contiguous(memory_format=torch.channels_last), inputs.int()):
                assert torch.equal(twin(given), expected)
            assert torch.equal(twin(inputs[1:]), expected[1:])
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("sign", [1, -1])
def test_odd_sums_right_below_the_bound_are_exact(sign: int) -> None:
    """All products of one sign, the total odd and just below 2^53: where a single lost bit would show."""
    inputs = (1 << 53) // (LIMIT * BORDER_LIMIT) // 2 * 2 - 1
    layer = IntegerLayer(nn.Linear(inputs, 1))
    layer.weight.fill_(sign * LIMIT)
    layer._check(BORDER_LIMIT)
    values = torch.full((3, inputs), BORDER_LIMIT, dtype=torch.float64)
    values[1, ::2] -= 2
    expected = (values.long() * sign * LIMIT).sum(1)
    assert expected.remainder(2).any()
    assert float(expected.abs().max()) > 0.99 * 2**53
    for order in (torch.arange(inputs), torch.randperm(inputs)):
        assert torch.equal(layer(values[:, order])[:, 0].long(), expected)


def test_sums_that_could_leave_the_exact_range_are_refused() -> None:
    layer = nn.Linear(1 << 20, 1)
    network = nn.Sequential(layer)
    nn.init.ones_(layer.weight)
    with pytest.raises(ValueError, match=r"2\^53"):
        converted(network, torch.ones(1, 1 << 20))


def test_a_state_dict_fills_a_twin_built_from_the_architecture() -> None:
    network, inputs = networks()["transposed"]
    twin = converted(network, inputs)
    other = IntegerNetwork(networks()["transposed"][0], input_bits=8, output_bits=8)
    assert not other(inputs).any()
    other.load_state_dict(twin.state_dict())
    assert torch.equal(other(inputs), twin(inputs))
    assert all(not value.is_floating_point() for value in twin.state_dict().values())
    assert not list(twin.parameters())


def test_an_untouched_signal_still_converts() -> None:
    first = nn.Conv2d(4, 8, 3, padding=1)
    network = leaky_sequential(first, nn.Conv2d(8, 2, 1))
    nn.init.zeros_(first.weight)
    assert torch.isfinite(converted(network, torch.zeros(1, 4, 3, 3))(PIXELS).float()).all()
    assert converted(network, torch.zeros(0, 4, 3, 3))(PIXELS).shape == (2, 2, 9, 7)


def test_halves_are_rounded_up() -> None:
    values = torch.arange(-9.0, 10.0, dtype=torch.float64)
    assert divide(values, 2).tolist() == [np.floor(v / 4 + 0.5) for v in values.tolist()]
    assert divide(values, -3).tolist() == [8 * v for v in values.tolist()]


@pytest.mark.parametrize(
    "layer",
    [
        nn.GELU(),
        nn.LeakyReLU(1.5),
        nn.Conv2d(1, 1, 3, padding="same"),
        nn.Conv2d(1, 1, 3, padding=1, padding_mode="reflect"),
        nn.ConvTranspose2d(2, 2, 3, groups=2),
    ],
)
def test_layers_without_a_twin_are_refused(layer: nn.Module) -> None:
    with pytest.raises(ValueError, match="no integer twin"):
        IntegerNetwork(nn.Sequential(nn.Linear(2, 2), layer), input_bits=0, output_bits=8)
