"""A video to a file or a pipe, group by group, in constant memory; its sound is a `.lmc` sound of its own, in pieces between."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO, Protocol

import torch
from torch import Tensor

from codec.container import Head, Section, SectionType, VideoFields, Writer
from codec.container.head import HASH_BYTES
from codec.container.times import pace_section, paced, times_section
from codec.media.video import VideoFormat, VideoReader
from codec.models.base import Encoding

LEAD_SECONDS = 1.0  # of sound that stands before the pictures that it belongs to


@dataclass(frozen=True)
class Group:
    """Some frames in a row, in one section of a file.

    Attributes:
        first: index of the first of them.
        count: how many.
        payload: of the section.
        is_entry: whether a decoder can begin with it.
    """

    first: int
    count: int
    payload: bytes
    is_entry: bool


class GroupReading(Protocol):
    """Groups of one video, in order, to frames."""

    def forget(self) -> None:
        """What comes next does not follow what came last."""

    def can_read(self, payload: bytes) -> bool:
        """Whether it follows what is known, or needs nothing."""

    def read(self, payload: bytes, title: str) -> Iterator[Tensor]:
        """Frames uint8 `(3, H, W)`; errors name the title."""


class VideoModel(Protocol):
    """What a file of video needs of a codec."""

    @property
    def alphabets(self) -> tuple[int, ...]:
        """Of the planes that a head lists."""

    def check(self, encoding: Encoding) -> None:
        """Refuse what it cannot do."""

    def groups(self, frames: Iterable[Tensor], rate: Fraction, encoding: Encoding) -> Iterator[Group]:
        """Frames uint8 `(3, H, W)` of one size to groups, as they come."""

    def reader(self, size: tuple[int, int], coding_hash: bytes) -> GroupReading:
        """Of the groups of a video of this height and width, whose head has this hash."""

    def hash_of(self, encoding: Encoding) -> bytes:
        """Of what a decoder of such a file must share."""

    def hashes(self) -> frozenset[bytes]:
        """All that it can read, as heads have them."""


@dataclass(frozen=True)
class CodedSound:
    """The sound of a video, coded.

    Attributes:
        file: a `.lmc` sound, from its first byte on.
        bytes: of it.
        seconds: how long it lasts.
    """

    file: BinaryIO
    bytes: int
    seconds: float


def write_video(
    model: VideoModel, video: VideoReader, sink: BinaryIO, encoding: Encoding, sound: CodedSound | None = None
) -> int:
    """Read, code and write front to back; how many frames there were.

    Args:
        model: of the codec.
        video: to be coded.
        sink: file or pipe.
        encoding: what is asked for.
        sound: of the video.
    """
    model.check(encoding)
    format = video.format
    pace = 1 / (format.rate * format.time_base)
    base = format.time_base
    fields = VideoFields(format.width, format.height, 0, base.numerator, base.denominator)
    head = Head(fields, model.hash_of(encoding)[:HASH_BYTES], model.alphabets, chunk_major=True)
    writer, ticks, done = Writer(sink, head), list[int](), 0
    for section in (pace_section(pace), *_tags(format, video.sound_start if sound is not None else None)):
        writer.write(section)

    def frames() -> Iterator[Tensor]:
        for picture in video.pictures():
            ticks.append(picture.ticks)
            yield torch.from_numpy(picture.pixels)

    for group in model.groups(frames(), format.rate, encoding):
        own, ticks[:] = ticks[: group.count], ticks[group.count :]
        if sound is not None:
            _write_sound(writer, sound, float(own[-1] * base - video.sound_start) + LEAD_SECONDS, group.first)
        if own != [paced(group.first + i, pace) for i in range(group.count)]:
            writer.write(times_section(group.first, own))
        payload = Section(SectionType.CODES, chunk=group.first, payload=group.payload)
        writer.write(payload, indexed=group.is_entry)
        done = group.first + group.count
        sink.flush()
    if sound is not None:
        _write_sound(writer, sound, float("inf"), done)
    writer.finish(done, index=True)
    return done


def _write_sound(writer: Writer, sound: CodedSound, until: float, chunk: int) -> None:
    """What of a coded sound lasts until a time, about: a file of it has as many bytes in one second as in another."""
    share = min(1.0, max(0.0, until / sound.seconds)) if sound.seconds > 0 else 1.0
    piece = sound.file.read(round(share * sound.bytes) - sound.file.tell())
    if piece:
        writer.write(Section(SectionType.SOUND, chunk=chunk, payload=piece))


def _tags(format: VideoFormat, sound_start: Fraction | None) -> list[Section]:
    """What a video in 4:2:0 whose sound begins with its pictures does not have."""
    kept: dict[str, str] = {}
    if format.chroma != "420":
        kept["chroma"] = format.chroma
    if sound_start:
        kept["sound_start"] = str(sound_start)
    if format.tags:
        kept["tags"] = json.dumps(dict(format.tags), ensure_ascii=False)
    return [Section(SectionType.TAGS, payload=json.dumps(kept, ensure_ascii=False).encode())] if kept else []
