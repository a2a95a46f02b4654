"""What a pass over some channels of a latent sees beside the hyper features: contexts, as parts that combine.

He et al. 2021, arXiv:2103.15306 (checkerboard); Minnen, Singh 2020, arXiv:2007.08739 (channel slices); He et al. 2022,
arXiv:2203.10886 (both, uneven groups). A choice is a small dataclass in a config; it builds a module for each place.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from codec.entropy.exact import BORDER_LIMIT, IntegerLayer, IntegerNetwork
from codec.entropy.kernels import TAPS, finish_layer, gather, neighbour_sums
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
    """The same in the exact path: integer-valued float64 in 1/256, each `(B, channels, h, w)`.

    Attributes:
        features: hyper features.
        hats: hat functions of the level.
        values: all channels of the latent, zero where they are not known.
        start: first channel of the group that is coded.
        stop: the one after its last.
        known: bool `(h, w)`, where the group is known.
        index: int64 `(n,)`, flat positions that are coded, ascending.
    """

    features: NDArray[np.float64]
    hats: NDArray[np.float64]
    values: NDArray[np.float64]
    start: int
    stop: int
    known: Tensor
    index: NDArray[np.int64]

    def part(self, first: int, last: int) -> "SeenExactly":
        """For some of the positions that are coded."""
        return replace(self, index=self.index[first:last])

    def integers(self) -> Seen:
        """As int64."""
        parts = (self.features, self.values[:, : self.start], self.values[:, self.start : self.stop])
        features, before, own = (torch.from_numpy(part).long() for part in parts)
        return Seen(features, before, own, self.known)


class Context(nn.Module):
    """Features of what is known; none may depend on `own` where it is not `known`.

    Attributes:
        channels: how many features.
        by_parts: whether `fill` may work on parts of the positions, in several threads.
    """

    channels: int
    by_parts = False

    def forward(self, seen: Seen) -> Tensor:
        """Floats `(B, channels, h, w)`."""
        raise NotImplementedError

    def exact(self, seen: Seen) -> Tensor:
        """int64 `(B, channels, h, w)` in 1/256, the same on every machine."""
        raise NotImplementedError

    def fill(self, seen: SeenExactly, rows: NDArray[np.float64]) -> None:
        """Write the same to `(B, n, channels)`, only at the positions that are coded."""
        rows[:] = self.exact(seen.integers()).flatten(2).transpose(1, 2)[:, torch.from_numpy(seen.index)].numpy()

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

    by_parts = True

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels

    def forward(self, seen: Seen) -> Tensor:
        """A view."""
        return seen.before[:, seen.before.shape[1] - self.channels :]

    exact = forward

    def fill(self, seen: SeenExactly, rows: NDArray[np.float64]) -> None:
        """Only the positions that are coded."""
        gather_rows(seen.values[:, seen.start - self.channels : seen.start], seen.index, rows)


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

    by_parts = True

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

    def fill(self, seen: SeenExactly, rows: NDArray[np.float64]) -> None:
        """Only the rows of the grid that are wanted."""
        if not len(seen.index):
            return
        size, first = self._seen, seen.start if self._own else seen.start - self._seen
        weight, bias, scale = self._factors()
        width = seen.values.shape[-1]
        top, bottom = int(seen.index[0]) // width, int(seen.index[-1]) // width + 1
        sums = np.empty((2, size, bottom - top, width))
        for planes, found in zip(seen.values[:, first : first + size], rows, strict=True):
            neighbour_sums(planes, weight, bias, top, sums)
            finish_layer(sums.ravel(), scale, float(BORDER_LIMIT), -1.0)
            gather(sums.reshape(2 * size, -1), seen.index - top * width, float(BORDER_LIMIT), found)

    def _factors(self) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
        """Weights `(2, C, k, k or more)` and biases `(2, C)` of values and magnitudes, and what sums are multiplied with."""
        weight, bias, shift = cast(IntegerLayer, self.twin.layers[0]).doubles()
        kernels = weight.numpy().reshape(2, self._seen, *weight.shape[-2:])
        padded = np.pad(kernels, [(0, 0)] * 3 + [(0, -kernels.shape[3] % TAPS)])
        return padded, bias.numpy().reshape(2, -1), 2.0**-shift

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


def gather_rows(planes: NDArray[np.float64], index: NDArray[np.int64], rows: NDArray[np.float64]) -> None:
    """Planes `(B, C, h, w)` at flat positions `(n,)` to rows `(B, n, C)`, clamped to what networks take."""
    for one, found in zip(planes.reshape(*planes.shape[:2], -1), rows, strict=True):
        gather(one, index, float(BORDER_LIMIT), found)
