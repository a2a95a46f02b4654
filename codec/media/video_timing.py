"""The times of pictures: ticks that strictly rise, whatever the timestamps of a file are worth."""

from fractions import Fraction
from math import gcd
from typing import Any

from codec.media.video import MAX_TERM, UNKNOWN_RATE

SLOWEST, FASTEST = Fraction(1, 1000), Fraction(1000)  # frames a second that are believed
JUMP_SECONDS = 1  # back: more is the beginning of another recording, not an error of order
MILLISECOND = Fraction(1, 1000)  # to which Matroska rounds


class Clock:
    """Turns timestamps into ticks: 0 for the first picture, and more for each that follows.

    A missing timestamp is one frame later than the last picture; one that is equal or earlier becomes one tick later. One that
    is much earlier, as where recordings were joined, counts as missing, and those behind it are measured from there. Whole
    milliseconds that are the rounded time of a frame at the nominal rate become that time.

    Args:
        unit: of the timestamps, in seconds.
        rate: frames a second.

    Attributes:
        time_base: seconds a tick; finer than the unit where frames do not last whole milliseconds.
    """

    def __init__(self, unit: Fraction, rate: Fraction) -> None:
        self._unit, self._rate = unit, rate
        fine = common_tick(unit, 1 / rate)
        self.time_base = fine if unit == MILLISECOND and fine.denominator <= MAX_TERM else unit
        self._step, self._jump = 1 / (rate * self.time_base), JUMP_SECONDS / self.time_base
        self._origin: Fraction | None = None
        self._last, self._next = -1, Fraction(0)

    def tick(self, timestamp: int | None) -> int:
        """The tick of the next picture."""
        wanted = self._next if timestamp is None else self._since_origin(timestamp)
        late = round(wanted) <= self._last
        self._last = self._last + 1 if late else round(wanted)
        self._next = (self._last if late else wanted) + self._step  # not from the rounded one, which would drift
        return self._last

    def _since_origin(self, timestamp: int) -> Fraction:
        place = self._place(timestamp)
        if self._origin is None or place - self._origin < self._last - self._jump:
            self._origin = place - round(self._next)
        return place - self._origin

    def _place(self, timestamp: int) -> Fraction:
        """Ticks from the zero of the file."""
        said = timestamp * self._unit
        own = round(said * self._rate) / self._rate
        meant = own if self.time_base != self._unit and abs(own - said) <= self._unit / 2 else said
        return meant / self.time_base


def nominal_rate(stream: Any) -> Fraction:
    """Frames a second of a stream of FFmpeg's; 25 if it does not know, or says what cannot be."""
    for rate in (stream.guessed_rate, stream.average_rate):
        if rate and SLOWEST <= rate <= FASTEST:
            return Fraction(rate)
    return UNKNOWN_RATE


def common_tick(a: Fraction, b: Fraction) -> Fraction:
    """The largest fraction of which both are multiples."""
    return Fraction(gcd(a.numerator * b.denominator, b.numerator * a.denominator), a.denominator * b.denominator)
