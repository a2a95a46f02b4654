"""What a sound file is, and sound as it is read: blocks of float32 samples, full scale 1, checked on their way.

Samples are `(n, C)`, channels in the order of WAVE files: left, right, centre, low frequencies, then the back.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from codec.errors import MediaError

if TYPE_CHECKING:  # whoever reads block by block needs no torch
    from codec.types import Media

Samples = NDArray[np.float32]
Encoding = Literal["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT"]
ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)
MIN_RATE, MAX_RATE, MAX_CHANNELS = 1_000, 1_536_000, 256  # of converters: the fastest there are make 768 kHz
TAGS = ("title", "artist", "album", "date", "genre", "tracknumber", "comment", "copyright", "license")
"""Names of the tags that are kept."""

BLOCK = 1 << 16  # samples at once where a whole sound is wanted


@dataclass(frozen=True)
class SoundFormat:
    """All of a sound file but its samples.

    Attributes:
        rate: samples a second.
        channels: 1 is mono, 2 left and right.
        encoding: of its samples, in libsndfile's words; `PCM_16` where the file is compressed.
        tags: texts by names of `TAGS`.
    """

    rate: int
    channels: int
    encoding: Encoding = "PCM_16"
    tags: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not MIN_RATE <= self.rate <= MAX_RATE:
            raise ValueError(f"its rate must lie in {MIN_RATE:,}..{MAX_RATE:,} samples a second, got {self.rate:,}")
        if not 1 <= self.channels <= MAX_CHANNELS:
            raise ValueError(f"it must have 1 to {MAX_CHANNELS} channels, got {self.channels}")
        if self.encoding not in ENCODINGS:
            raise ValueError(f"its encoding must be one of {', '.join(ENCODINGS)}, got {self.encoding!r}")


@dataclass(frozen=True)
class SoundReader:
    """An open sound, read once, from front to back.

    Attributes:
        format: of the sound.
        frames: how many samples a channel has; None if only the end will tell.
        name: how errors name it.
        pieces: gives the samples in pieces of any length; the argument is the length that will be wanted.
    """

    format: SoundFormat
    frames: int | None
    name: str
    pieces: Callable[[int], Iterable[Samples]] = field(repr=False)

    @classmethod
    def of(cls, media: "Media") -> "SoundReader":
        """A whole sound that is there already."""
        samples = media.samples.detach().cpu().numpy()
        format = unpack_format(media.rate, len(samples), media.metadata)

        def pieces(size: int) -> Iterator[Samples]:
            for start in range(0, samples.shape[1], size):
                yield np.ascontiguousarray(samples[:, start : start + size].T)

        return cls(format, samples.shape[1], "the sound", pieces)

    def read(self) -> "Media":
        """All of it at once."""
        import torch

        from codec.types import Media

        channels_first = np.concatenate([block.T for block in self.blocks(BLOCK)], 1)
        return Media("audio", torch.from_numpy(channels_first), pack_format(self.format), self.format.rate)

    def blocks(self, size: int) -> Iterator[Samples]:
        """All samples in blocks of `size`, the last one shorter.

        Raises:
            MediaError: for damage, samples that are no numbers, and fewer samples than the file claims to have.
        """
        if size < 1:
            raise ValueError(f"a block has at least one sample, got {size}")
        done = 0
        for block in _blocks_of(self._pieces(size), size):
            refuse_infinite(block, done, self.format.rate, f"cannot read {self.name}")
            done += len(block)
            yield block
        if not done:
            raise no_samples(self.name)
        if self.frames is not None and done < self.frames:
            raise shortened(self.name, claimed=self.frames, found=done, rate=self.format.rate)

    def _pieces(self, size: int) -> Iterator[Samples]:
        """Not more samples than there should be: some decoders fill their last packet up."""
        left = self.frames
        for piece in self.pieces(size):
            yield piece[:left]
            if left is not None:
                left -= len(piece)
                if left <= 0:
                    return


def _blocks_of(pieces: Iterable[Samples], size: int) -> Iterator[Samples]:
    waiting: list[Samples] = []
    count = 0
    for piece in pieces:
        start = 0
        while count + len(piece) - start >= size:
            end = start + size - count
            yield _joined([*waiting, piece[start:end]])
            waiting, count, start = [], 0, end
        waiting.append(piece[start:])
        count += len(piece) - start
    if count:
        yield _joined(waiting)


def _joined(pieces: list[Samples]) -> Samples:
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


def refuse_infinite(block: Samples, first: int, rate: int, failure: str) -> None:
    """Raise for a NaN or an infinity.

    Args:
        block: `(n, C)`.
        first: samples before the block.
        rate: samples a second.
        failure: how the sentence begins.
    """
    finite = np.isfinite(block)
    if not finite.all():
        frame, channel = np.argwhere(~finite)[0]
        value, seconds = block[frame, channel], (first + frame) / rate
        raise MediaError(
            f"{failure}: its sample at {seconds:.6f} s in channel {channel + 1} is {value}, not a number within float32; "
            "repair it with the program that made it"
        )


def no_samples(name: str) -> MediaError:
    """A file of sound without any."""
    return MediaError(f"cannot read {name}: it holds no samples")


def shortened(name: str, *, claimed: int, found: int, rate: int) -> MediaError:
    """A file that ends before its header says."""
    return MediaError(
        f"cannot read {name}: damaged or truncated: it claims {claimed:,} samples ({claimed / rate:.3f} s) and holds "
        f"{found:,} ({found / rate:.3f} s); copy it again, or export what is there with a sound editor"
    )


def pack_format(format: SoundFormat) -> dict[str, bytes]:
    """Encoding and tags as metadata of `Media`."""
    tags = {"tags": json.dumps(dict(format.tags), ensure_ascii=False).encode()} if format.tags else {}
    return {"encoding": format.encoding.encode(), **tags}


def unpack_format(rate: int, channels: int, metadata: Mapping[str, bytes]) -> SoundFormat:
    """The reverse; metadata may come from a stranger's file, so what cannot be used counts as absent."""
    encoding = metadata.get("encoding", b"").decode("ascii", "replace")
    try:
        tags = json.loads(metadata.get("tags", b"{}"))
    except ValueError:
        tags = {}
    known = {name: str(tags[name]) for name in TAGS if tags.get(name)} if isinstance(tags, dict) else {}
    return SoundFormat(rate, channels, encoding if encoding in ENCODINGS else "PCM_16", known)
