"""What a pass over some channels of a latent sees beside the hyper features: contexts, as parts that combine.

He et al. 2021, arXiv:2103.15306 (checkerboard); Minnen, Singh 2020, arXiv:2007.08739 (channel slices); He et al. 2022,
arXiv:2203.10886 (both, uneven groups). A choice is a small dataclass in a config; it builds a module for each place.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn

from codec.entropy.exact import BORDER_LIMIT, IntegerLayer, IntegerNetwork
from codec.entropy.kernels import finish_layer, neighbour_sums
from codec.entropy.tables import LOGIT_BITS


@dataclass(frozen=True)
class Place:
    """Where a context works.

    Attributes:
        features: channels of the hyper features.
        before: sizes of the groups of channels that are known already.
        own: size of the group that is coded.
        phase: 0 where nothing of the group is known, 1 where its even positions are.
    """

    features: int
    before: tuple[int, ...]
    own: int
    phase: int


@dataclass(frozen=True)
class Seen:
    """What is known: floats of normalised latents, or in the exact path int64 in 1/256; each `(B, channels, h, w)`.

    Attributes:
        features: hyper features.
        before: all channels of earlier groups.
        own: channels of this group, zero where they are not known.
        known: bool `(h, w)`, where they are.
    """

    features: Tensor
    before: Tensor
    own: Tensor
    known: Tensor


@dataclass(frozen=True)
class SeenRows:
    """The same in the exact path, positions first: integer-valued float64 in 1/256.

    Attributes:
        features: `(B, h w, features)`.
        hats: hat functions of the level `(B, h w, knots)`.
        values: `(B, h w, channels)` of the latent, zero where not known.
        start: first channel of the group that is coded.
        stop: the one after its last.
        known: bool `(h, w)`, where the group is known.
        index: flat positions `(n,)` that are coded.
        width: of the grid.
    """

    features: Tensor
    hats: Tensor
    values: Tensor
    start: int
    stop: int
    known: Tensor
    index: Tensor
    width: int

    def planes(self) -> Seen:
        """As int64 planes."""
        features, before, own = (
            rows.transpose(1, 2).unflatten(2, (-1, self.width)).long()
            for rows in (self.features, self.values[..., : self.start], self.values[..., self.start : self.stop])
        )
        return Seen(features, before, own, self.known)


class Context(nn.Module):
    """Features of what is known; none may depend on `own` where it is not `known`.

    Attributes:
        channels: how many features.
    """

    channels: int

    def forward(self, seen: Seen) -> Tensor:
        """Floats `(B, channels, h, w)`."""
        raise NotImplementedError

    def exact(self, seen: Seen) -> Tensor:
        """int64 `(B, channels, h, w)` in 1/256, the same on every machine."""
        raise NotImplementedError

    def exact_rows(self, seen: SeenRows) -> Tensor:
        """The same as float64 `(B, n, channels)`, only at the positions that are coded."""
        return self.exact(seen.planes()).flatten(2).transpose(1, 2)[:, seen.index].double()

    def convert(self, seen: Seen) -> None:
        """Make the integer part from what was trained, calibrated on what is seen in integers."""

    def thaw(self) -> None:
        """Make the float part from the integer one, as a checkpoint holds only that."""


class ContextChoice(Protocol):
    """An entry of a config: which context, with which parameters."""

    def build(self, place: Place) -> Context | None:
        """The module for a place; None where it has nothing to add."""


@dataclass(frozen=True)
class ChannelContext:
    """Earlier groups at the same position, as they are.

    Attributes:
        groups: how many of the latest groups; None for all.
    """

    groups: int | None = None

    def build(self, place: Place) -> Context | None:
        """Nothing for the first group."""
        count = sum(place.before[-self.groups :] if self.groups else place.before)
        return EarlierChannels(count) if count else None


class EarlierChannels(Context):
    """The last `channels` channels of the earlier groups."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, seen: Seen) -> Tensor:
        """A view."""
        return seen.before[:, seen.before.shape[1] - self.channels :]

    exact = forward

    def exact_rows(self, seen: SeenRows) -> Tensor:
        """Only the positions that are coded."""
        return seen.values[..., seen.start - self.channels : seen.start][:, seen.index]


@dataclass(frozen=True)
class NeighbourContext:
    """Neighbours and their magnitudes, channel by channel: of the group's known positions, before that of the latest group.

    Attributes:
        kernel: rows and columns that a position sees.
    """

    kernel: int = 5

    def build(self, place: Place) -> Context | None:
        """Nothing for the first pass of the first group."""
        if place.phase == 0 and not place.before:
            return None
        return Neighbours(place.own if place.phase else place.before[-1], self.kernel, own=bool(place.phase))


class Neighbours(Context):
    """A depthwise convolution over values and magnitudes; unknown positions are zero and so add nothing."""

    def __init__(self, channels: int, kernel: int, *, own: bool) -> None:
        super().__init__()
        self.channels, self._seen, self._own = 2 * channels, channels, own
        layer = nn.Conv2d(2 * channels, 2 * channels, kernel, padding=kernel // 2, groups=2 * channels)
        self.network = nn.Sequential(layer)
        self.twin = IntegerNetwork(self.network, input_bits=LOGIT_BITS, output_bits=LOGIT_BITS)

    def forward(self, seen: Seen) -> Tensor:
        """Means of neighbours, as learned."""
        return self.network(self._inputs(seen))

    def exact(self, seen: Seen) -> Tensor:
        """The same in integers."""
        return self.twin(self._inputs(seen))

    def exact_rows(self, seen: SeenRows) -> Tensor:
        """Only at the positions that are coded, and only over neighbours that can be known."""
        layer = cast(IntegerLayer, self.twin.layers[0])
        weight, bias, shift = layer.doubles()
        taps = weight.flatten(1).T.contiguous().numpy()
        first = seen.start if self._own else seen.start - self._seen
        sums = np.empty((len(seen.values), len(seen.index), self.channels))
        for values, found in zip(seen.values.numpy(), sums, strict=True):
            neighbour_sums(values, first, seen.index.numpy(), seen.width, taps, bias.numpy(), self._own, found)
        finish_layer(sums.ravel(), 2.0**-shift, float(BORDER_LIMIT), -1.0)
        return torch.from_numpy(sums)

    def convert(self, seen: Seen) -> None:
        """One layer."""
        self.twin.convert(self.network, self._inputs(seen).to(next(self.network.parameters()).device))

    def thaw(self) -> None:
        """One layer."""
        self.twin.restore(self.network)

    def _inputs(self, seen: Seen) -> Tensor:
        values = seen.own if self._own else seen.before[:, seen.before.shape[1] - self._seen :]
        return torch.cat([values, values.abs()], 1)


def build_contexts(choices: Sequence[ContextChoice], place: Place) -> nn.ModuleList:
    """What all choices add at a place."""
    found = (choice.build(place) for choice in choices)
    return nn.ModuleList(cast(nn.Module, context) for context in found if context is not None)
