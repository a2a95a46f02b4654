"""A `GridTransformer` in integers: the same on every machine, so that it may say how codes are coded.

Activations are integers in 2^-12, carried in float64 like those of exact.py; norms take integer square roots (the root of a float64
is rounded correctly everywhere), attention looks exponentials up, and cosines come from decimal arithmetic, not from a math library.
Nothing is calibrated: the twin follows from the float weights alone.
"""

import math
from collections.abc import Iterable
from decimal import Decimal, localcontext
from functools import cache
from typing import cast

import torch
from einops import rearrange
from torch import Tensor, nn

from codec.entropy.attention import NEVER, WEIGHT_BITS, divide_rounded, exact_exponentials, exact_sigmoid
from codec.entropy.exact import BORDER_LIMIT, IntegerLayer, divide
from codec.entropy.tables import LOGIT_BITS
from codec.nn import Block, GridTransformer
from codec.nn.transformer import Attention, GatedFeedForward, Windows, grid_positions, windows_of

STREAM_BITS = 12  # of activations
GAIN_BITS = 10  # of the gains of queries and keys
TURN_BITS = 14  # of cosines and sines
ROOT_BITS = 8  # further bits of the root of a sum of squares
DIGITS = 30  # of decimal arithmetic
ROTARY_BASE = 10000


class ExactLinear(nn.Module):
    """Twin of a linear layer, its inputs multiplied by gains first.

    Args:
        layer: with or without a bias.
        gain: of each input, as a norm before the layer has it; None for 1.
        input_bits: of its inputs.
        output_bits: of its outputs.
    """

    def __init__(
        self,
        layer: nn.Linear,
        gain: Tensor | None = None,
        *,
        input_bits: int = STREAM_BITS,
        output_bits: int = STREAM_BITS,
    ) -> None:
        super().__init__()
        weight = layer.weight.detach().float().cpu()
        gained = nn.Linear(layer.in_features, layer.out_features, bias=layer.bias is not None)
        self.layer = IntegerLayer(gained)
        with torch.no_grad():
            gained.weight.copy_(weight if gain is None else weight * gain.detach().float().cpu())
            if layer.bias is not None:
                gained.bias.copy_(layer.bias)
            self.layer.take(gained, input_bits, output_bits, BORDER_LIMIT)

    def forward(self, signal: Tensor) -> Tensor:
        """Integer-valued float64 `(..., inputs)`, at most `BORDER_LIMIT`, to `(..., outputs)` of the same kind."""
        return self.layer(signal.contiguous(), BORDER_LIMIT)


class ExactAttention(nn.Module):
    """Twin of `Attention` behind a norm with these gains.

    Args:
        attention: the float layer.
        gain: of the norm before it.
    """

    query_gain: Tensor  # int64 (d,) in 2^-GAIN_BITS
    key_gain: Tensor

    def __init__(self, attention: Attention, gain: Tensor) -> None:
        super().__init__()
        self.heads = attention.heads
        self.enter, self.leave = ExactLinear(attention.enter, gain), ExactLinear(attention.leave)
        for name, norm in ("query_gain", attention.query_norm), ("key_gain", attention.key_norm):
            weight = norm.weight.detach().double().cpu()
            self.register_buffer(name, torch.round(weight * (1 << GAIN_BITS)).long(), persistent=False)

    def forward(self, x: Tensor, turns: Tensor, mask: Tensor | None) -> Tensor:
        """Normed `(B, N, dim)` to `(B, N, dim)`; the mask is bool, broadcast to `(B, H, N, keys)`."""
        mixed = exact_attention(*self.entered(x, turns), mask)
        return self.leave(rearrange(mixed, "b h n d -> b n (h d)"))

    def entered(self, x: Tensor, turns: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values `(B, H, N, d)` of normed `(B, N, dim)`; turns are `(2, N, d)`, or broadcast to `(2, B, H, N, d)`."""
        query, key, value = rearrange(self.enter(x), "b n (three h d) -> three b h n d", three=3, h=self.heads)
        query, key = (
            exact_turned(divide(exact_norm(part) * gain, GAIN_BITS), turns)
            for part, gain in ((query, self.query_gain), (key, self.key_gain))
        )
        return query, key, value


class ExactFeedForward(nn.Module):
    """Twin of `GatedFeedForward` behind a norm with these gains.

    Args:
        feed: the float layer.
        gain: of the norm before it.
    """

    def __init__(self, feed: GatedFeedForward, gain: Tensor) -> None:
        super().__init__()
        self.enter, self.leave = ExactLinear(feed.enter, gain), ExactLinear(feed.leave)

    def forward(self, x: Tensor) -> Tensor:
        """Normed `(B, N, dim)` to `(B, N, dim)`."""
        gate, values = self.enter(x).chunk(2, -1)
        opened = exact_sigmoid(divide(gate, STREAM_BITS - LOGIT_BITS).long()).double()
        silu = divide(gate * opened, WEIGHT_BITS)
        return self.leave(divide(silu * values, STREAM_BITS).clamp(-BORDER_LIMIT, BORDER_LIMIT))


class ExactGridTransformer(nn.Module):
    """Twin of a `GridTransformer`, without the gain of its last norm, which the layer behind it takes over.

    Args:
        network: trained.
    """

    def __init__(self, network: GridTransformer) -> None:
        super().__init__()
        self.dim, self.window, self._head = network.dim, network.window, network.dim // network.heads
        self.attentions, self.feeds = exact_layers(network.layers)

    def forward(self, x: Tensor) -> Tensor:
        """Integer-valued float64 `(B, R, C, dim)` to the same, normed."""
        grid = x.shape[1], x.shape[2]
        places = [windows_of(grid, self.window, shifted=shifted) for shifted in (False, True)]
        turns = exact_rotations(places[0].window, self._head)
        for i, (attention, feed) in enumerate(zip(self.attentions, self.feeds, strict=True)):
            place = places[i % 2]
            windows = place.cut(x)
            windows = exact_sum(windows, attention(exact_norm(windows), turns, _mask(place, x)))
            windows = exact_sum(windows, feed(exact_norm(windows)))
            x = place.join(windows)
        return exact_norm(x)


def exact_layers(layers: Iterable[nn.Module]) -> tuple[nn.ModuleList, nn.ModuleList]:
    """Twins of the attention and of the feed-forward layer of each `Block`."""
    blocks = [cast(Block, layer) for layer in layers]
    attentions = nn.ModuleList(ExactAttention(one.attention, one.attention_norm.weight) for one in blocks)
    return attentions, nn.ModuleList(ExactFeedForward(one.feed, one.feed_norm.weight) for one in blocks)


def exact_attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None) -> Tensor:
    """Queries `(..., N, d)`, keys and values `(..., M, d)`, a bool mask that broadcasts to `(..., N, M)`, to `(..., N, d)`."""
    dim = query.shape[-1]
    logits = torch.floor((query @ key.transpose(2, 3)) * _inverse_root(dim) * 2.0 ** (LOGIT_BITS - 3 * STREAM_BITS))
    logits = logits if mask is None else torch.where(mask, logits, NEVER)
    weights = exact_exponentials(logits.long(), -1)
    weights = weights if mask is None else weights * mask
    return divide_rounded(weights @ value, weights.sum(-1, keepdim=True)).double()


def exact_norm(x: Tensor) -> Tensor:
    """Integer-valued float64 `(..., n)` to unit power in 2^-STREAM_BITS, each at most `BORDER_LIMIT`."""
    count = x.shape[-1]
    squares = x.square().sum(-1, keepdim=True) + (count << (2 * STREAM_BITS)) // (1 << 16)  # `NORM_FLOOR`
    root = torch.floor(torch.sqrt(squares * 2.0 ** (2 * ROOT_BITS)))
    unit = math.isqrt(count << (2 * (STREAM_BITS + ROOT_BITS)))
    return divide_rounded(x * unit, root).double().clamp(-BORDER_LIMIT, BORDER_LIMIT)


def exact_turned(x: Tensor, turns: Tensor) -> Tensor:
    """`turned` of integer-valued float64 by integers `(2, N, d)` in 2^-TURN_BITS."""
    first, second = x.chunk(2, -1)
    return divide(x * turns[0] + torch.cat([-second, first], -1) * turns[1], TURN_BITS)


@cache
def exact_rotations(window: tuple[int, int], channels: int) -> Tensor:
    """`rotations` of the positions of a window, in integers in 2^-TURN_BITS."""
    return exact_turns(grid_positions(window), channels)


def exact_turns(positions: Tensor, channels: int) -> Tensor:
    """`rotations` of positions `(N, axes)`, in integers in 2^-TURN_BITS."""
    shares = [len(part) for part in torch.arange(channels // 2).tensor_split(positions.shape[1])]
    rows = [
        [pair for place, share in zip(row, shares, strict=True) for pair in _axis_turns(place, share)]
        for row in positions.tolist()
    ]
    return torch.tensor(rows, dtype=torch.float64).view(len(rows), -1, 2).permute(2, 0, 1).repeat(1, 1, 2)


@cache
def _axis_turns(place: int, share: int) -> list[tuple[int, int]]:
    """Cosine and sine by which a place along an axis turns each of its share of pairs, in 2^-TURN_BITS."""
    with localcontext() as context:
        context.prec = DIGITS
        pairs = [_cosine_and_sine(place * (-Decimal(ROTARY_BASE).ln() * k / share).exp()) for k in range(share)]
        scaled = [[int((value * (1 << TURN_BITS)).to_integral_value()) for value in pair] for pair in pairs]
    return [(cosine, sine) for cosine, sine in scaled]


def _cosine_and_sine(angle: Decimal) -> tuple[Decimal, Decimal]:
    """By their series at a small part of the angle, doubled up again."""
    halvings = max(0, (int(angle) + 1).bit_length())
    small = angle / (1 << halvings)
    cosine, sine, term = Decimal(0), Decimal(0), Decimal(1)
    for n in range(1, 30):
        cosine, term = cosine + term, term * small / (2 * n - 1)
        sine, term = sine + term, -term * small / (2 * n)
    for _ in range(halvings):
        cosine, sine = cosine * cosine - sine * sine, 2 * cosine * sine
    return cosine, sine


def _inverse_root(count: int) -> int:
    """1 / sqrt(count) in 2^-STREAM_BITS."""
    return math.isqrt((1 << (2 * STREAM_BITS)) // count)


def exact_sum(x: Tensor, more: Tensor) -> Tensor:
    """Integer-valued float64 `(..., n)`, at most `BORDER_LIMIT`."""
    return (x + more).clamp_(-BORDER_LIMIT, BORDER_LIMIT)


def _mask(place: Windows, x: Tensor) -> Tensor | None:
    return place.mask(x.device, len(x))
