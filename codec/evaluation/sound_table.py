"""Rows of rate and quality of coded sounds, and their means."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import fmean

import torch

from codec.evaluation.measuring import FileCodec
from codec.evaluation.mel_distance import MelDistance
from codec.evaluation.si_sdr import si_sdr
from codec.evaluation.sound_baselines import CodedSound
from codec.evaluation.speech_quality import pesq, stoi, visqol
from codec.models.base import Encoding
from codec.types import Media


@dataclass(frozen=True)
class SoundResult:
    """One clip through one codec, measured.

    Attributes:
        kind: `speech`, `music` or `sound`.
        bytes: size of the whole coded file.
        kbps: `8 * bytes` over the duration, in thousands of bits a second.
        pesq, stoi: of the mean of channels; None of what is no speech.
        visqol: of the mean of channels; None where it was not asked for.
        mel_distance, si_sdr_db: means over channels, without any alignment.
    """

    codec: str
    clip: str
    kind: str
    bytes: int
    kbps: float
    pesq: float | None
    stoi: float | None
    visqol: float | None
    mel_distance: float
    si_sdr_db: float
    encode_seconds: float
    decode_seconds: float


@dataclass(frozen=True)
class SoundSummary:
    """Means over the clips of one kind of one codec, each clip with the same weight.

    Attributes:
        clips: their number.
    """

    codec: str
    kind: str
    clips: int
    kbps: float
    pesq: float | None
    stoi: float | None
    visqol: float | None
    mel_distance: float
    si_sdr_db: float
    encode_seconds: float
    decode_seconds: float


def code_with_sound_model(name: str, codec: FileCodec, media: Media, kbps: float | None = None) -> CodedSound:
    """Encode to the bytes of a file of at most so many kbit/s, and decode from them, with the wall time of each."""
    started = time.perf_counter()
    data = codec.compress(media, Encoding(bitrate=None if kbps is None else 1000 * kbps))
    encoded = time.perf_counter()
    decoded = codec.decompress(data).samples
    label = name if kbps is None else f"{name} {kbps:g}"
    return CodedSound(label, data, decoded, encoded - started, time.perf_counter() - encoded)


@torch.inference_mode()
def measure_sound(
    clip: str, kind: str, reference: Media, coded: CodedSound, *, with_visqol: bool = False
) -> SoundResult:
    """Compare a coded sound with the original; ViSQOL takes some seconds.

    Raises:
        UsageError: names a clip that a measure of speech cannot judge.
    """
    samples, decoded = reference.samples, coded.decoded
    if samples.shape != decoded.shape:
        raise ValueError(f"{clip} has the shape {tuple(samples.shape)}, decoded by {coded.name} {tuple(decoded.shape)}")
    speech = kind == "speech"
    mixes = samples.mean(0), decoded.mean(0)
    return SoundResult(
        codec=coded.name,
        clip=clip,
        kind=kind,
        bytes=len(coded.data),
        kbps=8 * len(coded.data) * reference.rate / samples.shape[1] / 1000,
        pesq=pesq(*mixes, reference.rate, clip) if speech else None,
        stoi=stoi(*mixes, reference.rate, clip) if speech else None,
        visqol=visqol(*mixes, reference.rate, clip, speech=speech) if with_visqol else None,
        mel_distance=float(_mel_distance(reference.rate)(samples, decoded).mean()),
        si_sdr_db=fmean(si_sdr(*pair) for pair in zip(samples, decoded, strict=True)),
        encode_seconds=coded.encode_seconds,
        decode_seconds=coded.decode_seconds,
    )


def summarise_sounds(rows: Sequence[SoundResult]) -> list[SoundSummary]:
    """Means for each kind and codec, in the order in which they first appear."""
    groups = dict.fromkeys((row.kind, row.codec) for row in rows)
    return [_mean([row for row in rows if (row.kind, row.codec) == group]) for group in groups]


@cache
def _mel_distance(rate_hz: int) -> MelDistance:
    return MelDistance(rate_hz)


def _mean(rows: Sequence[SoundResult]) -> SoundSummary:
    return SoundSummary(
        codec=rows[0].codec,
        kind=rows[0].kind,
        clips=len(rows),
        kbps=fmean(row.kbps for row in rows),
        pesq=_mean_if_any([row.pesq for row in rows]),
        stoi=_mean_if_any([row.stoi for row in rows]),
        visqol=_mean_if_any([row.visqol for row in rows]),
        mel_distance=fmean(row.mel_distance for row in rows),
        si_sdr_db=fmean(row.si_sdr_db for row in rows),
        encode_seconds=fmean(row.encode_seconds for row in rows),
        decode_seconds=fmean(row.decode_seconds for row in rows),
    )


def _mean_if_any(values: Sequence[float | None]) -> float | None:
    """All of one kind are measured, or none is."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
