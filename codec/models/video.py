"""What codecs of video share: whole files and pipes, through a reader and a writer of groups."""

import hashlib
import io
from abc import abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import BinaryIO

import torch
from torch import Tensor

from codec.errors import UsageError
from codec.media.video import VideoFormat, VideoFrame, VideoReader, chroma_for
from codec.models.base import PLAIN, Encoding
from codec.models.sound_reading import WHOLE, Excerpt
from codec.models.video_reading import CodedVideo, OpenSound, open_coded_video
from codec.models.video_writing import CodedSound, Group, GroupReading, write_video
from codec.types import Media, MediaKind


@dataclass(frozen=True)
class VideoCodes:
    """What the lossless half of a decoder makes of a file, in constant memory.

    Attributes:
        frames: how many there are.
        digest: SHA-256 of all codes.
    """

    frames: int
    digest: bytes


class VideoFiles:
    """Files of video for a codec that makes and reads groups; a mixin."""

    kind: MediaKind = "video"

    @property
    @abstractmethod
    def alphabets(self) -> tuple[int, ...]:
        """Of the planes that a head lists."""

    @abstractmethod
    def check(self, encoding: Encoding) -> None:
        """Refuse what it cannot do."""

    @abstractmethod
    def groups(self, frames: Iterable[Tensor], rate: Fraction, encoding: Encoding = PLAIN) -> Iterator[Group]:
        """Frames uint8 `(3, H, W)` of one size to groups, as they come."""

    @abstractmethod
    def reader(self, size: tuple[int, int], coding_hash: bytes) -> GroupReading:
        """Of the groups of a video of this height and width, whose head has this hash."""

    @abstractmethod
    def codes_reader(self, size: tuple[int, int], coding_hash: bytes) -> GroupReading:
        """The same without pictures: of each frame its codes, flat int64."""

    @abstractmethod
    def hash_of(self, encoding: Encoding) -> bytes:
        """Of what a decoder of such a file must share."""

    @abstractmethod
    def hashes(self) -> frozenset[bytes]:
        """All that it can read, as heads have them."""

    def write(
        self, video: VideoReader, sink: BinaryIO, encoding: Encoding = PLAIN, sound: CodedSound | None = None
    ) -> int:
        """A video of any length, read, coded and written group by group; how many frames it had."""
        return write_video(self, video, sink, encoding, sound)

    def compress(self, media: Media, encoding: Encoding = PLAIN) -> bytes:
        """Pictures `(3, T, H, W)` to the bytes of a `.lmc` file; `rate` in the metadata is a fraction, 25 without it."""
        sink = io.BytesIO()
        self.write(reader_of(media), sink, encoding)
        return sink.getvalue()

    def open(
        self,
        source: BinaryIO,
        *,
        partial: bool = False,
        excerpt: Excerpt = WHOLE,
        open_sound: OpenSound | None = None,
        name: str = "the file",
    ) -> VideoReader:
        """A `.lmc` file or pipe as a video that is decoded while it is read."""
        return open_coded_video(self, source, name=name, partial=partial, excerpt=excerpt, open_sound=open_sound)

    def decompress(self, data: bytes, *, partial: bool = False) -> Media:
        """The bytes of a `.lmc` file to pictures `(3, T, H, W)`."""
        video = self.open(io.BytesIO(data), partial=partial)
        return media_of(video.pictures(), video.format)

    def read_codes(self, source: BinaryIO, *, partial: bool = False) -> VideoCodes:
        """Only the lossless half of `decompress`: all codes of a file, checked."""
        found, count = hashlib.sha256(), 0
        coded = CodedVideo(self.hashes(), source, partial=partial)
        for one in coded.shown(self.codes_reader(coded.size, coded.coding_hash)):
            found.update(one.found.numpy().tobytes())
            count += 1
        return VideoCodes(count, found.digest())


def media_of(frames: Iterable[VideoFrame], format: VideoFormat) -> Media:
    """All frames of a video as pictures `(3, T, H, W)`."""
    pictures = [torch.from_numpy(frame.pixels) for frame in frames]
    return Media("video", torch.stack(pictures, 1), {"rate": str(format.rate).encode()})


def reader_of(media: Media) -> VideoReader:
    """Pictures `(3, T, H, W)` as a video that is read from front to back."""
    try:
        rate = Fraction(media.metadata.get("rate", b"25").decode())
    except (ValueError, ZeroDivisionError) as error:
        raise UsageError(f"the rate of a video must be a fraction, got {media.metadata['rate']!r}") from error
    _, _, height, width = media.samples.shape
    pictures = (VideoFrame(media.samples[:, t].contiguous().numpy(), t) for t in range(media.samples.shape[1]))
    format = VideoFormat(width, height, 1 / rate, rate, chroma_for(width, height, "444"))
    return VideoReader(format, media.samples.shape[1], "the video", pictures)
