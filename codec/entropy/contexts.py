"""What a pass over some channels of a latent sees beside the hyper features: contexts, as parts that combine.

He et al. 2021, arXiv:2103.15306 (checkerboard); Minnen, Singh 2020, arXiv:2007.08739 (channel slices); He et al. 2022,
arXiv:2203.10886 (both, uneven groups). A choice is a small dataclass in a config; it builds a module for each place.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from codec.entropy.exact import IntegerLayer, IntegerNetwork
from codec.entropy.kernels import LARGEST_KERNEL
from codec.entropy.positions import Positions
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
class SeenExactly:
    """The same in the exact path, as split planes of integer-valued float64 in 1/256.

    Attributes:
        planes: `(B, phases, features + knots + channels, h, columns + 2 PAD)`: hyper features, hat functions of the level, and all
            channels of the latent, zero where they are not known.
        positions: of the grid.
        features: how many there are.
        knots: how many hat functions.
        start: first channel of the group that is coded.
        stop: the one after its last.
        phase: in which it is coded.
    """

    planes: NDArray[np.float64]
    positions: Positions
    features: int
    knots: int
    start: int
    stop: int
    phase: int

    @property
    def index(self) -> NDArray[np.int64]:
        """int64 `(n,)`, flat positions that are coded, ascending."""
        return self.positions.index(self.phase)

    @property
    def first_channel(self) -> int:
        """Where the latent's channels begin among the planes."""
        return self.features + self.knots

    def hats(self) -> Tensor:
        """Hat functions of the level as int64 `(B, knots, h, w)`."""
        return self._whole(self.features, self.first_channel)

    def integers(self) -> Seen:
        """As int64, in whole planes."""
        first = self.first_channel
        before, own = self._whole(first, first + self.start), self._whole(first + self.start, first + self.stop)
        known = self.positions.known(self.phase, torch.device("cpu"))
        return Seen(self._whole(0, self.features), before, own, known)

    def _whole(self, first: int, last: int) -> Tensor:
        return torch.from_numpy(self.positions.whole(self.planes[:, :, first:last])).long()


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
    """A depthwise convolution over values and magnitudes; unknown positions are zero and so add nothing.

    Attributes:
        size: channels that are seen.
        own: whether they are those of this group.
    """

    def __init__(self, channels: int, kernel: int, *, own: bool) -> None:
        super().__init__()
        if kernel % 2 == 0 or kernel > LARGEST_KERNEL:
            raise ValueError(f"the kernel must be odd and at most {LARGEST_KERNEL}, got {kernel}")
        self.channels, self.size, self.own = 2 * channels, channels, own
        layer = nn.Conv2d(2 * channels, 2 * channels, kernel, padding=kernel // 2, groups=2 * channels)
        self.network = nn.Sequential(layer)
        self.twin = IntegerNetwork(self.network, input_bits=LOGIT_BITS, output_bits=LOGIT_BITS)

    def forward(self, seen: Seen) -> Tensor:
        """Means of neighbours, as learned."""
        return self.network(self._inputs(seen))

    def exact(self, seen: Seen) -> Tensor:
        """The same in integers."""
        return self.twin(self._inputs(seen))

    def factors(self) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        """Weights `(2, C, k, k)` and biases `(2, C)` of values and magnitudes, and what their sums are multiplied with."""
        weight, bias, shift = cast(IntegerLayer, self.twin.layers[0]).doubles()
        return weight.numpy().reshape(2, self.size, *weight.shape[-2:]), bias.numpy().reshape(2, -1), 2.0**-shift

    def convert(self, seen: Seen) -> None:
        """One layer."""
        self.twin.convert(self.network, self._inputs(seen).to(next(self.network.parameters()).device))

    def thaw(self) -> None:
        """One layer."""
        self.twin.restore(self.network)

    def _inputs(self, seen: Seen) -> Tensor:
        values = seen.own if self.own else seen.before[:, seen.before.shape[1] - self.size :]
        return torch.cat([values, values.abs()], 1)


def build_contexts(choices: Sequence[ContextChoice], place: Place) -> nn.ModuleList:
    """What all choices add at a place."""
    found = (choice.build(place) for choice in choices)
    return nn.ModuleList(cast(nn.Module, context) for context in found if context is not None)
