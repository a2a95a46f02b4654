"""Integer networks: a trained float network's twin whose every output is the same on every machine.

Ballé, Johnston, Minnen 2019, "Integer networks for data compression with latent-variable models". Weights and activations
are 16-bit integers with a power-of-two scale a layer, carried in float64: as long as every partial sum stays below 2^53
(checked when converting), each is exact, so neither the order of summation nor the instruction set nor the number of
threads can matter.
"""

import math
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from codec.entropy.layers import SummedEmbedding, sum_vectors

LIMIT = (1 << 15) - 1  # of weights and activations
BORDER_LIMIT = (1 << 20) - 1  # of a network's inputs and outputs: 4096 to either side in 1/256
EXACT = 1 << 53
SLOPE_BITS = 20  # of a leaky rectifier's fraction
USUAL_WEIGHT_BITS = 16  # with which a restored network's weights are of a sensible size
HEADROOM = 2.0  # how far activations may exceed what calibration saw, before they are clamped

Weighted = nn.Conv2d | nn.ConvTranspose2d | nn.Linear | SummedEmbedding


@dataclass(frozen=True)
class FlatLayers:
    """Linear layers one after the other, in integer-valued float64.

    Attributes:
        widths: int64 `(layers + 1,)`, of inputs, hidden layers and outputs.
        weights: each layer's `(N, K)`, flat.
        biases: each layer's, flat.
        endings: `(layers, 3)`, scale, limit and slope as `kernels.finish_layer` takes them.
    """

    widths: NDArray[np.int64]
    weights: NDArray[np.float64]
    biases: NDArray[np.float64]
    endings: NDArray[np.float64]


class IntegerNetwork(nn.Module):
    """Twin of an `nn.Sequential` of layers with weights, `ReLU`, `LeakyReLU` and `PixelShuffle`; it computes on the CPU.

    Inputs and outputs are integers that stand for multiples of `2^-input_bits` and `2^-output_bits`, at most
    `BORDER_LIMIT` (farther ones are clamped); before an embedding the inputs are symbols. Built from the architecture
    alone, so that a state dict loads into it; all outputs are 0 until `convert` fills it.

    Args:
        network: the float network; only its architecture is read here.
        input_bits: fractional bits of the inputs.
        output_bits: fractional bits of the outputs.
    """

    def __init__(self, network: nn.Sequential, *, input_bits: int, output_bits: int) -> None:
        super().__init__()
        self.input_bits, self.output_bits = input_bits, output_bits
        self.layers = nn.ModuleList(_twin(layer) for layer in network)
        self._weighted = [i for i, layer in enumerate(network) if isinstance(layer, Weighted)]
        if not self._weighted:
            raise ValueError("a network without weights has no integer twin")
        self._takes_symbols = isinstance(network[0], SummedEmbedding)

    @torch.no_grad()
    def convert(self, network: nn.Sequential, calibration: Tensor) -> None:
        """Take over a trained network.

        Args:
            network: of the architecture given at construction.
            calibration: inputs `(B, C, H, W)`, `(N, C)` or symbols as they occur, in the integers that `forward` takes.

        Raises:
            ValueError: a partial sum could leave the exact range.
        """
        signal, bits, limit = calibration, self.input_bits, BORDER_LIMIT
        if not self._takes_symbols:
            signal = calibration.double().clamp(-limit, limit).float() / (1 << bits)
        for i, (layer, twin) in enumerate(zip(network, self.layers, strict=True)):
            signal = layer(signal)
            if isinstance(layer, Weighted):
                wanted = self.output_bits if i == self._weighted[-1] else _fractional_bits(HEADROOM * _largest(signal))
                cast(IntegerLayer, twin).take(layer, bits, wanted, limit)
                bits, limit = wanted, LIMIT

    @torch.no_grad()
    def restore(self, network: nn.Sequential) -> None:
        """Give a float network of the same architecture weights with which it does what the integers do, but for rounding.

        How a layer's scale was split between its weights and the next layer's is not kept, nor does it matter: rectifiers
        scale along.
        """
        bits = self.input_bits
        for i in self._weighted:
            twin = cast(IntegerLayer, self.layers[i])
            wanted = self.output_bits if i == self._weighted[-1] else bits + USUAL_WEIGHT_BITS - int(twin.shift)
            twin.give(cast(Weighted, network[i]), bits, wanted)
            bits = wanted

    @torch.no_grad()
    def forward(self, values: Tensor) -> Tensor:
        """Integers of any dtype to int64, shaped as by the float network."""
        signal = values.cpu()
        return self.run(signal if self._takes_symbols else signal.double()).long()

    @torch.no_grad()
    def run(self, signal: Tensor, *, bounded: bool = False) -> Tensor:
        """The same from integer-valued float64 (from int64 before an embedding) to integer-valued float64.

        Args:
            signal: as the first layer takes it.
            bounded: it is known to lie within `BORDER_LIMIT`.
        """
        signal = signal if bounded or self._takes_symbols else signal.clamp(-BORDER_LIMIT, BORDER_LIMIT)
        for i, layer in enumerate(self.layers):
            if isinstance(layer, nn.PixelShuffle):
                signal = layer(signal)
            elif i in self._weighted:
                limit = BORDER_LIMIT if i == self._weighted[-1] else LIMIT
                signal = cast(IntegerLayer, layer)(signal, limit, self._slope_after(i))
        return signal

    def flat(self, order: NDArray[np.int64]) -> "FlatLayers":
        """The same for loops that run a network of linear layers on rows, its inputs taken in another order.

        Args:
            order: `(inputs,)`: which of the network's inputs comes first, second, ….
        """
        widths, endings = [len(order)], []
        weights, biases = list[NDArray[np.float64]](), list[NDArray[np.float64]]()
        for i in self._weighted:
            weight, bias, shift = cast(IntegerLayer, self.layers[i]).doubles()
            factors = weight.numpy() if weights else weight.numpy()[:, order]
            widths.append(len(factors))
            weights.append(factors.ravel())
            biases.append(bias.numpy())
            endings.append((2.0**-shift, BORDER_LIMIT if i == self._weighted[-1] else LIMIT, self._slope_after(i)))
        ends = np.array(endings, np.float64)
        return FlatLayers(np.array(widths), np.concatenate(weights), np.concatenate(biases), ends)

    def _slope_after(self, i: int) -> int:
        """Of the rectifier that follows layer i, in 2^-20; negative if none does."""
        after = self.layers[i + 1] if i + 1 < len(self.layers) else None
        if isinstance(after, IntegerLeakyReLU):
            return after.numerator
        return 0 if isinstance(after, nn.ReLU) else -1


class IntegerLayer(nn.Module):
    """Twin of one layer with weights: an integer sum, divided by a power of two.

    Args:
        layer: for its architecture.
    """

    weight: Tensor  # int16, of the layer's shape
    bias: Tensor  # int64 (outputs,)
    shift: Tensor  # int64 (): sums are divided by 2^shift
    offsets: Tensor  # int64 (symbols,): of an embedding

    def __init__(self, layer: Weighted) -> None:
        super().__init__()
        self.kind = type(layer).__name__.replace("SummedEmbedding", "embedding")
        self._stride, self._padding, self._dilation, self._groups, self._extra = _geometry(layer)
        self._output_axis = {"embedding": 1, "ConvTranspose2d": 1}.get(self.kind, 0)
        self.register_buffer("weight", torch.zeros(layer.weight.shape, dtype=torch.int16))
        self.register_buffer("bias", torch.zeros(layer.weight.shape[self._output_axis], dtype=torch.int64))
        self.register_buffer("shift", torch.zeros((), dtype=torch.int64))
        if isinstance(layer, SummedEmbedding):
            self.register_buffer("offsets", layer.offsets.clone(), persistent=False)
        self._doubles: tuple[Tensor, Tensor, int] | None = None  # weight, bias and shift as the sums need them

    def take(self, layer: Weighted, input_bits: int, output_bits: int, limit: int) -> None:
        """Round the weights of `layer` to 16 bits; its inputs are integers up to `limit` with `input_bits`."""
        weight_bits = _fractional_bits(_largest(layer.weight))
        sum_bits = weight_bits + (0 if isinstance(layer, SummedEmbedding) else input_bits)
        self.weight.copy_(torch.round(layer.weight.double() * 2.0**weight_bits))
        if not isinstance(layer, SummedEmbedding) and layer.bias is not None:
            self.bias.copy_(torch.round(layer.bias.double() * 2.0**sum_bits))
        self.shift.fill_(sum_bits - output_bits)
        self._doubles = None
        self._check(len(layer.sizes) if isinstance(layer, SummedEmbedding) else limit)

    def give(self, layer: Weighted, input_bits: int, output_bits: int) -> None:
        """Set the weights of `layer` to what these stand for between inputs and outputs with so many fractional bits."""
        inputs = 0 if isinstance(layer, SummedEmbedding) else input_bits
        weight_bits = int(self.shift) + output_bits - inputs
        layer.weight.copy_(self.weight.double() * 2.0**-weight_bits)
        if not isinstance(layer, SummedEmbedding) and layer.bias is not None:
            layer.bias.copy_(self.bias.double() * 2.0 ** -(weight_bits + inputs))

    def forward(self, signal: Tensor, limit: float = math.inf, slope: int = -1) -> Tensor:
        """Integer-valued float64, or int64 symbols of an embedding, to integer-valued float64: clamped, rectified.

        Args:
            signal: as the layer takes it.
            limit: of what is left after the division.
            slope: of the rectifier in 2^-20, negative for none.
        """
        from codec.entropy.kernels import finish_layer

        weight, bias, shift = self.doubles()
        sums = self._sum(signal, weight, bias).contiguous()
        finish_layer(sums.view(-1).numpy(), 2.0**-shift, float(limit), float(slope))
        return sums

    def doubles(self) -> tuple[Tensor, Tensor, int]:
        """Weight and bias as float64, and the shift."""
        if self._doubles is None:
            self._doubles = self.weight.cpu().double(), self.bias.cpu().double(), int(self.shift)
        return self._doubles

    def _load_from_state_dict(self, *arguments: Any) -> None:
        super()._load_from_state_dict(*arguments)
        self._doubles = None

    def _sum(self, signal: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        match self.kind:
            case "embedding":
                return sum_vectors(signal, weight, self.offsets.cpu())
            case "Linear":
                return F.linear(signal, weight, bias)
            case "Conv2d" if self._is_depthwise(signal):
                return _depthwise(signal, weight, bias)
            case "Conv2d" if self._stride == self._dilation == (1, 1) and self._groups == 1:
                return _convolved(signal, weight, bias, self._padding)
            case "Conv2d":
                return F.conv2d(signal, weight, bias, self._stride, self._padding, self._dilation, self._groups)
        return F.conv_transpose2d(
            signal, weight, bias, self._stride, self._padding, self._extra, self._groups, self._dilation
        )

    def _is_depthwise(self, signal: Tensor) -> bool:
        """Whether it is the plain kind with one kernel a channel, of odd side, that keeps the size."""
        channels, inputs, *sides = self.weight.shape
        same = sides[0] == sides[1] and self._padding == (sides[0] // 2,) * 2 and sides[0] % 2 == 1
        plain = self._stride == (1, 1) and self._dilation == (1, 1) and inputs == 1 and self._groups == channels
        return plain and same and signal.numel() > 0

    def _check(self, limit: int) -> None:
        """Refuse weights with which a sum over inputs up to `limit`, and the half added to round it, could reach 2^53."""
        weight = self.weight.double().abs()
        norms = weight.amax(0) if self.kind == "embedding" else weight.movedim(self._output_axis, 0).flatten(1).sum(1)
        bound = float((norms * limit + self.bias.double().abs()).max()) + 2.0 ** max(0, int(self.shift) - 1)
        if bound >= EXACT:
            raise ValueError(
                f"a partial sum of {self.kind} could reach {bound:.3g} but is exact only below 2^53 = {EXACT:.3g}; "
                "use fewer inputs or smaller weights"
            )


class IntegerLeakyReLU(nn.Module):
    """Twin of `LeakyReLU`: a multiplication and a shift, rounded down; `LEAKY_SLOPE` is such a fraction, others come near.

    Args:
        slope: below zero, in [0, 1].
    """

    def __init__(self, slope: float) -> None:
        super().__init__()
        self.numerator = round(slope * 2.0**SLOPE_BITS)

    def forward(self, signal: Tensor) -> Tensor:
        """Any shape."""
        return torch.where(signal < 0, torch.floor(signal * self.numerator * 2.0**-SLOPE_BITS), signal)


def _depthwise(signal: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Plain depthwise convolution; torch's own takes twenty times as long in float64."""
    from codec.entropy.kernels import depthwise

    padded = F.pad(signal, (weight.shape[-1] // 2,) * 4).contiguous()
    sums = np.empty(signal.shape)
    depthwise(padded.numpy(), weight[:, 0].contiguous().numpy(), bias.numpy(), sums)
    return torch.from_numpy(sums)


def _convolved(signal: Tensor, weight: Tensor, bias: Tensor, padding: "Pair") -> Tensor:
    """Plain convolution as a product of matrices for each place of the kernel; torch's own takes three times as long in float64."""
    batch, channels = signal.shape[:2]
    (rows, columns), (down, right) = weight.shape[2:], padding
    padded = F.pad(signal, (right, right, down, down + 1))  # one row more, so that every shift has as many numbers
    height, width = padded.shape[2] - rows, padded.shape[3]
    count, flat = height * width, padded.reshape(batch, channels, -1)
    sums = bias.repeat(batch, 1)[..., None].repeat(1, 1, count)
    factors = weight.permute(2, 3, 0, 1).contiguous()
    for i in range(rows):
        for j in range(columns):
            start = i * width + j
            for one, found in zip(flat, sums, strict=True):
                found.addmm_(factors[i, j], one[:, start : start + count])
    return sums.view(batch, -1, height, width)[..., : width - columns + 1]


def divide(values: Tensor, shift: int) -> Tensor:
    """Integer-valued float64 divided by 2^shift, halves rounded up: exact, as scaling by a power of two is."""
    return torch.floor(values * 2.0**-shift + 0.5) if shift > 0 else values * 2.0**-shift


def _twin(layer: nn.Module) -> nn.Module:
    if isinstance(layer, nn.LeakyReLU) and 0 <= layer.negative_slope <= 1:
        return IntegerLeakyReLU(layer.negative_slope)
    if isinstance(layer, nn.ReLU):
        return nn.ReLU()
    if isinstance(layer, nn.PixelShuffle):
        return nn.PixelShuffle(layer.upscale_factor)
    if isinstance(layer, Weighted) and getattr(layer, "padding_mode", "zeros") == "zeros":
        return IntegerLayer(layer)
    raise ValueError(
        f"{layer} has no integer twin; use Conv2d or ConvTranspose2d with zero padding, Linear, SummedEmbedding, "
        "PixelShuffle, ReLU or LeakyReLU with a slope in [0, 1]"
    )


Pair = tuple[int, int]


def _geometry(layer: Weighted) -> tuple[Pair, Pair, Pair, int, Pair]:
    """Stride, padding, dilation, groups and output padding of a convolution."""
    if not isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        return (1, 1), (0, 0), (1, 1), 1, (0, 0)
    if isinstance(layer.padding, str) or (isinstance(layer, nn.ConvTranspose2d) and layer.groups > 1):
        raise ValueError(f"{layer} has no integer twin; give its padding in numbers and do not group if transposed")
    geometry = (layer.stride, layer.padding, layer.dilation, layer.groups, layer.output_padding)
    return cast(tuple[Pair, Pair, Pair, int, Pair], geometry)


def _fractional_bits(largest: float) -> int:
    """Most fractional bits, up to 24, with which `largest` fits 16 bits; negative where it is beyond them."""
    return 24 if largest == 0 else min(24, math.frexp(LIMIT / largest)[1] - 1)


def _largest(values: Tensor) -> float:
    return float(values.detach().abs().max()) if values.numel() else 0.0
