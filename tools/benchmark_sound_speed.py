"""How many times faster than real time a model of sound is on one core, how long a packet takes, and how much memory hours of sound need.

    python tools/benchmark_sound_speed.py --data MEDIA --models NAME,… [--hours 10] [--json FILE]
    .venv-compare/bin/python tools/benchmark_sound_speed.py --data MEDIA --models NAME,… --compare

MEDIA holds `audio-val.tar`, whose clips of speech, one after another, are the sound. Whole files, entropy coding included, warm, the
best of three; a packet, as it comes through a pipe, the median and the longest. With --compare the same sound, at 24 kHz, goes
through EnCodec at 6 kbit/s in the same process: its architecture with weights that were not trained, which takes no less time, and
without an entropy coder, which it does not use by default. With --hours so much noise goes through `codec encode - -` and
`codec decode - -`, each a process of its own.
"""

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import torch
from benchmark_sound import read_clips

from codec.cli.measure import split_names
from codec.media import SoundReader
from codec.media.files import whole_file
from codec.media.resampling import resampled
from codec.models import SoundCodec, load_as
from codec.types import Media

SECONDS = 60  # of the sound
RUNS = 3
PIECE = 1 << 16  # samples of noise at once


@dataclass(frozen=True)
class Speed:
    """Of one codec on one core.

    Attributes:
        encode, decode: seconds of sound in a second.
        packet_ms: sound in a packet.
        packet_encode_ms, packet_encode_worst_ms, packet_decode_ms, packet_decode_worst_ms: to code a packet as it comes.
    """

    codec: str
    rate_hz: int
    encode: float
    decode: float
    packet_ms: float | None = None
    packet_encode_ms: float | None = None
    packet_encode_worst_ms: float | None = None
    packet_decode_ms: float | None = None
    packet_decode_worst_ms: float | None = None


@dataclass(frozen=True)
class Hours:
    """A long sound through a pipe: seconds of sound in a second, and peak memory in megabytes."""

    codec: str
    hours: float
    encode: float
    decode: float
    encode_mb: float
    decode_mb: float


def speech(data: Path, rate: int) -> Media:
    """Clips of speech one after another, one channel."""
    clips = [clip.media.samples[0] for clip in read_clips(data / "audio-val.tar", ["speech"])]
    samples = torch.cat(clips).repeat(3)[: SECONDS * 16_000]
    turned = resampled(samples[:, None].numpy(), 16_000, rate)
    return Media("audio", torch.from_numpy(np.ascontiguousarray(turned.T)), rate=rate)


def best(work: Callable[[], object]) -> float:
    """Seconds of sound in a second, after a run to warm up."""
    work()
    times = []
    for _ in range(RUNS):
        begin = time.perf_counter()
        work()
        times.append(time.perf_counter() - begin)
    return SECONDS / min(times)


def measure(name: str, model: SoundCodec, sound: Media) -> Speed:
    """A model's files and packets."""
    data = model.compress(sound)
    encode, decode = best(lambda: model.compress(sound)), best(lambda: model.decompress(data))
    written, live = [], io.BytesIO()

    class Sink(io.BytesIO):
        """Notes when packets come."""

        def flush(self) -> None:
            """After each packet."""
            written.append(time.perf_counter())

    model.write(replace(SoundReader.of(sound), frames=None), sink := Sink(), live=True)
    live = io.BytesIO(sink.getvalue())
    taken = [time.perf_counter()]
    for _ in model.open(live, live=True).pieces(0):
        taken.append(time.perf_counter())
    spans = [[1000 * (after - before) for before, after in pairwise(times[1:-1])] for times in (written, taken)]
    return Speed(
        name,
        model.rate,
        encode,
        decode,
        1000 * model.block * model.hop / model.rate,
        statistics.median(spans[0]),
        max(spans[0]),
        statistics.median(spans[1]),
        max(spans[1]),
    )


def measure_encodec(sound: Media) -> Speed:
    """The peer at 24 kHz."""
    from encodec import EncodecModel

    model = EncodecModel.encodec_model_24khz(pretrained=False).eval()
    model.set_target_bandwidth(6.0)
    x = sound.samples[None]
    with torch.inference_mode():
        frames = model.encode(x)
        return Speed("encodec", sound.rate, best(lambda: model.encode(x)), best(lambda: model.decode(frames)))


def measure_hours(name: str, model: SoundCodec, hours: float) -> Hours:
    """Noise through two pipes."""
    samples = round(hours * 3600 * model.rate)
    coded = io.BytesIO()
    encode, encode_mb = through_pipe(
        ["encode", "-", "-", "--model", name, "--raw", f"{model.rate},1"],
        lambda stream: write_noise(stream, samples),
        coded.write,
    )
    decode, decode_mb = through_pipe(
        ["decode", "-", "-", "--model", name], lambda stream: stream.write(coded.getvalue()), lambda piece: len(piece)
    )
    return Hours(name, hours, 3600 * hours / encode, 3600 * hours / decode, encode_mb, decode_mb)


def through_pipe(
    arguments: Sequence[str], feed: Callable[[BinaryIO], object], take: Callable[[bytes], object]
) -> tuple[float, float]:
    """Seconds and peak megabytes of `codec …` in a process of its own, while its input is fed and its output taken."""
    begin = time.perf_counter()
    command = [sys.executable, "-m", "codec", *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:

        def write() -> None:
            feed(cast(BinaryIO, process.stdin))
            cast(BinaryIO, process.stdin).close()

        writer = threading.Thread(target=write)
        writer.start()
        while piece := cast(BinaryIO, process.stdout).read(1 << 16):
            take(piece)
        writer.join()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    return time.perf_counter() - begin, usage.ru_maxrss / 1024


def write_noise(stream: BinaryIO, samples: int) -> None:
    """So many samples of 16 bits."""
    piece = (3000 * np.random.default_rng(0).standard_normal(PIECE)).astype("<i2").tobytes()
    for first in range(0, samples, PIECE):
        stream.write(piece[: 2 * min(PIECE, samples - first)])


def main() -> None:
    """Print a line a codec."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", required=True, help="names or folders")
    parser.add_argument("--compare", action="store_true")
    parser.add_argument("--hours", type=float)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    models = {name: load_as(SoundCodec, name) for name in split_names(asked.models)}
    rows: list[Speed | Hours] = []
    for name, model in models.items():
        rows.append(measure(Path(name).name, model, speech(asked.data, model.rate)))
        print(rows[-1])
        if asked.hours:
            rows.append(measure_hours(name, model, asked.hours))
            print(rows[-1])
    if asked.compare:
        rows.append(measure_encodec(speech(asked.data, 24_000)))
        print(rows[-1])
    if asked.json:
        with whole_file(asked.json) as file:
            file.write(json.dumps([asdict(row) for row in rows], indent=2).encode() + b"\n")


if __name__ == "__main__":
    main()
