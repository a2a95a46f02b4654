"""Sound from one rate to another as a stream: what comes out does not depend on how the input is cut.

Smith, Gossett 1984, "A flexible sampling-rate conversion method": every output sample is a sum over the inputs around its own
time, weighted by a windowed sinc that is looked up in a table. Times are fractions, so no ratio of rates is special, and no error
adds up. The window is Kaiser's, its transition below half of the lower rate.
"""

from collections.abc import Iterable, Iterator
from functools import cache, cached_property
from math import gcd

import numpy as np
from numba import njit
from numpy.typing import NDArray

from codec.media.sound import Samples

CROSSINGS = 64  # zero crossings of the sinc to either side
PER_CROSSING = 512  # entries of the table, between which it is linear: an error of -115 dB
ROLLOFF, BETA = 0.9476, 14.77  # of the band that is kept; of the window, -120 dB beyond it
BLOCK = 1 << 11  # inputs that are worth a call
MOST_WEIGHTS = 1 << 21  # that are kept, 16 MB


class Resampler:
    """Converts `(n, C)` blocks of one sound.

    Args:
        source: rate of the input.
        target: rate of the output.

    Attributes:
        reach: inputs to either side that an output depends on.
    """

    def __init__(self, source: int, target: int) -> None:
        divisor = gcd(source, target)
        self.up, self.down = target // divisor, source // divisor  # `up` outputs for `down` inputs
        self._band = ROLLOFF * min(1.0, self.up / self.down)  # share of half the source's rate that is kept
        self.reach = int(np.ceil(CROSSINGS / self._band))

    def length(self, frames: int) -> int:
        """Outputs for so many inputs: those whose time lies within them."""
        return -(-frames * self.up // self.down)

    def blocks(self, blocks: Iterable[Samples], begin: int = 0) -> Iterator[Samples]:
        """The sound at the new rate, in blocks of any length: from the output `length(begin)` on, if `begin` inputs lie before it."""
        if self.up == self.down:
            yield from blocks
            return
        kept: Samples | None = None  # inputs from `first` on; before the sound lies silence
        first, seen, done = begin - self.reach, begin, self.length(begin)
        for block in blocks:
            seen += len(block)
            kept = np.concatenate([_silence(self.reach, block) if kept is None else kept, block])
            if len(kept) < 2 * self.reach + BLOCK:
                continue
            ready = max(done, self.length(seen - self.reach - 1))
            yield self._turned(kept, first, done, ready)
            done, needed = ready, ready * self.down // self.up - self.reach
            kept, first = kept[needed - first :], needed
        if kept is not None:
            padded = np.concatenate([kept, _silence(self.reach + 2, kept)])
            yield self._turned(padded, first, done, self.length(seen))

    def _turned(self, inputs: Samples, first: int, begin: int, end: int) -> Samples:
        """Outputs `begin` to `end` from inputs `(n, C)` that start at `first`."""
        outputs = np.empty((inputs.shape[1], end - begin), np.float32)
        channels = np.ascontiguousarray(inputs.T, np.float64)
        ratio = (self.up, self.down)
        _interpolate(channels, first, begin, ratio, self._band, self.reach, _table(), self._weights, outputs)
        return np.ascontiguousarray(outputs.T)

    @cached_property
    def _weights(self) -> NDArray[np.float64]:
        """Weights of the inputs `(up, 2 reach + 2)` for each place between two of them; none where there are too many places."""
        width = 2 * self.reach + 2
        rows = np.empty((self.up if self.up * width <= MOST_WEIGHTS else 0, width))
        for i, row in enumerate(rows):
            _weigh(i / self.up, self._band, self.reach, _table(), row)
        return rows


def resampled(samples: Samples, source: int, target: int) -> Samples:
    """A whole sound `(n, C)` at another rate."""
    return np.concatenate([samples[:0], *Resampler(source, target).blocks([samples])])


def _silence(count: int, like: Samples) -> Samples:
    return np.zeros((count, like.shape[1]), np.float32)


@cache
def _table() -> NDArray[np.float64]:
    """Half of the windowed sinc, PER_CROSSING entries from one zero to the next, and one 0 more."""
    time = np.arange(CROSSINGS * PER_CROSSING + 1) / PER_CROSSING
    window = np.i0(BETA * np.sqrt(np.maximum(0, 1 - (time / CROSSINGS) ** 2))) / np.i0(BETA)
    return np.append(np.sinc(time) * window, 0.0)


@njit(cache=True, nogil=True)
def _weigh(part: float, band: float, reach: int, table: NDArray[np.float64], row: NDArray[np.float64]) -> None:
    """Weights of inputs -reach … reach + 1 for an output that lies `part` of a step behind input 0."""
    last = table.size - 2
    for k in range(row.size):
        distance = min(abs(k - reach - part) * band * PER_CROSSING, float(last))
        entry = int(distance)
        row[k] = band * (table[entry] + (distance - entry) * (table[entry + 1] - table[entry]))


@njit(cache=True, nogil=True, fastmath={"reassoc", "contract", "nsz"})
def _interpolate(
    inputs: NDArray[np.float64],
    first: int,
    begin: int,
    ratio: tuple[int, int],
    band: float,
    reach: int,
    table: NDArray[np.float64],
    weights: NDArray[np.float64],
    outputs: Samples,
) -> None:
    """Output n lies at input n down / up; inputs and outputs are `(C, n)`."""
    up, down = ratio
    own = np.empty(weights.shape[1])
    for i in range(outputs.shape[1]):
        place = (begin + i) * down
        start, phase = place // up - reach - first, place % up
        if weights.shape[0]:
            row = weights[phase]
        else:
            _weigh(phase / up, band, reach, table, own)
            row = own
        for c in range(outputs.shape[0]):
            seen, total = inputs[c, start : start + row.size], 0.0
            for k in range(row.size):
                total += row[k] * seen[k]
            outputs[c, i] = total
