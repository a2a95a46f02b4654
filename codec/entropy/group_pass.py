"""One pass over a group of channels: contexts and a pointwise network, in floats and in integers."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from codec.entropy.contexts import Context, ContextChoice, Place, Seen, SeenExactly, build_contexts, gather_rows
from codec.entropy.exact import IntegerNetwork
from codec.entropy.kernels import take_in
from codec.entropy.layers import leaky_sequential
from codec.entropy.levels import fractional_powers, level_inputs
from codec.entropy.tables import LOGIT_BITS
from codec.entropy.threads import in_parts

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
        self._input_width, self._output_width = inputs, parameters * place.own
        last = nn.Linear(width, self._output_width)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        hidden = (nn.Linear(width, width) for _ in range(depth - 1))
        self.network = leaky_sequential(nn.Linear(inputs, width), *hidden, last)
        self.twin = IntegerNetwork(self.network, input_bits=LOGIT_BITS, output_bits=LOGIT_BITS)

    def forward(self, seen: Seen, hats: Tensor, index: Tensor) -> Tensor:
        """Parameters `(B, n, parameters * own)` at flat positions `index` `(n,)`."""
        found = [seen.features, hats, *(context(seen) for context in self._contexts)]
        return self.network(torch.cat([planes.flatten(2).transpose(1, 2)[:, index] for planes in found], 2))

    def exact(self, seen: SeenExactly) -> NDArray[np.float64]:
        """The same in integer-valued float64: `(B n, parameters * own)`."""
        batch, count = len(seen.features), len(seen.index)
        rows = self._empty_rows(seen)
        outputs = np.empty((batch, count, self._output_width))
        self._fill(seen, rows, by_parts=False)

        def part(first: int, last: int) -> None:
            self._fill(seen.part(first, last), rows[:, first:last], by_parts=True)
            for inputs, found in zip(rows[:, first:last], outputs[:, first:last], strict=True):
                found[:] = self.twin.rows(inputs)

        in_parts(part, count)
        return outputs.reshape(batch * count, self._output_width)

    def convert(self, seen: SeenExactly, device: torch.device) -> None:
        """Make the integer part, calibrated on what is seen in integers."""
        for context in self._contexts:
            context.convert(seen.integers())
        self.twin.convert(self.network, torch.from_numpy(self._inputs(seen)).to(device))

    def thaw(self) -> None:
        """Make the float part from the integer one."""
        for context in self._contexts:
            context.thaw()
        self.twin.restore(self.network)

    def _inputs(self, seen: SeenExactly) -> NDArray[np.float64]:
        """`(B n, inputs)`."""
        rows = self._empty_rows(seen)
        for by_parts in (False, True):
            self._fill(seen, rows, by_parts=by_parts)
        return rows.reshape(rows.shape[0] * rows.shape[1], self._input_width)

    def _empty_rows(self, seen: SeenExactly) -> NDArray[np.float64]:
        return np.empty((len(seen.features), len(seen.index), self._input_width))

    def _fill(self, seen: SeenExactly, rows: NDArray[np.float64], *, by_parts: bool) -> None:
        """Write the columns of `(B, n, inputs)` that come from contexts of one sort; planes are there for each position."""
        done = 0
        for planes in (seen.features, seen.hats):
            if by_parts:
                gather_rows(planes, seen.index, rows[:, :, done : done + planes.shape[1]])
            done += planes.shape[1]
        for context in self._contexts:
            if context.by_parts == by_parts:
                context.fill(seen, rows[:, :, done : done + context.channels])
            done += context.channels

    @property
    def _contexts(self) -> Iterator[Context]:
        return (cast(Context, context) for context in self.contexts)


@dataclass(frozen=True)
class Work:
    """What a pass codes: int64 log2 amplitudes `(B, n or 1, own)` in 1/256, and what it sees."""

    amplitude: NDArray[np.int64]
    seen: SeenExactly

    @property
    def index(self) -> NDArray[np.int64]:
        """Flat positions `(n,)`."""
        return self.seen.index


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
        batch, height, width = gains.shape
        self._features = features.double().contiguous().numpy()
        hats = level_inputs(gains.ravel(), knots).astype(np.float64).reshape(batch, height, width, knots)
        self._hats = np.ascontiguousarray(hats.transpose(0, 3, 1, 2))
        self._amplitude, self._schedule = amplitude, schedule
        self._values = np.zeros((batch, amplitude.shape[2], height, width))

    def begin(self, start: int, stop: int, phase: int) -> Work:
        """What a phase of the group with channels `start` to `stop` sees."""
        index, known = self._schedule[phase]
        seen = SeenExactly(self._features, self._hats, self._values, start, stop, known, index.numpy())
        amplitude = self._amplitude[:, :, start:stop]
        amplitude = amplitude if amplitude.shape[1] == 1 else amplitude[:, index.numpy()]
        return Work(np.ascontiguousarray(amplitude), seen)

    def learn(self, work: Work, latents: NDArray[np.int64]) -> None:
        """Take in dequantised values `(B, own, h w)` in 1/256 of a step, at the positions that were coded."""
        seen = work.seen
        for values, one, amplitude in zip(self._values, latents, work.amplitude, strict=True):
            own = values[seen.start : seen.stop].reshape(seen.stop - seen.start, -1)
            take_in(one, amplitude, seen.index, fractional_powers(), own)
