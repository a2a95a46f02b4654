"""What a file of sound holds beyond the ideal length of its codes: the head, and for each packet a section and the coder's state.

    python tools/benchmark_sound_files.py --data MEDIA --models NAME,… [--kinds speech,music,sound] [--json FILE]

MEDIA holds `audio-val.tar`. Each clip is coded as a file (packets of 64 frames) and as it comes through a pipe (16). Ideal is -log2 of
each code's share in the integer tables that the coder uses, packet by packet. By a packet is meant each beyond the first, whose bytes
count as the file's own.
"""

import argparse
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from benchmark_sound import RATES_HZ, read_clips

from codec.cli.measure import split_names
from codec.entropy import ideal_bits
from codec.media import SoundReader
from codec.media.files import whole_file
from codec.models import SoundCodec, load_as
from codec.types import Media


@dataclass(frozen=True)
class Overhead:
    """Of one file.

    Attributes:
        clip: its name.
        live: as it comes through a pipe.
        packets: how many.
        bytes: of the file.
        ideal_bytes: of its codes.
        nominal_bytes: of its codes with no prior at all.
    """

    clip: str
    live: bool
    packets: int
    bytes: int
    ideal_bytes: float
    nominal_bytes: float


def measure(model: SoundCodec, clip: str, media: Media, *, live: bool) -> Overhead:
    """Code a sound, and its codes once more by the tables alone."""
    file = io.BytesIO()
    sound = SoundReader.of(media)
    model.write(replace(sound, frames=None) if live else sound, file, live=live)
    size = file.tell()
    file.seek(0)
    reader = model.packets(file)
    packets = [part.codes for part in reader.frames(1) if part.codes is not None]
    ideal = sum(ideal_bits(reader.prior, list(codes[:, None].unbind(-1))) for codes in packets)
    frames = sum(codes.shape[0] * codes.shape[1] for codes in packets)
    nominal = frames * sum((alphabet - 1).bit_length() for alphabet in model.quantizer.codebook_sizes)
    return Overhead(clip, live, len(packets), size, ideal / 8, nominal / 8)


def describe(rows: Sequence[Overhead]) -> str:
    """One line of a table."""
    further = sum(row.packets - 1 for row in rows)
    ideal, written = (sum(values) for values in zip(*((row.ideal_bytes, row.bytes) for row in rows), strict=True))
    most = max(row.bytes - row.ideal_bytes - 14 * (row.packets - 1) for row in rows)
    saved = 100 * (1 - ideal / sum(row.nominal_bytes for row in rows))
    return (
        f"{len(rows)} files, {further} packets beyond the first: ideal {ideal:.0f} bytes ({saved:.1f} % below nominal), written {written}"
        f" ({100 * (written / ideal - 1):+.2f} %); of a file at most {most:.1f} bytes more than ideal and 14 a packet"
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure all clips of some kinds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", type=split_names, required=True)
    parser.add_argument("--kinds", type=split_names, default=list(RATES_HZ))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    clips = list(read_clips(options.data / "audio-val.tar", options.kinds))
    rows: dict[str, list[Overhead]] = {}
    for name in options.models:
        model = load_as(SoundCodec, name)
        for live in (False, True):
            found = [measure(model, clip.name, clip.media, live=live) for clip in clips]
            print(f"{name}, {'as it comes' if live else 'files'}: {describe(found)}", flush=True)
            rows.setdefault(name, []).extend(found)
    if options.json is not None:
        with whole_file(options.json) as file:
            file.write(
                json.dumps({name: [asdict(row) for row in found] for name, found in rows.items()}, indent=1).encode()
            )


if __name__ == "__main__":
    main()
