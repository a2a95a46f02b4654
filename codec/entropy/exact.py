"""Integer networks: a trained float network's twin whose every output is the same on every machine.

Balle, Johnston, Minnen 2019, "Integer networks for data compression with latent-variable models". Weights and activations are
16-bit integers with a power-of-two scale a layer, carried in float64: as long as every partial sum stays below 2^53 (checked when
converting), each is exact, so the order of summation, the instruction set and the number of threads cannot matter.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LIMIT = (1 << 15) - 1  # of weights and activations
EXACT = 1 << 53
HEADROOM = 2.0  # how far activations may exceed what calibration saw, before they are clamped
LEAKY_NUMERATOR, LEAKY_SHIFT = 5, 9  # slope 5 / 512 below zero
LEAKY_SLOPE = LEAKY_NUMERATOR / (1 << LEAKY_SHIFT)

Affine = nn.Conv2d | nn.ConvTranspose2d | nn.Linear


class IntegerNetwork(nn.Module):
    """Twin of an `nn.Sequential` of convolutions, linear layers, `ReLU` and `LeakyReLU(LEAKY_SLOPE)`.

    Inputs and outputs are integer-valued float64 tensors with `input_bits` and `output_bits` fractional bits. Built from the
    architecture alone, so that a state dict loads into it; `convert` fills it.

    Args:
        network: the float network; only its architecture is read here.
        input_bits: fractional bits of the inputs.
        output_bits: fractional bits of the outputs.
    """

    shifts: Tensor  # int64 (layers,) by which each layer's sums are divided, as powers of two

    def __init__(self, network: nn.Sequential, *, input_bits: int, output_bits: int) -> None:
        super().__init__()
        self.input_bits, self.output_bits = input_bits, output_bits
        self._plan = [_describe(layer) for layer in network]
        layers = affine_layers(network)
        for i, layer in enumerate(layers):
            self.register_buffer(f"weight_{i}", torch.zeros(layer.weight.shape, dtype=torch.int32))
            self.register_buffer(f"bias_{i}", torch.zeros(_outputs(layer), dtype=torch.int64))
        self.register_buffer("shifts", torch.zeros(len(layers), dtype=torch.int64))

    @torch.no_grad()
    def convert(self, network: nn.Sequential, calibration: Tensor) -> None:
        """Take over a trained network.

        Args:
            network: of the architecture given at construction.
            calibration: inputs as they occur, integers with `input_bits` fractional bits.

        Raises:
            ValueError: a partial sum could leave the exact range.
        """
        bits, index = self.input_bits, 0
        signal = calibration.float() / (1 << bits)
        last = len(affine_layers(network)) - 1
        largest = max(LIMIT, int(calibration.abs().max()) if calibration.numel() else 0)
        for layer in network:
            signal = layer(signal)
            if not isinstance(layer, Affine):
                continue
            reached = float(signal.abs().max()) if signal.numel() else 1.0
            wanted = self.output_bits if index == last else _fractional_bits(HEADROOM * reached)
            weight_bits = max(_fractional_bits(float(layer.weight.abs().max())), wanted - bits)
            self._fill(index, layer, weight_bits, bits, wanted)
            check_exact(self.get_buffer(f"weight_{index}"), self.get_buffer(f"bias_{index}"), largest, _out_axis(layer))
            bits, largest, index = wanted, LIMIT, index + 1

    def forward(self, x: Tensor) -> Tensor:
        """Integer-valued `(B, C, H, W)` or `(N, C)`, any dtype, to integer-valued float64."""
        x, index = x.double(), 0
        last = len(self.shifts) - 1
        for kind, options in self._plan:
            if kind == "relu":
                x = x.clamp_min(0)
            elif kind == "leaky":
                x = torch.where(x < 0, torch.floor(x * LEAKY_NUMERATOR / (1 << LEAKY_SHIFT)), x)
            else:
                weight, bias = self.get_buffer(f"weight_{index}").double(), self.get_buffer(f"bias_{index}").double()
                x = divide(_apply(kind, x, weight, bias, options), int(self.shifts[index]))
                x = x if index == last else x.clamp(-LIMIT, LIMIT)
                index += 1
        return x

    def _fill(self, index: int, layer: Affine, weight_bits: int, bits: int, wanted: int) -> None:
        weight = torch.round(layer.weight.double() * 2.0**weight_bits)
        bias = torch.zeros(_outputs(layer), dtype=torch.float64) if layer.bias is None else layer.bias.double()
        self.get_buffer(f"weight_{index}").copy_(weight)
        self.get_buffer(f"bias_{index}").copy_(torch.round(bias * 2.0 ** (weight_bits + bits)))
        self.shifts[index] = weight_bits + bits - wanted


def divide(values: Tensor, shift: int) -> Tensor:
    """Integer-valued float64 divided by 2^shift, halves rounded up: exact, as scaling by a power of two is."""
    return torch.floor(values * 2.0**-shift + 0.5) if shift else values


def check_exact(weight: Tensor, bias: Tensor, largest: int, out_axis: int) -> None:
    """Refuse weights with which some sum of inputs up to `largest` could reach 2^53."""
    sums = weight.double().abs().movedim(out_axis, 0).flatten(1).sum(1) * largest + bias.double().abs()
    if float(sums.max()) >= EXACT:
        raise ValueError(f"a partial sum could reach {float(sums.max()):.3g}, the exact range ends at 2^53")


def affine_layers(network: nn.Sequential) -> list[Affine]:
    """The layers with weights."""
    return [layer for layer in network if isinstance(layer, Affine)]


Plan = tuple[str, dict[str, object]]


def _describe(layer: nn.Module) -> Plan:
    """What a layer does, without its weights."""
    if isinstance(layer, nn.ReLU):
        return "relu", {}
    if isinstance(layer, nn.LeakyReLU) and layer.negative_slope == LEAKY_SLOPE:
        return "leaky", {}
    if isinstance(layer, nn.Linear):
        return "linear", {}
    if isinstance(layer, nn.Conv2d) and layer.padding_mode == "zeros":
        return "conv", {"stride": layer.stride, "padding": layer.padding, "groups": layer.groups}
    if isinstance(layer, nn.ConvTranspose2d) and layer.groups == 1:
        return "transposed", {"stride": layer.stride, "padding": layer.padding, "output_padding": layer.output_padding}
    raise ValueError(
        f"no integer twin for {layer}; use Conv2d, ConvTranspose2d, Linear, ReLU, LeakyReLU({LEAKY_SLOPE})"
    )


def _apply(kind: str, x: Tensor, weight: Tensor, bias: Tensor, options: dict[str, object]) -> Tensor:
    if kind == "linear":
        return F.linear(x, weight, bias)
    if kind == "conv":
        return F.conv2d(x, weight, bias, **options)  # type: ignore[call-overload]
    return F.conv_transpose2d(x, weight, bias, **options)  # type: ignore[arg-type]


def _out_axis(layer: Affine) -> int:
    return 1 if isinstance(layer, nn.ConvTranspose2d) else 0


def _outputs(layer: Affine) -> int:
    return layer.weight.shape[_out_axis(layer)]


def _fractional_bits(largest: float) -> int:
    """Most fractional bits with which `largest` still fits 16 bits, between 0 and 24."""
    bits = 24
    while bits > 0 and largest * 2.0**bits > LIMIT:
        bits -= 1
    return bits


def leaky() -> nn.LeakyReLU:
    """The activation whose integer twin is a shift."""
    return nn.LeakyReLU(LEAKY_SLOPE)


def sequential(*layers: nn.Module) -> nn.Sequential:
    """Layers with the twin's activation between them."""
    mixed: Sequence[nn.Module] = [part for layer in layers for part in (layer, leaky())][:-1]
    return nn.Sequential(*mixed)
