"""Integer networks once more, in int64 throughout and without any library convolution: what exact.py must equal."""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.entropy.exact import BORDER_LIMIT, LIMIT, IntegerLayer, IntegerNetwork
from codec.entropy.layers import SummedEmbedding


def int64_forward(twin: IntegerNetwork, network: nn.Sequential, values: Tensor) -> Tensor:
    """`twin(values)`; `network` tells the layers' kinds and geometry."""
    weighted = [i for i, layer in enumerate(network) if hasattr(layer, "weight")]
    signal = values if isinstance(network[0], SummedEmbedding) else values.long().clamp(-BORDER_LIMIT, BORDER_LIMIT)
    for i, layer in enumerate(network):
        if i not in weighted:
            slope = 0 if isinstance(layer, nn.ReLU) else round(cast(nn.LeakyReLU, layer).negative_slope * (1 << 20))
            signal = torch.where(signal < 0, signal * slope >> 20, signal)
            continue
        own = cast(IntegerLayer, twin.layers[i])
        limit = BORDER_LIMIT if i == weighted[-1] else LIMIT
        signal = _divide(_sum(layer, own, signal), int(own.shift)).clamp(-limit, limit)
    return signal


def _divide(sums: Tensor, shift: int) -> Tensor:
    return sums + (1 << shift >> 1) >> shift if shift > 0 else sums << -shift


def _sum(layer: nn.Module, own: IntegerLayer, signal: Tensor) -> Tensor:
    weight, bias = own.weight.long(), own.bias
    match layer:
        case SummedEmbedding():
            return weight[signal.movedim(1, -1) + layer.offsets].sum(-2).movedim(-1, 1)
        case nn.Linear():
            return signal @ weight.T + bias
        case nn.ConvTranspose2d():
            return _convolve(_stuff(layer, signal), weight.flip(2, 3).transpose(0, 1), bias, 1)
    assert isinstance(layer, nn.Conv2d)
    rows, columns = cast(tuple[int, int], layer.padding)
    padded = F.pad(signal, (columns, columns, rows, rows))
    parts = zip(padded.chunk(layer.groups, 1), weight.chunk(layer.groups), bias.chunk(layer.groups), strict=True)
    return torch.cat([_convolve(part, w, b, layer.stride[0]) for part, w, b in parts], 1)


def _stuff(layer: nn.ConvTranspose2d, signal: Tensor) -> Tensor:
    """A transposed convolution is an ordinary one over values with zeros between and around them."""
    batch, channels, rows, columns = signal.shape
    stride, kernel, padding = layer.stride[0], layer.kernel_size[0], int(layer.padding[0])
    stuffed = signal.new_zeros(batch, channels, (rows - 1) * stride + 1, (columns - 1) * stride + 1)
    stuffed[..., ::stride, ::stride] = signal
    before, after = kernel - 1 - padding, kernel - 1 - padding + layer.output_padding[0]
    return F.pad(stuffed, (before, after, before, after))


def _convolve(padded: Tensor, weight: Tensor, bias: Tensor, stride: int) -> Tensor:
    rows, columns = weight.shape[2:]
    windows = padded.unfold(2, rows, stride).unfold(3, columns, stride)
    return torch.einsum("bchwrs,ocrs->bohw", windows, weight) + bias[:, None, None]
