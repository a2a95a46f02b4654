"""Measure codecs of sound: kbit/s of file, PESQ and STOI of speech, mel distance and SI-SDR, by kind of sound.

    python tools/benchmark_sound.py --data MEDIA [--models NAME,…] [--bitrates 1.5,3,6,…] [--baselines opus,opus_voip,mp3]
        [--kinds speech,music,sound] [--visqol] [--json FILE]

MEDIA holds `audio-val.tar`. Its clips are mixed to one channel and brought to the rate at which models code their kind: 16 kHz for
speech, 24 kHz for music and sounds. Each is coded to a whole file, whose bytes count, and decoded from it; models at each of the
bit rates, which their files keep to, or without any at their best.
"""

import argparse
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from codec.cli.measure import split_names
from codec.cli.measure_sound import format_sounds
from codec.errors import CodecError, UsageError
from codec.evaluation import (
    SOUND_BASELINES,
    CodedSound,
    SoundBaseline,
    SoundResult,
    code_with_sound_model,
    measure_sound,
    summarise_sounds,
)
from codec.media.audio import read_mono
from codec.media.files import whole_file
from codec.models import SoundCodec, load_as
from codec.types import Media

RATES_HZ = {"speech": 16_000, "music": 24_000, "sound": 24_000}
Coder = Callable[[Media], CodedSound]


@dataclass(frozen=True)
class Clip:
    """One sound of the collection: `name` in the archive, `kind` one of `RATES_HZ`, `media` of one channel at the kind's rate."""

    name: str
    kind: str
    media: Media


def read_clips(archive: Path, kinds: Sequence[str]) -> Iterator[Clip]:
    """Clips of some kinds, by name; the folder of a member says its kind, digits behind it aside."""
    with tarfile.open(archive) as tar:
        for member in sorted(tar.getmembers(), key=lambda member: member.name):
            kind = member.name.partition("/")[0].rstrip("0123456789")
            content = tar.extractfile(member) if kind in kinds else None
            if content is not None:
                samples = read_mono(content.read(), member.name, RATES_HZ[kind])
                yield Clip(member.name, kind, Media("audio", samples[None], rate=RATES_HZ[kind]))


@dataclass(frozen=True)
class Coders:
    """What codes the sounds.

    Attributes:
        baselines: classical codecs, each at each bit rate of its curve.
        models: by name.
        bitrates: of models, in kbit/s; none for all that they can.
    """

    baselines: Sequence[SoundBaseline]
    models: Mapping[str, SoundCodec]
    bitrates: Sequence[float]

    def of(self, kind: str) -> list[Coder]:
        """Those for sounds of a kind."""
        classical = [
            partial(codec.code, kbps=kbps) for codec in self.baselines if kind in codec.kinds for kbps in codec.curve
        ]
        rates: Sequence[float | None] = self.bitrates or (None,)
        learned = [
            partial(code_with_sound_model, name, codec, kbps=kbps)
            for name, codec in self.models.items()
            for kbps in rates
        ]
        return [*learned, *classical]


def measure_all(clips: Iterator[Clip], coders: Coders, *, with_visqol: bool) -> list[SoundResult]:
    """A row for each clip and coder."""
    return [
        measure_sound(clip.name, clip.kind, clip.media, coder(clip.media), with_visqol=with_visqol)
        for clip in clips
        for coder in coders.of(clip.kind)
    ]


def choose(names: str, known: Sequence[str], what: str) -> list[str]:
    """Names from a comma-separated list, all known."""
    wanted = split_names(names)
    unknown = [name for name in wanted if name not in known]
    if unknown or not wanted:
        raise UsageError(f"unknown {what} {', '.join(unknown) or repr(names)}: choose from {', '.join(known)}")
    return wanted


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """What the first lines of this file say."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", default="", help="names or folders")
    parser.add_argument("--bitrates", default="", help="of models, in kbit/s")
    parser.add_argument("--baselines", default=",".join(SOUND_BASELINES), help="%(default)s")
    parser.add_argument("--kinds", default=",".join(RATES_HZ), help="%(default)s")
    parser.add_argument("--visqol", action="store_true", help="measure it too; seconds a clip")
    parser.add_argument("--json", type=Path)
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    asked = parse_arguments(arguments)
    kinds = choose(asked.kinds, list(RATES_HZ), "kind")
    named = choose(asked.baselines, list(SOUND_BASELINES), "baseline") if asked.baselines else []
    models = {Path(name).name: load_as(SoundCodec, name) for name in split_names(asked.models)}
    bitrates = [float(text) for text in split_names(asked.bitrates)]
    coders = Coders([SOUND_BASELINES[name] for name in named], models, bitrates)
    archive = asked.data / "audio-val.tar"
    if not archive.is_file():
        raise UsageError(f"{archive} is missing: --data names the folder that holds audio-val.tar")
    rows = measure_all(read_clips(archive, kinds), coders, with_visqol=asked.visqol)
    means = sorted(summarise_sounds(rows), key=lambda row: kinds.index(row.kind))
    print(format_sounds(means))
    if asked.json:
        content = {"means": [asdict(row) for row in means], "sounds": [asdict(row) for row in rows]}
        with whole_file(asked.json) as file:
            file.write(json.dumps(content, indent=2, allow_nan=False).encode() + b"\n")


if __name__ == "__main__":
    try:
        main()
    except CodecError as error:
        raise SystemExit(str(error)) from error
