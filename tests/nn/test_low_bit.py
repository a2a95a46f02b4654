"""Low-bit weights: packed integers come back, errors are bounded, states travel, tuning helps."""

import copy

import pytest
import torch
from torch import nn

from codec.nn import LowBit, PatchDecoder
from codec.nn.low_bit import WIDTHS, layer_named, low_bit_layers, pack, round_weight, unpack
from codec.nn.low_bit_tuning import gradient_factor, tune


def transform() -> PatchDecoder:
    """A small one whose layers all do something."""
    made = PatchDecoder(4, width=8, depth=2, mend_width=4)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return made.eval()


def all_layers(module: nn.Module, bits: int) -> dict[str, int]:
    return {name: bits for name, _ in low_bit_layers(module)}


@pytest.mark.parametrize("bits", WIDTHS)
@pytest.mark.parametrize("count", [0, 1, 7, 64, 1001])
def test_packed_integers_come_back(bits: int, count: int) -> None:
    top = 2 ** (bits - 1) - 1
    codes = torch.randint(-top, top + 1, (count,), dtype=torch.int8)
    packed = pack(codes, bits)
    assert packed.dtype == torch.uint8
    assert len(packed) == -(-count * bits // 8)
    assert torch.equal(unpack(packed, bits, count), codes)


def test_packed_integers_of_the_wrong_length_are_refused() -> None:
    with pytest.raises(ValueError, match="10 weights of 4 bits take 5 bytes, got 6"):
        unpack(torch.zeros(6, dtype=torch.uint8), 4, 10)


@pytest.mark.parametrize("bits", WIDTHS)
def test_error_is_half_a_step_inside_the_clip(bits: int) -> None:
    weight = torch.randn(16, 6, 3, 3)
    rounded = round_weight(weight, bits)
    step = rounded.scale.float().reshape(-1, 1, 1, 1)
    inside = weight.abs() <= step * (2 ** (bits - 1) - 1)
    assert ((rounded.weight() - weight).abs() <= step * 0.5001)[inside].all()
    assert torch.equal(torch.sign(rounded.weight())[~inside], torch.sign(weight)[~inside])


@pytest.mark.parametrize(("bits", "least_db"), [(8, 41), (6, 29.5), (5, 24), (4, 18.5), (3, 13), (2, 7)])
def test_known_signal_to_noise_of_gaussian_weights(bits: int, least_db: float) -> None:
    """256 channels of 1152 weights; a clip at the largest weight would give 42, 29.8, 23.5, 16.9, 9.5 dB at 8 to 3 bits."""
    weight = torch.randn(64, 1152)
    error = (round_weight(weight, bits).weight() - weight).square().mean()
    assert 10 * torch.log10(weight.square().mean() / error) > least_db


@pytest.mark.parametrize("bits", WIDTHS)
def test_rounding_again_changes_nothing(bits: int) -> None:
    once = round_weight(torch.randn(8, 40), bits)
    assert torch.equal(round_weight(once.weight(), bits, scale=once.scale).codes, once.codes)


def test_channels_of_a_transposed_convolution_are_its_second_axis() -> None:
    layer = nn.ConvTranspose2d(6, 5, 3)
    with torch.no_grad():
        layer.weight *= torch.logspace(0, 3, 5)[:, None, None]  # one scale for all would lose the first channels
    rounded = round_weight(layer.weight, 8, axis=1)
    assert rounded.scale.shape == (5,)
    relative = (rounded.weight() - layer.weight).abs().amax((0, 2, 3)) / layer.weight.abs().amax((0, 2, 3))
    assert relative.max() < 0.005


@pytest.mark.parametrize("layer", [nn.Conv2d(4, 6, 3, groups=2), nn.ConvTranspose2d(4, 6, 3), nn.Linear(4, 6)])
def test_every_kind_of_layer_computes_with_its_rounded_weight(layer: nn.Module) -> None:
    class Alone(nn.Module):
        stride, halo = 1, 1

        def __init__(self) -> None:
            super().__init__()
            self.layer = copy.deepcopy(layer)

    low = LowBit(Alone(), bits={"layer": 4})
    inner = layer_named(low.module, "layer")
    assert torch.equal(inner.weight, low.stored("layer").weight())
    x = torch.randn(2, 4) if isinstance(layer, nn.Linear) else torch.randn(2, 4, 5, 5)
    twin = copy.deepcopy(layer).requires_grad_(False)
    layer_named(twin, "").weight.copy_(low.stored("layer").weight())
    torch.testing.assert_close(inner(x), twin(x))


def test_a_state_travels_and_is_small() -> None:
    original = transform()
    low = LowBit(original, bits=all_layers(original, 5)).eval()
    other = LowBit(transform(), bits=low.bits).eval()
    latent = torch.randn(1, 4, 3, 5)
    assert not torch.equal(other(latent), low(latent))
    state = low.state_dict()
    other.load_state_dict({name: t.float() if t.is_floating_point() else t for name, t in state.items()})
    assert torch.equal(other(latent), low(latent))
    assert (other.stride, other.halo) == (original.stride, original.halo)
    weights = [name for name, _ in low_bit_layers(low.module)]  # type: ignore[arg-type]
    assert all(f"module.{name}.weight" not in state and f"module.{name}.packed" in state for name in weights)


def test_a_copy_loads_into_itself() -> None:
    low = LowBit(transform(), bits={"enter": 4})
    twin = copy.deepcopy(low)
    twin.load_state_dict({name: tensor * 0 for name, tensor in twin.state_dict().items()})
    assert layer_named(low.module, "enter").weight.abs().max() > 0
    assert layer_named(twin.module, "enter").weight.abs().max() == 0


def test_what_cannot_be_low_bit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"blocks\.0\.norm is a ChannelNorm"):
        LowBit(transform(), bits={"blocks.0.norm": 4})
    with pytest.raises(ValueError, match=r"weights have .* bits, not 7"):
        LowBit(transform(), bits={"enter": 7})


def test_gradient_factor_is_bounded_and_one_on_average() -> None:
    distances = torch.linspace(0, 0.5, 501)
    factor = gradient_factor(distances, 2.0)
    assert factor.min() >= 0.5
    assert factor.max() <= 1.5
    assert factor.mean().item() == pytest.approx(1, abs=1e-3)
    assert (factor.diff() >= 0).all()
    assert torch.equal(gradient_factor(distances, 0.0), torch.ones(501))


@pytest.mark.parametrize("slope", [0.0, 2.0])
def test_tuning_lowers_the_error_and_stores_what_it_learned(slope: float) -> None:
    original = transform()
    low = LowBit(copy.deepcopy(original), bits=all_layers(original, 3)).eval()
    examples = [
        (torch.randn(2, 1, 6, 6) + 0.05 * torch.randn(2, 4, 6, 6),) for _ in range(4)
    ]  # nothing to gain on white inputs
    weights = {name: low.stored(name).codes for name in low.bits}
    errors = tune(low, original, examples, steps=60, rate=1e-3, slope=slope)
    assert sum(errors[-4:]) < 0.6 * sum(errors[:4])
    with torch.no_grad():
        stored = [nn.functional.mse_loss(low(*inputs), original(*inputs)).item() for inputs in examples]
    assert sum(stored) == pytest.approx(sum(errors[-4:]), rel=0.1)
    assert any(not torch.equal(codes, low.stored(name).codes) for name, codes in weights.items())
    for name in low.bits:
        assert torch.equal(low.stored(name).weight(), layer_named(low.module, name).weight)
