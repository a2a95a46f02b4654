"""Sound that FFmpeg decodes, through PyAV: the track of an MP4, WebM or Matroska file, AAC, and whatever libsndfile cannot read."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import av
import numpy as np

from codec.errors import MediaError
from codec.media.samples import to_unit
from codec.media.sound import TAGS, Encoding, Samples, SoundFormat, SoundReader, shortened
from codec.media.sources import damaged

# Of the formats that FFmpeg would guess at, those that are one file of sound: none that names other files or addresses.
DEMUXERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,aac,ac3,eac3,ogg,asf,avi,flv,mpeg,mpegts,mp3,wav,w64,aiff,caf,flac,amr,ape,tta,wv"
OTHER_NAMES = {"track": "tracknumber"}
SLACK_SECONDS = 0.25  # by which containers round the lengths that they say
PLANAR = {"u8p": "u1", "s16p": "i2", "s32p": "i4", "s64p": "i8", "fltp": "f4", "dblp": "f8"}
MAX_CHANNELS = 8
LOSSLESS = ("flac", "alac", "ape", "tta", "wavpack")


@contextmanager
def open_av(file: BinaryIO, name: str) -> Iterator[SoundReader]:
    """A reader of the best sound track of an open file that seeks."""
    file.seek(0)
    try:
        container = av.open(file, options={"format_whitelist": DEMUXERS}, metadata_errors="replace")
    except av.FFmpegError as error:
        raise MediaError(
            f"cannot read {name}: it is damaged, or no sound: use WAV, FLAC, Ogg, MP3, M4A or another common format"
        ) from error
    with container:
        track = container.streams.best("audio")
        if track is None:
            raise MediaError(f"cannot read {name}: it has no sound track")
        if track.codec_context is None:
            raise MediaError(f"cannot read {name}: its sound is of a kind that is not known; convert it to WAV or FLAC")
        yield _reader(container, track, name)


def _reader(container: Any, track: Any, name: str) -> SoundReader:
    found = {
        OTHER_NAMES.get(key.lower(), key.lower()): text
        for key, text in {**track.metadata, **container.metadata}.items()
    }
    tags = {tag: found[tag] for tag in TAGS if found.get(tag)}
    format = SoundFormat(track.rate or 0, track.channels or 0, _encoding(track.codec_context), tags)
    if format.channels > MAX_CHANNELS:
        raise ValueError(
            f"it has {format.channels} channels, of such a file up to {MAX_CHANNELS} are read; convert it to WAV"
        )
    claimed, limit = _claimed_seconds(container, track), _length(container, track)

    def pieces(size: int) -> Iterator[Samples]:
        done = 0
        try:
            for frame in container.decode(track):
                if (frame.sample_rate, len(frame.layout.channels)) != (format.rate, format.channels):
                    raise damaged(name, "its rate or channels change on the way")
                yield _samples(frame)[: None if limit is None else max(0, limit - done)]
                done += frame.samples
        except av.FFmpegError as error:
            raise damaged(name, str(error.strerror)) from error
        if done < (claimed - SLACK_SECONDS) * format.rate:
            raise shortened(name, claimed=round(claimed * format.rate), found=done, rate=format.rate)

    return SoundReader(format, None, name, pieces)


def _samples(frame: Any) -> Samples:
    """`(n, C)` of one decoded frame.

    Of 8 planes `frame.planes` gives 9, and `to_ndarray` breaks off at the one that is not there.
    """
    if not frame.format.is_planar:
        return to_unit(frame.to_ndarray()).reshape(frame.samples, -1)
    kind, planes = PLANAR[frame.format.name], frame.planes[: len(frame.layout.channels)]
    return to_unit(np.stack([np.frombuffer(plane, kind, frame.samples) for plane in planes], 1))


def _encoding(context: Any) -> Encoding:
    """What holds all that the decoder gives; lossy ones give floats, of which 16 bits are enough."""
    if context.name.startswith("pcm_f"):
        return "FLOAT"
    if context.name.startswith(("pcm_s32", "pcm_s24")):
        return "PCM_32" if "32" in context.name else "PCM_24"
    return "PCM_24" if context.name in LOSSLESS and context.format.bits > 16 else "PCM_16"


def _length(container: Any, track: Any) -> int | None:
    """Samples of a track of MP4 without what its encoder put before and behind; None of others, which need no cut."""
    if track.duration is None or "mp4" not in container.format.name:
        return None
    return round(track.duration * track.time_base * track.rate)


def _claimed_seconds(container: Any, track: Any) -> float:
    """The length of a track in MP4, and in Matroska where its writer put it into the tag that is usual; else 0."""
    if "mp4" in container.format.name:
        return float((track.duration or 0) * track.time_base)
    try:
        hours, minutes, seconds = map(float, track.metadata["DURATION"].split(":"))
    except (KeyError, ValueError):
        return 0.0
    return 3600 * hours + 60 * minutes + seconds
