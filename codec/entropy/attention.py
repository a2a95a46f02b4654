"""Attention in floats and, beside each, in integers that are the same on every machine.

Shen et al. 2021, "Efficient attention: attention with linear complexities", arXiv:1812.01243 (keys over space, queries over
channels); El-Nouby et al. 2021, "XCiT", arXiv:2106.09681 (channels attend to channels). The integer versions take int64 in
1/256, look exponentials up, keep the weights unnormalised until all is summed, and divide integers once. Sums are carried in
float64 and stay below 2^53, so that their order does not matter.

Legend: B batch, H heads, d channels of queries and keys, v channels of values, N positions.
"""

from collections.abc import Iterator
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.entropy.exact import BORDER_LIMIT, EXACT, LIMIT, IntegerNetwork
from codec.entropy.layers import leaky_sequential
from codec.entropy.tables import EXPONENTIAL_ENTRIES, LOGIT_BITS, exponential_table

WEIGHT_BITS = 16  # of an exponential, and of a gate
NEVER = -(1 << 40)  # logit of what must not be seen
Offset = tuple[int, int]


class TwinNetwork(nn.Module):
    """A small network and its integer twin, both from 1/256 to 1/256.

    Args:
        layers: see `leaky_sequential`.
    """

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.network = leaky_sequential(*layers)
        self.twin = IntegerNetwork(self.network, input_bits=LOGIT_BITS, output_bits=LOGIT_BITS)

    def forward(self, values: Tensor) -> Tensor:
        """Floats to floats."""
        return self.network(values)

    def exact(self, values: Tensor) -> Tensor:
        """int64 to int64."""
        return self.twin(values)

    def convert(self, values: Tensor) -> None:
        """Make the twin, calibrated on int64 inputs."""
        self.twin.convert(self.network, values.to(next(self.network.parameters()).device))

    def thaw(self) -> None:
        """Make the floats from the twin."""
        self.twin.restore(self.network)


def exact_exponentials(logits: Tensor, axis: int) -> Tensor:
    """exp(logit - largest along `axis`) of int64 logits in 1/256 nat, as integer-valued float64 in 2^-16."""
    below = (logits.amax(axis, keepdim=True) - logits).clamp_max(EXPONENTIAL_ENTRIES - 1)
    return _exponentials()[below]


def exact_sigmoid(logits: Tensor) -> Tensor:
    """int64 logits in 1/256 to int64 in 2^-16, from the same table."""
    small = _exponentials()[logits.abs().clamp_max(EXPONENTIAL_ENTRIES - 1)].long()
    one = 1 << WEIGHT_BITS
    lower = torch.div(small << WEIGHT_BITS, small + one, rounding_mode="floor")
    return torch.where(logits < 0, lower, one - lower)


def divide_rounded(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Integer-valued numerator below 2^53 by integer denominator, at least 0, to the nearest int64; 0 by 0 is 0."""
    twice = 2 * denominator.long().clamp_min(1)
    return torch.div(2 * numerator.long() + twice // 2, twice, rounding_mode="floor")


def linear_attention(query: Tensor, key: Tensor, value: Tensor, known: Tensor | None = None) -> Tensor:
    """Each key channel sums values up over space, each position mixes the sums as its query says.

    Args:
        query, key: `(B, H, d, N)`.
        value: `(B, H, v, N)`.
        known: bool `(N,)`; the other positions' keys and values do not count.

    Returns:
        `(B, H, v, N)`.
    """
    weights = torch.exp(_from_largest(_masked(key, known), -1))
    weights = weights if known is None else weights * known
    summary = (weights @ value.transpose(2, 3)) / weights.sum(-1, keepdim=True).clamp_min(1e-9)
    return summary.transpose(2, 3) @ torch.softmax(query, 2)


def exact_linear_attention(query: Tensor, key: Tensor, value: Tensor, known: Tensor | None = None) -> Tensor:
    """`linear_attention` of int64 in 1/256."""
    _check_sum(key.shape[-1], BORDER_LIMIT)
    weights = exact_exponentials(_masked(key, known), -1)
    weights = weights if known is None else weights * known
    summary = divide_rounded(weights @ value.double().transpose(2, 3), weights.sum(-1, keepdim=True))
    shares = exact_exponentials(query, 2)
    return divide_rounded(summary.double().transpose(2, 3) @ shares, shares.sum(2, keepdim=True))


def channel_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Channels are mixed by how alike they are over the whole of space; all `(B, H, d, N)`."""
    return torch.softmax(query @ key.transpose(2, 3) / query.shape[-1], -1) @ value


def exact_channel_attention(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """`channel_attention` of int64 in 1/256; queries and keys are clamped to 16 bits."""
    count = query.shape[-1]
    if count * LIMIT**2 >= EXACT:
        raise ValueError(f"attention over channels sums at most {EXACT // LIMIT**2} positions exactly, got {count}")
    products = _short(query) @ _short(key).transpose(2, 3)
    weights = exact_exponentials(divide_rounded(products, torch.tensor(count << LOGIT_BITS)), -1)
    return divide_rounded(weights @ value.double(), weights.sum(-1, keepdim=True))


def checkerboard_window(side: int) -> list[Offset]:
    """Offsets within `side` x `side` at which an odd position has even ones: 12 of 25."""
    reach = range(-(side // 2), side // 2 + 1)
    return [(i, j) for i in reach for j in reach if (i + j) % 2]


def window_attention(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor, offsets: list[Offset], known: Tensor
) -> Tensor:
    """Each position mixes the known ones around it.

    Args:
        query, key: `(B, H, d, h, w)`.
        value: `(B, H, v, h, w)`.
        bias: `(H, offsets)` in nats.
        offsets: rows and columns from a position to what it sees.
        known: bool `(h, w)`.

    Returns:
        `(B, H, v, h, w)`, 0 where nothing around is known.
    """
    scale, there = 2.0 ** -_scale_bits(key), torch.stack(list(_shifted(known, offsets)))
    products = torch.stack([(query * other).sum(2) for other in _shifted(key, offsets)], 2) * scale
    logits = _masked(products + bias[None, :, :, None, None], there)
    weights = torch.exp(_from_largest(logits, 2)) * there
    total = weights.sum(2).clamp_min(1e-9)
    return _mixed(weights, value, offsets) / total[:, :, None]


def exact_window_attention(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor, offsets: list[Offset], known: Tensor
) -> Tensor:
    """`window_attention` of int64 in 1/256; queries and keys are clamped to 16 bits."""
    scale, there = 2.0 ** -(LOGIT_BITS + _scale_bits(key)), torch.stack(list(_shifted(known, offsets)))
    q, k = _short(query), _short(key)
    products = torch.stack([torch.floor((q * other).sum(2) * scale) for other in _shifted(k, offsets)], 2).long()
    logits = _masked(products + bias[None, :, :, None, None], there)
    weights = exact_exponentials(logits, 2) * there
    return divide_rounded(_mixed(weights, value.double(), offsets), weights.sum(2)[:, :, None])


def split_heads(planes: Tensor, heads: int) -> Tensor:
    """`(B, H d, h, w)` to `(B, H, d, N)`."""
    return planes.flatten(2).unflatten(1, (heads, -1))


def join_heads(values: Tensor, like: Tensor) -> Tensor:
    """`(B, H, v, N)` to `(B, H v, h, w)`, with the grid of `like`."""
    return values.flatten(1, 2).unflatten(2, like.shape[-2:])


@cache
def _exponentials() -> Tensor:
    return torch.from_numpy(exponential_table()).double()


def _masked(logits: Tensor, known: Tensor | None) -> Tensor:
    return logits if known is None else torch.where(known, logits, NEVER)


def _from_largest(logits: Tensor, axis: int) -> Tensor:
    return logits - logits.detach().amax(axis, keepdim=True)


def _short(values: Tensor) -> Tensor:
    return values.clamp(-LIMIT, LIMIT).double()


def _scale_bits(key: Tensor) -> int:
    """Logits of window attention are divided by this power of two, about the root of the number of channels."""
    return (key.shape[2].bit_length() - 1) // 2


def _shifted(planes: Tensor, offsets: list[Offset]) -> Iterator[Tensor]:
    """`(…, h, w)` as seen from each offset, zeros beyond the border."""
    reach = max(abs(side) for offset in offsets for side in offset)
    height, width = planes.shape[-2:]
    padded = F.pad(planes, (reach,) * 4)
    for i, j in offsets:
        yield padded[..., reach + i : reach + i + height, reach + j : reach + j + width]


def _mixed(weights: Tensor, value: Tensor, offsets: list[Offset]) -> Tensor:
    """Sum of what is seen at each offset, by weights `(B, H, offsets, h, w)`."""
    total = torch.zeros_like(value)
    for weight, other in zip(weights.unbind(2), _shifted(value, offsets), strict=True):
        total = total + weight[:, :, None] * other
    return total


def _check_sum(count: int, limit: int) -> None:
    if count * limit << WEIGHT_BITS >= EXACT:
        raise ValueError(f"attention sums at most {EXACT // (limit << WEIGHT_BITS)} positions exactly, got {count}")
