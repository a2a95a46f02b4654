"""One driver walks `steps()` and fills what is known, from one of four sources: so no two directions can disagree on order.

GivenCodes     encode       codes are there; each step pushes them to the coder
CodedStreams   decode       each step pulls them from the coder
RoundedLatent  quantise     code = round(y - mean), then as GivenCodes
Sampler        generate     codes are drawn from the integer tables
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codec.coding import Decoder, Encoder
from codec.entropy.base import FIXED_POINT, EntropyModel, Frequencies, Known, Layout, Step, table_bits


class Source(Protocol):
    """Where the codes of a step come from."""

    def codes(self, step: Step) -> NDArray[np.int64]:
        """Symbols `(n,)` of a step: digits where the step names a digit, else codes."""


def walk(model: EntropyModel, layout: Layout, source: Source) -> Known:
    """Fill everything, in the model's order."""
    known = Known.nothing(layout)
    if not any(layout.sizes):
        return known
    for step in model.steps(layout, known):
        symbols = source.codes(step)
        known.codes[step.plane][step.where] += symbols * step.place
        if step.means is not None:
            known.latents[step.plane][step.where] = symbols * FIXED_POINT + step.means
    return known


class GivenCodes:
    """Codes that are there; one coder stream a plane, and the ideal code length.

    Args:
        planes: flat int64 codes of each plane.
    """

    def __init__(self, planes: Sequence[NDArray[np.int64]]) -> None:
        self._planes = planes
        self._encoders = [Encoder() for _ in planes]
        self.bits = 0.0

    def codes(self, step: Step) -> NDArray[np.int64]:
        """The digit or the code at each position; also pushed to the plane's coder."""
        symbols = self._planes[step.plane][step.where]
        if step.radix is not None:
            symbols = symbols // step.place % step.radix
        _push(self._encoders[step.plane], symbols, step)
        self.bits += table_bits(step.tables, symbols)
        return symbols

    def finish(self) -> list[bytes]:
        """A stream for each plane."""
        return [encoder.finish() for encoder in self._encoders]


class RoundedLatent:
    """Quantise continuous latents against the means that the model predicts, and code the result.

    Args:
        latents: flat float64 values of each plane; for a plane without means, integers.
    """

    def __init__(self, latents: Sequence[NDArray[np.float64]]) -> None:
        self._latents = latents
        self._encoders = [Encoder() for _ in latents]
        self.bits = 0.0

    def codes(self, step: Step) -> NDArray[np.int64]:
        """code = round(y - mean)."""
        means = 0.0 if step.means is None else step.means / FIXED_POINT
        symbols = np.rint(self._latents[step.plane][step.where] - means).astype(np.int64)
        _push(self._encoders[step.plane], symbols, step)
        self.bits += table_bits(step.tables, symbols)
        return symbols

    def finish(self) -> list[bytes]:
        """A stream for each plane."""
        return [encoder.finish() for encoder in self._encoders]


class CodedStreams:
    """Codes from coder streams; planes without a stream keep their expected value, code 0.

    Args:
        streams: one for each of the first planes.
    """

    def __init__(self, streams: Sequence[bytes]) -> None:
        self._decoders = [Decoder(stream) for stream in streams]

    def codes(self, step: Step) -> NDArray[np.int64]:
        """The next symbols of the plane."""
        if step.plane >= len(self._decoders):
            return np.zeros(len(step.where), np.int64)
        decoder = self._decoders[step.plane]
        if isinstance(step.tables, Frequencies):
            return decoder.pull_frequencies(step.tables.values, step.tables.precision)
        return decoder.pull_rows(step.tables.index, step.tables.tables)

    def finish(self) -> None:
        """Raise unless every stream ended where its encoder began."""
        for decoder in self._decoders:
            decoder.finish()


class Sampler:
    """Codes drawn from the integer tables: every entropy model is a generator.

    Args:
        seed: of the draws.
    """

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def codes(self, step: Step) -> NDArray[np.int64]:
        """One draw for each position; an escape is drawn again as the table's first symbol."""
        if isinstance(step.tables, Frequencies):
            values = step.tables.values
            targets = self._random.integers(1 << step.tables.precision, size=len(values))
            return (np.cumsum(values, axis=1) <= targets[:, None]).sum(1).astype(np.int64)
        return step.tables.draw(self._random)


def encode_chunk(model: EntropyModel, planes: Sequence[Tensor]) -> list[bytes]:
    """Planes of one chunk, int64 of any grid, to a coder stream each."""
    source, layout = _given(planes)
    walk(model, layout, source)
    return source.finish()


def decode_chunk(model: EntropyModel, layout: Layout, streams: Sequence[bytes]) -> list[Tensor]:
    """Streams of the first planes back to int64 planes of the layout's grids; ends of streams are checked."""
    source = CodedStreams(streams)
    known = walk(model, layout, source)
    source.finish()
    return [torch.from_numpy(codes).reshape(grid) for codes, grid in zip(known.codes, layout.grids, strict=True)]


def ideal_bits(model: EntropyModel, planes: Sequence[Tensor]) -> float:
    """Code length of one chunk by the integer tables: -log2 of each symbol's share."""
    source, layout = _given(planes)
    walk(model, layout, source)
    return source.bits


def _given(planes: Sequence[Tensor]) -> tuple[GivenCodes, Layout]:
    flat = [plane.detach().cpu().reshape(-1).numpy().astype(np.int64) for plane in planes]
    return GivenCodes(flat), Layout(tuple(tuple(plane.shape) for plane in planes))


def _push(encoder: Encoder, symbols: NDArray[np.int64], step: Step) -> None:
    if isinstance(step.tables, Frequencies):
        encoder.push_frequencies(symbols, step.tables.values, step.tables.precision)
    else:
        encoder.push_rows(symbols, step.tables.index, step.tables.tables)
