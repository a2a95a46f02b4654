"""One pass over a group of channels: contexts and a pointwise network, in floats and in integers."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from codec.entropy.contexts import (
    Context,
    ContextChoice,
    EarlierChannels,
    Neighbours,
    Place,
    Seen,
    SeenExactly,
    build_contexts,
)
from codec.entropy.exact import BORDER_LIMIT, IntegerNetwork
from codec.entropy.kernels import pass_rows, split_planes, take_in
from codec.entropy.layers import leaky_sequential
from codec.entropy.levels import fractional_powers, level_inputs
from codec.entropy.positions import positions_of
from codec.entropy.tables import LOGIT_BITS
from codec.entropy.threads import in_parts

Floats = NDArray[np.float64]

LEAST_POSITIONS = 512  # that are worth a thread


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
        self._output_width = parameters * place.own
        last = nn.Linear(width, self._output_width)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        hidden = (nn.Linear(width, width) for _ in range(depth - 1))
        self.network = leaky_sequential(nn.Linear(inputs, width), *hidden, last)
        self.twin = IntegerNetwork(self.network, input_bits=LOGIT_BITS, output_bits=LOGIT_BITS)
        self._plan: _Plan | None = None

    def forward(self, seen: Seen, hats: Tensor, index: Tensor) -> Tensor:
        """Parameters `(B, n, parameters * own)` at flat positions `index` `(n,)`."""
        found = [seen.features, hats, *(context(seen) for context in self._contexts)]
        return self.network(torch.cat([planes.flatten(2).transpose(1, 2)[:, index] for planes in found], 2))

    def exact(self, seen: SeenExactly) -> NDArray[np.float64]:
        """The same in integer-valued float64 at the positions that are coded: `(B, n, parameters * own)`."""
        found = np.empty((len(seen.planes), len(seen.index), self._output_width))

        def take(chunk: int, first: int, last: int, parameters: NDArray[np.float64]) -> None:
            found[chunk, first:last] = parameters

        self.hand_out(seen, take)
        return found

    def hand_out(self, seen: SeenExactly, take: Callable[[int, int, int, NDArray[np.float64]], None]) -> None:
        """Compute it in parts, in several threads; each calls `take(chunk of the batch, first, last, parameters)`."""
        if self._plan is None:
            self._plan = _Plan(list(self._contexts), self.twin, seen)
        positions, plan, phase = seen.positions, self._plan, seen.phase
        beside = self._beside(plan, seen)

        def part(first: int, last: int) -> None:
            outputs = np.empty(((last - first) * positions.columns, self._output_width))
            for chunk, (planes, rest) in enumerate(zip(seen.planes, beside, strict=True)):
                plan.run(planes, phase, (first, last), rest, outputs)
                take(chunk, *positions.span(phase, first, last), positions.those_there(phase, first, last, outputs))

        in_parts(part, positions.height, least=max(1, LEAST_POSITIONS // max(1, positions.columns)))

    def convert(self, seen: SeenExactly, device: torch.device) -> None:
        """Make the integer part, calibrated on what is seen in integers."""
        whole = seen.integers()
        for context in self._contexts:
            context.convert(whole)
        found = [whole.features, seen.hats(), *(context.exact(whole) for context in self._contexts)]
        index = torch.from_numpy(seen.index)
        rows = torch.cat([planes.flatten(2).transpose(1, 2)[:, index] for planes in found], 2)
        self.twin.convert(self.network, rows.flatten(0, 1).to(device))
        self._plan = None

    def _beside(self, plan: "_Plan", seen: SeenExactly) -> NDArray[np.float64]:
        """Features of contexts that have no loops of their own: `(B, h columns, E)`."""
        entries = seen.positions.height * seen.positions.columns
        found = np.zeros((len(seen.planes), entries, sum(context.channels for context in plan.others)))
        if plan.others:
            whole, index = seen.integers(), torch.from_numpy(seen.index)
            planes = torch.cat([context.exact(whole) for context in plan.others], 1).clamp(-BORDER_LIMIT, BORDER_LIMIT)
            found[:, seen.positions.entries(seen.phase)] = planes.flatten(2).transpose(1, 2)[:, index].numpy()
        return found

    def _load_from_state_dict(self, *arguments: Any) -> None:
        super()._load_from_state_dict(*arguments)
        self._plan = None

    def thaw(self) -> None:
        """Make the float part from the integer one."""
        for context in self._contexts:
            context.thaw()
        self.twin.restore(self.network)

    @property
    def _contexts(self) -> Iterator[Context]:
        return (cast(Context, context) for context in self.contexts)


class _Plan:
    """What the loops of a pass need to know, in the order in which they put inputs side by side.

    Args:
        contexts: of the pass.
        twin: its network.
        seen: of any chunk.
    """

    def __init__(self, contexts: Sequence[Context], twin: IntegerNetwork, seen: SeenExactly) -> None:
        first = done = seen.first_channel
        direct, near, rest = list(range(first)), list[int](), list[int]()  # columns of the network's inputs
        reads = list(range(first))
        self.near, self.scale = (0, 0, False), 1.0
        self.weight, self.bias, self.others = np.zeros((2, 0, 1, 1)), np.zeros((2, 0)), list[Context]()
        for context in contexts:
            columns = range(done, done + context.channels)
            done += context.channels
            if isinstance(context, EarlierChannels):
                direct += columns
                reads += range(first + seen.start - context.channels, first + seen.start)
            elif isinstance(context, Neighbours) and not near:
                near += columns
                start = seen.start if context.own else seen.start - context.size
                self.near, (self.weight, self.bias, self.scale) = (
                    (first + start, context.size, context.own),
                    context.factors(),
                )
            else:
                rest += columns
                self.others.append(context)
        self.reads, self.layers = np.array(reads), twin.flat(np.array([*direct, *near, *rest]))

    def run(self, planes: Floats, phase: int, lines: tuple[int, int], beside: Floats, outputs: Floats) -> None:
        """See `kernels.pass_rows`."""
        pass_rows(
            planes,
            phase,
            lines,
            self.reads,
            (*self.near, self.scale),
            self.weight,
            self.bias,
            beside,
            self.layers.widths,
            self.layers.weights,
            self.layers.biases,
            self.layers.endings,
            float(BORDER_LIMIT),
            outputs,
        )


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
        features: integer-valued float64 `(B, F, h, w)`.
        gains: gain index of each position `(B, h, w)`.
        amplitude: log2 amplitudes `(B, h w or 1, channels)` in 1/256.
        knots: hat functions of the level.
        phases: in how many every group is coded.
    """

    def __init__(
        self,
        features: Floats,
        gains: NDArray[np.int64],
        amplitude: NDArray[np.int64],
        *,
        knots: int,
        phases: int,
    ) -> None:
        batch, height, width = gains.shape
        self._positions = positions = positions_of(height, width, phases)
        self._features, self._knots, self._amplitude = features.shape[1], knots, amplitude
        fixed = self._features + knots
        self._planes = positions.empty(batch, fixed + amplitude.shape[2])
        for planes, own, level in zip(self._planes, features, gains, strict=True):
            split_planes(own, 0, planes)
            if np.all(level == level.flat[0]):
                planes[:, self._features : fixed] = level_inputs(level.flat[:1], knots).T[..., None]
            else:
                hats = level_inputs(level.ravel(), knots).T.reshape(knots, height, width)
                split_planes(hats.astype(np.float64), self._features, planes)

    def begin(self, start: int, stop: int, phase: int) -> Work:
        """What a phase of the group with channels `start` to `stop` sees."""
        seen = SeenExactly(self._planes, self._positions, self._features, self._knots, start, stop, phase)
        amplitude = self._amplitude[:, :, start:stop]
        amplitude = amplitude if amplitude.shape[1] == 1 else amplitude[:, seen.index]
        return Work(np.ascontiguousarray(amplitude), seen)

    def learn(self, work: Work, latents: NDArray[np.int64]) -> None:
        """Take in dequantised values `(B, own, h w)` in 1/256 of a step, at the positions that were coded."""
        seen, limit = work.seen, float(BORDER_LIMIT)
        place = (seen.first_channel + seen.start, seen.phase, self._positions.width)
        for planes, one, amplitude in zip(self._planes, latents, work.amplitude, strict=True):
            take_in(one, amplitude, fractional_powers(), place, limit, planes)
