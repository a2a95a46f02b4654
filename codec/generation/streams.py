"""Patterns on what comes bit by bit: frames of sound or of video to steps of a sequence, and back, as soon as they are whole."""

import math

import torch
from torch import Tensor

from codec.generation.patterns import Grid, Pattern, deinterleave, interleave


class FrameSteps:
    """Frames to steps: all pieces together are what `interleave` gives for the whole.

    Args:
        pattern: one with chunks.
        planes: Q.
        cells: grid of a frame, `()` for sound.
    """

    def __init__(self, pattern: Pattern, planes: int, cells: Grid = ()) -> None:
        self._span = _Span(pattern, planes, cells)
        self._held: Tensor | None = None
        self._done = 0  # steps of the frames held that are out already

    def push(self, frames: Tensor) -> Tensor:
        """`(B, Q, n, *cells)`, all of one length, to the steps `(B, s, rows)` that are certain by now."""
        span = self._span
        held = frames if self._held is None else torch.cat([self._held, frames], 2)
        whole = held.shape[2] // span.chunk * span.chunk
        ready = self._steps(held[:, :, :whole])[:, self._done : whole * span.steps]
        drop = max(0, (whole - span.late) // span.chunk * span.chunk)
        self._held, self._done = held[:, :, drop:], (whole - drop) * span.steps
        return ready

    def finish(self) -> Tensor:
        """The steps that are left."""
        if self._held is None:
            raise ValueError("no frames came")
        return self._steps(self._held)[:, self._done :]

    def _steps(self, frames: Tensor) -> Tensor:
        if frames.shape[2] == 0:
            return frames.new_zeros(len(frames), 0, self._span.rows)
        return interleave(list(frames.unbind(1)), self._span.pattern)


class StepFrames:
    """Steps to frames: the way back.

    Args:
        pattern: as of `FrameSteps`.
        planes: likewise.
        cells: likewise.
    """

    def __init__(self, pattern: Pattern, planes: int, cells: Grid = ()) -> None:
        self._span = _Span(pattern, planes, cells)
        self._held: Tensor | None = None

    def push(self, steps: Tensor) -> Tensor:
        """`(B, s, rows)` to the frames `(B, Q, n, *cells)` that are whole by now."""
        span = self._span
        self._held = steps if self._held is None else torch.cat([self._held, steps], 1)
        known = max(0, self._held.shape[1] - span.tail)
        frames = self._take(known // (span.steps * span.chunk) * span.chunk)
        self._held = self._held[:, frames.shape[2] * span.steps :]
        return frames

    def finish(self) -> Tensor:
        """The frames of a last chunk that is not full; an error if a frame is not whole."""
        if self._held is None:
            raise ValueError("no steps came")
        steps = self._held.shape[1] - self._span.tail
        if steps < 0 or steps % self._span.steps:
            raise ValueError(
                f"the sequence ends inside a frame: {steps} steps are left, {self._span.steps} make a frame"
            )
        frames = self._take(steps // self._span.steps)
        self._held = None
        return frames

    def _take(self, count: int) -> Tensor:
        """The first frames of those held."""
        span = self._span
        assert self._held is not None
        if count == 0:
            return self._held.new_zeros(len(self._held), span.planes, 0, *span.cells)
        steps = self._held[:, : count * span.steps + span.tail]
        return torch.stack(deinterleave(steps, [(count, *span.cells)] * span.planes, span.pattern), 1)


class _Span:
    """The sizes that both directions need: steps a frame, steps of the tail, how many frames a step may reach back."""

    def __init__(self, pattern: Pattern, planes: int, cells: Grid) -> None:
        if not pattern.chunk:
            raise ValueError(
                "this pattern needs all frames before its first step, so it has no stream; CoarseFirst(chunk=n) has"
            )
        self.pattern, self.planes, self.cells, self.chunk = pattern, planes, cells, pattern.chunk
        self.tail = pattern.tail(planes)
        places = pattern.places([(pattern.chunk, *cells)] * planes)
        steps, self.rows = places.planes.shape
        self.steps = (steps - self.tail) // pattern.chunk
        self.late = math.ceil(self.tail / self.steps)
