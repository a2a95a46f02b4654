"""Contexts that look at the whole chunk: what earlier groups, and the known half of this one, say anywhere.

Jiang et al. 2023 (MLIC++), arXiv:2307.15421; Jiang et al. 2025 (MLICv2), arXiv:2504.19119; S2LIC 2024, arXiv:2403.14471. The
window context and the two global ones are MLIC++'s, the hyperprior as a guide of the first group MLICv2's, the attention over
channels S2LIC's (whose second context, deformable attention, is not here: `GlobalInterContext` takes its place).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from codec.entropy import attention
from codec.entropy.attention import TwinNetwork, join_heads, split_heads
from codec.entropy.base import FIXED_POINT
from codec.entropy.contexts import Context, Place, Seen


@dataclass(frozen=True)
class GlobalInterContext:
    """Linear attention over all earlier groups.

    Attributes:
        heads: each with its own summary of the chunk.
        dim: channels of a head.
    """

    heads: int = 2
    dim: int = 16

    def build(self, place: Place) -> Context | None:
        """Nothing for the first group."""
        return GlobalInter(sum(place.before), self.heads, self.dim) if place.before else None


class GlobalInter(Context):
    """Queries, keys and values are pointwise functions of the earlier groups' `inputs` channels."""

    def __init__(self, inputs: int, heads: int, dim: int) -> None:
        super().__init__()
        self.channels, self._heads = heads * dim, heads
        self.register_buffer("heads", torch.tensor(heads), persistent=False)  # a fact of the coding that no shape tells
        self.embed = TwinNetwork(
            nn.Conv2d(inputs, 2 * self.channels, 1), nn.Conv2d(2 * self.channels, 3 * self.channels, 1)
        )

    def forward(self, seen: Seen) -> Tensor:
        """What the position's query reads from the chunk's summary."""
        query, key, value = _split(self.embed(seen.before), 3, self._heads)
        return join_heads(attention.linear_attention(query, key, value), seen.before)

    def exact(self, seen: Seen) -> Tensor:
        """The same in integers."""
        query, key, value = _split(self.embed.exact(seen.before), 3, self._heads)
        return join_heads(attention.exact_linear_attention(query, key, value), seen.before)

    def convert(self, seen: Seen) -> None:
        """One network."""
        self.embed.convert(seen.before)

    def thaw(self) -> None:
        """One network."""
        self.embed.thaw()


@dataclass(frozen=True)
class GlobalIntraContext:
    """In a group's second pass: its known positions, anywhere, whose guide is like the guide here.

    The guide is the group before, of which both halves are known; for the first group it is the hyper features.

    Attributes:
        heads: each with its own summary of the known half.
        dim: channels of a head.
        kernel: neighbourhood of the guide that is compared.
    """

    heads: int = 2
    dim: int = 16
    kernel: int = 3

    def build(self, place: Place) -> Context | None:
        """Nothing for the first pass."""
        if place.phase == 0:
            return None
        return GlobalIntra(place, self.heads, self.dim, self.kernel)


class GlobalIntra(Context):
    """Linear attention: queries and keys from the guide, values from this group."""

    def __init__(self, place: Place, heads: int, dim: int, kernel: int) -> None:
        super().__init__()
        self.channels, self._heads = heads * dim, heads
        self.register_buffer("heads", torch.tensor(heads), persistent=False)  # a fact of the coding that no shape tells
        self._latest = place.before[-1] if place.before else None
        self.compare = TwinNetwork(
            nn.Conv2d(self._latest or place.features, 2 * self.channels, kernel, padding=kernel // 2),
            nn.Conv2d(2 * self.channels, 2 * self.channels, 1),
        )
        self.value = TwinNetwork(nn.Conv2d(place.own, self.channels, 1))

    def forward(self, seen: Seen) -> Tensor:
        """Values of the known half, mixed by likeness."""
        query, key = _split(self.compare(self._guide(seen)), 2, self._heads)
        (value,) = _split(self.value(seen.own), 1, self._heads)
        return join_heads(attention.linear_attention(query, key, value, seen.known.flatten()), seen.own)

    def exact(self, seen: Seen) -> Tensor:
        """The same in integers."""
        query, key = _split(self.compare.exact(self._guide(seen)), 2, self._heads)
        (value,) = _split(self.value.exact(seen.own), 1, self._heads)
        return join_heads(attention.exact_linear_attention(query, key, value, seen.known.flatten()), seen.own)

    def convert(self, seen: Seen) -> None:
        """Two networks."""
        self.compare.convert(self._guide(seen))
        self.value.convert(seen.own)

    def thaw(self) -> None:
        """Two networks."""
        self.compare.thaw()
        self.value.thaw()

    def _guide(self, seen: Seen) -> Tensor:
        return seen.features if self._latest is None else seen.before[:, -self._latest :]


@dataclass(frozen=True)
class WindowContext:
    """In a group's second pass: attention over the known positions in a window.

    Attributes:
        heads: of the attention.
        dim: channels of a head.
        window: rows and columns, odd.
    """

    heads: int = 2
    dim: int = 16
    window: int = 5

    def build(self, place: Place) -> Context | None:
        """Nothing for the first pass."""
        return Window(place, self.heads, self.dim, self.window) if place.phase else None


class Window(Context):
    """Queries from hyper features and earlier groups here; keys and values from this group; a learned bias for each offset."""

    integer_bias: Tensor  # int32 (heads, offsets) in 1/256 nat

    def __init__(self, place: Place, heads: int, dim: int, window: int) -> None:
        super().__init__()
        self.channels, self._heads = heads * dim, heads
        self._offsets = attention.checkerboard_window(window)
        self.query = TwinNetwork(nn.Conv2d(place.features + sum(place.before), self.channels, 1))
        self.read = TwinNetwork(nn.Conv2d(place.own, 2 * self.channels, 1))
        self.bias = nn.Parameter(torch.zeros(heads, len(self._offsets)))
        self.register_buffer("integer_bias", torch.zeros(heads, len(self._offsets), dtype=torch.int32))

    def forward(self, seen: Seen) -> Tensor:
        """Values around, mixed."""
        query, (key, value) = self.query(self._here(seen)), self.read(seen.own).chunk(2, 1)
        query, key, value = (part.unflatten(1, (self._heads, -1)) for part in (query, key, value))
        return attention.window_attention(query, key, value, self.bias, self._offsets, seen.known).flatten(1, 2)

    def exact(self, seen: Seen) -> Tensor:
        """The same in integers."""
        query, (key, value) = self.query.exact(self._here(seen)), self.read.exact(seen.own).chunk(2, 1)
        query, key, value = (part.unflatten(1, (self._heads, -1)) for part in (query, key, value))
        bias = self.integer_bias.cpu().long()
        return attention.exact_window_attention(query, key, value, bias, self._offsets, seen.known).flatten(1, 2)

    def convert(self, seen: Seen) -> None:
        """Two networks and the biases."""
        self.query.convert(self._here(seen))
        self.read.convert(seen.own)
        with torch.no_grad():
            self.integer_bias.copy_(torch.round(self.bias * FIXED_POINT))

    def thaw(self) -> None:
        """Two networks and the biases."""
        self.query.thaw()
        self.read.thaw()
        with torch.no_grad():
            self.bias.copy_(self.integer_bias / FIXED_POINT)

    def _here(self, seen: Seen) -> Tensor:
        return torch.cat([seen.features, seen.before], 1)


@dataclass(frozen=True)
class ChannelAttentionContext:
    """Earlier groups, their channels mixed by how alike they are in this chunk.

    Attributes:
        heads: of the attention.
        dim: channels of a head.
    """

    heads: int = 2
    dim: int = 16

    def build(self, place: Place) -> Context | None:
        """Nothing for the first group."""
        return ChannelAttention(sum(place.before), self.heads, self.dim) if place.before else None


class ChannelAttention(Context):
    """Queries, keys and values are convolutions of the earlier groups' `inputs` channels."""

    def __init__(self, inputs: int, heads: int, dim: int) -> None:
        super().__init__()
        self.channels, self._heads = heads * dim, heads
        self.register_buffer("heads", torch.tensor(heads), persistent=False)  # a fact of the coding that no shape tells
        self.embed = TwinNetwork(
            nn.Conv2d(inputs, 3 * self.channels, 1),
            nn.Conv2d(3 * self.channels, 3 * self.channels, 3, padding=1, groups=3 * self.channels),
        )

    def forward(self, seen: Seen) -> Tensor:
        """Mixed values."""
        query, key, value = _split(self.embed(seen.before), 3, self._heads)
        return join_heads(attention.channel_attention(query, key, value), seen.before)

    def exact(self, seen: Seen) -> Tensor:
        """The same in integers."""
        query, key, value = _split(self.embed.exact(seen.before), 3, self._heads)
        return join_heads(attention.exact_channel_attention(query, key, value), seen.before)

    def convert(self, seen: Seen) -> None:
        """One network."""
        self.embed.convert(seen.before)

    def thaw(self) -> None:
        """One network."""
        self.embed.thaw()


def _split(planes: Tensor, parts: int, heads: int) -> list[Tensor]:
    """`(B, parts H d, h, w)` to each part as `(B, H, d, N)`."""
    return [split_heads(part, heads) for part in planes.chunk(parts, 1)]
