"""One pass over a group of channels: contexts and a pointwise network, in floats and in integers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from codec.entropy.contexts import Context, ContextChoice, Place, Seen, SeenRows, build_contexts
from codec.entropy.exact import IntegerNetwork
from codec.entropy.kernels import take_in
from codec.entropy.layers import leaky_sequential
from codec.entropy.levels import fractional_powers, level_inputs
from codec.entropy.tables import LOGIT_BITS

Schedule = list[tuple[Tensor, Tensor]]


class GroupPass(nn.Module):
    """One pass: contexts, and a pointwise network from all that is seen to the parameters of each channel.

    Args:
        place: which pass.
        contexts: choices, those that have something to add here are built.
        width: hidden channels.
        depth: hidden layers.
        knots: hat functions of the level.
        parameters: of the likelihood, for each channel.
    """

    def __init__(
        self,
        place: Place,
        contexts: Sequence[ContextChoice],
        *,
        width: int,
        depth: int,
        knots: int,
        parameters: int,
    ) -> None:
        super().__init__()
        self.contexts = build_contexts(contexts, place)
        inputs = place.features + knots + sum(context.channels for context in self._contexts)
        last = nn.Linear(width, parameters * place.own)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        hidden = (nn.Linear(width, width) for _ in range(depth - 1))
        self.network = leaky_sequential(nn.Linear(inputs, width), *hidden, last)
        self.twin = IntegerNetwork(self.network, input_bits=LOGIT_BITS, output_bits=LOGIT_BITS)

    def forward(self, seen: Seen, hats: Tensor, index: Tensor) -> Tensor:
        """Parameters `(B, n, parameters * own)` at flat positions `index` `(n,)`."""
        found = [seen.features, hats, *(context(seen) for context in self._contexts)]
        return self.network(torch.cat([planes.flatten(2).transpose(1, 2)[:, index] for planes in found], 2))

    def exact(self, seen: SeenRows) -> Tensor:
        """The same in integer-valued float64, for the positions of `seen`: `(B n, parameters * own)`."""
        return self.twin.run(self._inputs(seen))

    def convert(self, seen: SeenRows, device: torch.device) -> None:
        """Make the integer part, calibrated on what is seen in integers."""
        for context in self._contexts:
            context.convert(seen.planes())
        self.twin.convert(self.network, self._inputs(seen).to(device))

    def thaw(self) -> None:
        """Make the float part from the integer one."""
        for context in self._contexts:
            context.thaw()
        self.twin.restore(self.network)

    def _inputs(self, seen: SeenRows) -> Tensor:
        found = [seen.features[:, seen.index], seen.hats[:, seen.index]]
        found += [context.exact_rows(seen) for context in self._contexts]
        return torch.cat(found, 2).flatten(0, 1)

    @property
    def _contexts(self) -> Iterator[Context]:
        return (cast(Context, context) for context in self.contexts)


@dataclass(frozen=True)
class Work:
    """What a pass codes: int64 log2 amplitudes `(B, n or 1, own)` in 1/256, flat positions `(n,)`, and what it sees."""

    amplitude: NDArray[np.int64]
    index: NDArray[np.int64]
    seen: SeenRows


class ExactPasses:
    """The integer state of a batch of chunks while its groups become known.

    Args:
        features: int64 `(B, F, h, w)`.
        gains: gain index of each position `(B, h, w)`.
        amplitude: log2 amplitudes `(B, h w or 1, channels)` in 1/256.
        knots: hat functions of the level.
        schedule: for each phase the positions that it codes, and where the group is known before it.
    """

    def __init__(
        self,
        features: Tensor,
        gains: NDArray[np.int64],
        amplitude: NDArray[np.int64],
        *,
        knots: int,
        schedule: Schedule,
    ) -> None:
        batch, self._height, self._width = gains.shape
        self._features = features.double().flatten(2).transpose(1, 2).contiguous()
        hats = level_inputs(gains.ravel(), knots).reshape(batch, -1, knots)
        self._hats = torch.from_numpy(hats).double()
        self._amplitude, self._schedule = amplitude, schedule
        self._values = np.zeros((batch, gains[0].size, amplitude.shape[2]))

    def begin(self, start: int, stop: int, phase: int) -> Work:
        """What a phase of the group with channels `start` to `stop` sees."""
        index, known = self._schedule[phase]
        values = torch.from_numpy(self._values)
        seen = SeenRows(self._features, self._hats, values, start, stop, known, index, self._width)
        amplitude = self._amplitude[:, :, start:stop]
        amplitude = amplitude if amplitude.shape[1] == 1 else amplitude[:, index.numpy()]
        return Work(np.ascontiguousarray(amplitude), index.numpy(), seen)

    def learn(self, work: Work, latents: NDArray[np.int64]) -> None:
        """Take in dequantised values `(B, own, h w)` in 1/256 of a step, at the positions that were coded."""
        for values, one, amplitude in zip(self._values, latents, work.amplitude, strict=True):
            take_in(one, amplitude, work.index, fractional_powers(), work.seen.start, values)
