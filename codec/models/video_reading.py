"""A file or a pipe of groups to a video, decoded while it is read; pictures and sound are pulled independently."""

import io
import json
import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import BinaryIO, cast

from torch import Tensor

from codec.container import AudioFields, Reader, Section, SectionType, VideoFields, describe, find_index
from codec.container.times import paced, parse_pace, parse_times
from codec.errors import BitstreamError, ModelMismatchError, UsageError
from codec.media.sound import TAGS, SoundReader
from codec.media.video import VideoFormat, VideoFrame, VideoReader, chroma_for
from codec.models.sound_reading import WHOLE, Excerpt
from codec.models.video_writing import GroupReading, VideoModel

MOST_LOST = 1 << 16  # pictures in a row: beyond it a number is no loss but damage
OpenSound = Callable[[BinaryIO, Excerpt], SoundReader]


class Sections:
    """The sections of one file, handed to whoever pulls: pictures get theirs, sound its own.

    Args:
        reader: of the file.
        keep_sound: whether anyone will ask for sound.
    """

    def __init__(self, reader: Reader, *, keep_sound: bool) -> None:
        self._sections, self._keep_sound = iter(reader), keep_sound
        self._pictures: deque[Section] = deque()
        self._sound = bytearray()
        self.lead = self._read_lead()

    def pictures(self) -> Iterator[Section]:
        """CODES and TIMES, in order."""
        while self._pictures or self._pull():
            while self._pictures:
                yield self._pictures.popleft()

    def read(self, size: int) -> bytes:
        """The next bytes of the sound; fewer only at its end."""
        while len(self._sound) < size and self._pull():
            pass
        piece = bytes(self._sound[:size])
        del self._sound[:size]
        return piece

    def seekable(self) -> bool:
        """It cannot."""
        return False

    @property
    def has_sound(self) -> bool:
        """Whether sound came before the first pictures, as all sound begins."""
        return bool(self._sound)

    def _read_lead(self) -> dict[SectionType, bytes]:
        """What stands before all pictures."""
        lead: dict[SectionType, bytes] = {}
        while not self._pictures:
            section = next(self._sections, None)
            if section is None:
                break
            if section.type in (SectionType.PACE, SectionType.TAGS):
                lead[section.type] = section.payload
            else:
                self._take(section)
        return lead

    def _pull(self) -> bool:
        """Take one section from the file, if there is one."""
        section = next(self._sections, None)
        if section is not None:
            self._take(section)
        return section is not None

    def _take(self, section: Section) -> None:
        if section.type == SectionType.SOUND:
            if self._keep_sound:
                self._sound += section.payload
        elif section.type in (SectionType.CODES, SectionType.TIMES):
            self._pictures.append(section)


@dataclass(frozen=True)
class Shown:
    """What a group reader made of one picture, by its number and its tick."""

    found: Tensor
    number: int
    ticks: int


class CodedVideo:
    """A file or pipe of groups, opened; its head and what stands before all pictures have been read.

    Args:
        hashes: that the codec can read.
        source: file or pipe.
        partial: pass over what is damaged instead of refusing it.
        keep_sound: whether anyone will ask for sound.

    Attributes:
        format: of the video.
        pace: ticks from one picture to the next, unless TIMES says otherwise.
        sound_start: seconds from the first picture to the first sample.
        sections: of the file.
        coding_hash: in its head.
    """

    def __init__(self, hashes: frozenset[bytes], source: BinaryIO, *, partial: bool, keep_sound: bool = False) -> None:
        self._source, self._partial = source, partial
        self._reader = Reader(source, partial=partial)
        fields, self.coding_hash = self._reader.head.fields, self._reader.head.coding_hash
        if not isinstance(fields, VideoFields):
            raise BitstreamError("this file does not hold a video", section="head")
        if self.coding_hash not in hashes:
            known = " or ".join(sorted(one.hex() for one in hashes))
            raise ModelMismatchError(f"the file needs model {self.coding_hash.hex()}, this is {known}", "head")
        self.sections = Sections(self._reader, keep_sound=keep_sound)
        self.format, self.sound_start = _format(fields, self.sections.lead)
        self.pace = 1 / (self.format.rate * self.format.time_base)
        self._begin = 0

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.format.height, self.format.width

    def skip_to(self, picture: int) -> None:
        """Go on, in a file that can seek, at the last entry of its index that is not behind a picture."""
        position = self._reader.bytes_read
        entries = [entry for entry in find_index(self._source) or () if entry.chunk <= picture]
        if not entries or not entries[-1].chunk:
            self._source.seek(position)
            return
        self._reader.jump(entries[-1].offset)
        self._begin = entries[-1].chunk

    def shown(self, groups: GroupReading) -> Iterator[Shown]:
        """All pictures from here on; those that damage took repeat the one before them, if that is allowed."""
        last: Tensor | None = None
        number, times = self._begin, dict[int, list[int]]()
        for section in self.sections.pictures():
            if section.chunk < self._begin:
                continue  # read before the jump
            if section.type == SectionType.TIMES:
                times[section.chunk] = parse_times(section)
                continue
            self._check_gap(section, section.chunk - number)
            if section.chunk > number:
                groups.forget()
                if self._partial and not groups.can_read(section.payload):
                    continue  # its pictures are a gap before the next group that can be read
                yield from self._repeated(last, number, section.chunk)
            number = section.chunk
            try:
                for one in self._group(groups, section, times.pop(number, None)):
                    last, number = one.found, one.number + 1
                    yield one
            except BitstreamError:
                if not self._partial:
                    raise
                groups.forget()
        end = self._reader.length
        if self._partial and end is not None and number < end <= number + MOST_LOST:
            yield from self._repeated(last, number, end)
        self._check_end(last, number)

    def _group(self, groups: GroupReading, section: Section, times: list[int] | None) -> Iterator[Shown]:
        for i, found in enumerate(groups.read(section.payload, section.title)):
            if times is not None and i >= len(times):
                raise BitstreamError(f"it has times of {len(times)} pictures, there are more", section.title)
            number = section.chunk + i
            yield Shown(found, number, paced(number, self.pace) if times is None else times[i])

    def _repeated(self, last: Tensor | None, first: int, end: int) -> Iterator[Shown]:
        if last is not None:
            yield from (Shown(last, number, paced(number, self.pace)) for number in range(first, end))

    def _check_gap(self, section: Section, gap: int) -> None:
        if gap < 0 or gap > (MOST_LOST if self._partial else 0):
            fault = "it is there twice" if gap < 0 else f"{gap} pictures before it are missing"
            raise BitstreamError(fault, section.title)

    def _check_end(self, last: Tensor | None, number: int) -> None:
        if last is None:
            raise BitstreamError("no group of pictures is whole", "codes")
        if not self._partial and self._reader.length != number:
            raise BitstreamError(f"it says {self._reader.length} pictures, the groups have {number}", "end")


def open_coded_video(
    model: VideoModel,
    source: BinaryIO,
    *,
    name: str = "the file",
    partial: bool = False,
    excerpt: Excerpt = WHOLE,
    open_sound: OpenSound | None = None,
) -> VideoReader:
    """A coded video as one that is read from front to back.

    Args:
        model: of the codec.
        source: file or pipe; a file if it is to begin later than at its start.
        name: how errors name it.
        partial: repeat the last picture where damage took some, instead of refusing.
        excerpt: what is wanted.
        open_sound: decodes an excerpt of the sound; it is left out if None.
    """
    if excerpt.start and not source.seekable():
        raise UsageError("only a file can be decoded from a later second on, not a pipe")
    track = _sound_track(source) if excerpt.start and open_sound is not None else None
    coded = CodedVideo(model.hashes(), source, partial=partial, keep_sound=track is None and open_sound is not None)
    base = coded.format.time_base
    first = math.ceil(_exact(excerpt.start) / base)
    end = None if excerpt.duration is None else first + max(1, int(_exact(excerpt.duration) / base))
    if first:
        coded.skip_to(int(first / coded.pace))

    def pictures() -> Iterator[VideoFrame]:
        begin = None
        for one in coded.shown(model.reader(coded.size, coded.coding_hash)):
            if end is not None and one.ticks >= end:
                break
            if one.ticks >= first:
                begin = one.ticks if begin is None else begin
                yield VideoFrame(one.found.numpy(), one.ticks - begin)
        if begin is None:
            raise UsageError(f"nothing of {name} is left from {excerpt.start} s on")

    video = VideoReader(coded.format, None, name, pictures(), None, coded.sound_start)
    if open_sound is None or not (coded.sections.has_sound or track):
        return video
    part, sound_start = _part_of_sound(excerpt, coded.sound_start)
    if track is not None and part.start >= _seconds(track):
        return video
    sound = open_sound(cast(BinaryIO, coded.sections) if track is None else io.BytesIO(track), part)
    return replace(video, sound=sound, sound_start=sound_start)


def _exact(seconds: float) -> Fraction:
    """The fraction that was meant by a decimal."""
    return Fraction(seconds).limit_denominator(1_000_000)


def _sound_track(source: BinaryIO) -> bytes:
    """The whole coded sound of a file, which is left where it was."""
    position = source.tell()
    found = b"".join(section.payload for section in Reader(source, partial=True) if section.type == SectionType.SOUND)
    source.seek(position)
    return found


def _seconds(track: bytes) -> float:
    """How long a coded sound lasts."""
    description = describe(io.BytesIO(track), partial=True)
    fields = cast(AudioFields, description.head.fields)
    return (fields.samples or description.length or 0) / fields.rate_hz


def _part_of_sound(excerpt: Excerpt, sound_start: Fraction) -> tuple[Excerpt, Fraction]:
    """What of the sound belongs to an excerpt of the pictures, and when it begins after the first of these."""
    begin = _exact(excerpt.start) - sound_start if excerpt.start else Fraction(0)
    start = sound_start if not excerpt.start else max(Fraction(0), -begin)
    left = None if excerpt.duration is None else max(1e-3, excerpt.duration - float(start))
    return Excerpt(float(max(Fraction(0), begin)), left), start


def _format(fields: VideoFields, lead: dict[SectionType, bytes]) -> tuple[VideoFormat, Fraction]:
    """All of the video but its pictures, and when its sound begins."""
    if SectionType.PACE not in lead:
        raise BitstreamError("PACE is missing, which says when pictures are shown", "codes")
    base = Fraction(fields.time_base_numerator, fields.time_base_denominator)
    rate = 1 / (parse_pace(lead[SectionType.PACE]) * base)
    try:
        kept = json.loads(lead.get(SectionType.TAGS, b"{}"))
        start = Fraction(str(kept.get("sound_start", 0)))
        texts = json.loads(str(kept.get("tags", "{}")))
        tags = {tag: str(text) for tag, text in texts.items() if tag in TAGS}
        chroma = chroma_for(fields.width, fields.height, "444" if kept.get("chroma") == "444" else "420")
        return VideoFormat(fields.width, fields.height, base, rate, chroma, tags), start
    except (ValueError, AttributeError, ZeroDivisionError) as error:
        raise BitstreamError(f"they are not what this format has ({error})", "tags") from error
