"""One driver walks `steps()` and fills what is known, from one of four sources: so no two directions can disagree on order.

GivenCodes     encode       codes are there
RoundedLatent  quantise     code = round(y - mean), with the means that the model predicts on the way
CodedStreams   decode       each step pulls its symbols from the plane's coder stream
Sampler        generate     symbols are drawn from the integer tables

What passes by can be recorded: by `StreamWriter`, a coder stream a plane, or by `CodeLength`.
"""

from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codec.coding import Decoder, Encoder
from codec.entropy.base import FIXED_POINT, EntropyModel, Known, Layout, Rows, Step
from codec.entropy.kernels import expect, round_priced, settle
from codec.errors import BitstreamError


class Source(Protocol):
    """Where the symbols of a step come from."""

    def symbols(self, step: Step) -> NDArray[np.int64]:
        """`(n,)`: digits where the step names a digit, else codes."""


class Recorder(Protocol):
    """Who else wants to see them."""

    def record(self, step: Step, symbols: NDArray[np.int64]) -> None:
        """Take note of one step's symbols `(n,)`."""


def walk(model: EntropyModel, layout: Layout, source: Source, *recorders: Recorder, planes: int | None = None) -> Known:
    """Fill everything, in the model's order; or only the first `planes`, with no work for those after them."""
    if len(layout.grids) != len(model.codebook_sizes):
        raise ValueError(f"the model has {len(model.codebook_sizes)} planes, the layout {len(layout.grids)}")
    known = Known.nothing(layout)
    steps = model.steps(layout, known)
    for step in steps if planes is None else _until_coded(steps, layout.sizes[:planes]):
        symbols = source.symbols(step)
        for recorder in recorders:
            recorder.record(step, symbols)
        codes, latents = known.codes[step.plane], known.latents[step.plane]
        if step.certain is not None:
            expect(step.certain, latents)
        if step.means is None:
            codes[step.where] = _joined(codes, symbols, step)
        else:
            settle(step.where, symbols, step.means, FIXED_POINT, codes, latents)
    return known


def _until_coded(steps: Iterator[Step], sizes: Sequence[int]) -> Iterator[Step]:
    """Steps until the first planes, of so many positions each, are known as a whole."""
    left = sum(sizes)
    if left == 0:
        return
    for step in steps:
        yield step
        if step.plane < len(sizes) and step.place == 1:
            left -= len(step.where) + (0 if step.certain is None else step.certain.shape[1])
        if left == 0:
            return


def _joined(codes: NDArray[np.int64], symbols: NDArray[np.int64], step: Step) -> NDArray[np.int64]:
    """What is known of a plane's codes once this step's digit is added to the earlier ones."""
    if step.radix is None and step.numbering is None:
        return symbols
    numbers = codes[step.where] + symbols * step.place
    return numbers if step.numbering is None or step.place > 1 else step.numbering.codes[numbers]


class GivenCodes:
    """Codes that are there.

    Args:
        planes: flat int64 codes of each plane.
    """

    def __init__(self, planes: Sequence[NDArray[np.int64]]) -> None:
        self._planes = planes

    def symbols(self, step: Step) -> NDArray[np.int64]:
        """The digit or the code at each position."""
        codes = self._planes[step.plane][step.where]
        numbers = codes if step.numbering is None else step.numbering.ranks[codes]
        return numbers if step.radix is None else numbers // step.place % step.radix


class RoundedLatent:
    """Continuous latents, rounded against the means that the model predicts.

    Args:
        planes: flat float64 values of each plane; those of a plane without means are rounded as they are.
        price: how much nearer, in steps, the integer farther from the mean must be for each bit that it costs more; 0 takes
            the nearest.
    """

    def __init__(self, planes: Sequence[NDArray[np.float64]], price: float = 0.0) -> None:
        self._planes, self._price = planes, price

    def symbols(self, step: Step) -> NDArray[np.int64]:
        """round(y - mean), or its neighbour towards 0 where that is enough cheaper."""
        if step.means is None:
            return np.rint(self._planes[step.plane][step.where]).astype(np.int64)
        values = self._planes[step.plane]
        if not self._price or not isinstance(step.tables, Rows):
            return np.rint(values[step.where] - step.means / FIXED_POINT).astype(np.int64)
        symbols, rows = np.empty(len(step.where), np.int64), step.tables
        round_priced(values, step.where, step.means, rows.index, rows.tables.rises, self._price, symbols)
        return symbols


class CodedStreams:
    """Codes from coder streams; planes without a stream keep their expected value, code 0.

    Args:
        streams: one for each of the first planes.
    """

    def __init__(self, streams: Sequence[bytes]) -> None:
        self._decoders = [Decoder(stream) for stream in streams]

    def symbols(self, step: Step) -> NDArray[np.int64]:
        """The next symbols of the plane."""
        if step.plane >= len(self._decoders):
            return np.zeros(len(step.where), np.int64)
        return step.tables.pull(self._decoders[step.plane])

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

    def symbols(self, step: Step) -> NDArray[np.int64]:
        """One draw for each position."""
        return step.tables.draw(self._random)


class StreamWriter:
    """Codes what passes by.

    Args:
        planes: how many; each gets a coder of its own.
    """

    def __init__(self, planes: int) -> None:
        self._encoders = [Encoder() for _ in range(planes)]

    def record(self, step: Step, symbols: NDArray[np.int64]) -> None:
        """Push to the plane's coder."""
        step.tables.push(self._encoders[step.plane], symbols)

    def finish(self) -> list[bytes]:
        """A stream for each plane."""
        return [encoder.finish() for encoder in self._encoders]


class CodeLength:
    """Adds up -log2 of each symbol's share in its integer table, in `bits`."""

    def __init__(self) -> None:
        self.bits = 0.0

    def record(self, step: Step, symbols: NDArray[np.int64]) -> None:
        """Add one step."""
        self.bits += float(step.tables.bits(symbols).sum())


def encode_chunk(model: EntropyModel, planes: Sequence[Tensor]) -> list[bytes]:
    """Planes of one chunk to a coder stream each: int64 codes, or a latent's continuous values, of any grid."""
    writer = StreamWriter(len(planes))
    walk(model, _layout(planes), source_of(model, planes), writer)
    return writer.finish()


def decode_chunk(model: EntropyModel, layout: Layout, streams: Sequence[bytes]) -> list[Tensor]:
    """Streams of the first planes back to int64 planes of the layout's grids; streams' ends and codes' ranges are checked."""
    if len(streams) > len(layout.grids):
        raise BitstreamError(f"there are {len(streams)} streams, the model has {len(layout.grids)} planes")
    source = CodedStreams(streams)
    known = walk(model, layout, source, planes=len(streams))
    source.finish()
    for missing in known.codes[len(streams) :]:
        missing[:] = 0
    for plane, (codes, size) in enumerate(zip(known.codes, model.codebook_sizes, strict=True)):
        if is_outside(codes, size):
            raise BitstreamError(f"codes {codes.min()}..{codes.max()} of plane {plane} leave [0, {size})")
    return [torch.from_numpy(codes).reshape(grid) for codes, grid in zip(known.codes, layout.grids, strict=True)]


def ideal_bits(model: EntropyModel, planes: Sequence[Tensor], past: NDArray[np.int64] | None = None) -> float:
    """Code length of one chunk by the integer tables, after `past` as of a `Layout`: -log2 of each symbol's share."""
    length = CodeLength()
    walk(model, _layout(planes, past), source_of(model, planes), length)
    return length.bits


def batch_bits(model: EntropyModel, planes: Sequence[Tensor], past: NDArray[np.int64] | None = None) -> Tensor:
    """`ideal_bits` of planes `(B, *grid)`, summed over the batch: what `bits` gives in eval. `past` has a batch axis too."""
    chunks = list(zip(*planes, strict=True))
    pasts = [None] * len(chunks) if past is None else past
    found = sum(ideal_bits(model, chunk, one) for chunk, one in zip(chunks, pasts, strict=True))
    return torch.tensor(found, dtype=torch.float64)


def percent_more(bits: float, reference: float) -> float:
    """How much more `bits` are than `reference`, in percent; 0 where both are nothing."""
    return 100 * (bits / reference - 1) if reference else 0.0


def source_of(model: EntropyModel, planes: Sequence[Tensor]) -> Source:
    """The planes of one chunk as a source: `RoundedLatent` of floating-point values, else `GivenCodes`."""
    if len(planes) != len(model.codebook_sizes):
        raise ValueError(f"the model has {len(model.codebook_sizes)} planes, got {len(planes)}")
    flat = [plane.detach().cpu().reshape(-1).numpy() for plane in planes]
    if any(plane.is_floating_point() for plane in planes):
        return RoundedLatent([values.astype(np.float64) for values in flat])
    for plane, (codes, size) in enumerate(zip(flat, model.codebook_sizes, strict=True)):
        if is_outside(codes, size):
            raise ValueError(f"codes of plane {plane} must lie in [0, {size}), got {codes.min()}..{codes.max()}")
    return GivenCodes([codes.astype(np.int64) for codes in flat])


def is_outside(codes: NDArray[np.int64], size: int) -> bool:
    """Whether any code is outside an alphabet of `size`; 0 stands for all integers."""
    return bool(size and codes.size and not 0 <= codes.min() <= codes.max() < size)


def _layout(planes: Sequence[Tensor], past: NDArray[np.int64] | None = None) -> Layout:
    return Layout(tuple(tuple(plane.shape) for plane in planes), past=past)
