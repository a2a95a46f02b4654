"""When the pictures of a video are shown: at an even pace, said once, and where they are not, one tick each."""

import io
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

from codec.container.byte_reader import ByteReader, pack_varint
from codec.container.sections import Section, SectionType
from codec.errors import BitstreamError

MOST_PICTURES = 1 << 16  # in one section


def pace_section(pace: Fraction) -> Section:
    """The section that says how many ticks lie between two pictures."""
    return Section(SectionType.PACE, payload=pack_varint(pace.numerator) + pack_varint(pace.denominator))


def parse_pace(payload: bytes) -> Fraction:
    """The reverse."""
    source = ByteReader(io.BytesIO(payload))
    source.begin("pace")
    numerator, denominator = source.take_varint(), source.take_varint()
    if not numerator or not denominator or source.position != len(payload):
        raise BitstreamError(f"it must be a fraction above 0, it says {payload.hex()}", "pace")
    return Fraction(numerator, denominator)


def paced(picture: int, pace: Fraction) -> int:
    """The tick of a picture by its number, halves rounded up."""
    return (2 * picture * pace.numerator + pace.denominator) // (2 * pace.denominator)


def times_section(first: int, ticks: Sequence[int]) -> Section:
    """The section of pictures from number `first` on whose rising ticks are not those of the pace."""
    steps = [ticks[0], *(later - earlier for earlier, later in pairwise(ticks))]
    return Section(SectionType.TIMES, chunk=first, payload=b"".join(map(pack_varint, steps)))


def parse_times(section: Section) -> list[int]:
    """The reverse."""
    source = ByteReader(io.BytesIO(section.payload))
    source.begin(section.title)
    ticks: list[int] = []
    while source.position < len(section.payload) and len(ticks) < MOST_PICTURES:
        step = source.take_varint()
        if ticks and not step:
            raise BitstreamError("two pictures have one time", section.title)
        ticks.append(step + (ticks[-1] if ticks else 0))
    if not ticks or source.position != len(section.payload):
        raise BitstreamError(f"it has times of 1 to {MOST_PICTURES} pictures", section.title)
    return ticks
