"""Peak memory and seconds of `codec encode` and `codec decode` on one huge picture, each in a fresh process.

    python tools/benchmark_memory.py --side 10000 --format png --json memory.json
    .venv-compare/bin/python tools/benchmark_memory.py --size 4000x3000 --model image-latent --compare

The picture is a bundled photograph, tiled, with noise, so that it does not compress to nothing; always the same. With --compare
CompressAI's bmshj2018-hyperprior, quality 3, does the same in processes of its own; see `peer_codec.py` for what that codes. What a
process takes before it sees a picture (imports, the model) is told by a run on a small one.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from codec.media import write_image
from codec.types import Media

PHOTO = Path(__file__).parents[1] / "docs" / "samples" / "kodim23.png"
SAVE_OPTIONS: dict[str, dict[str, Any]] = {"png": {"compress_level": 1}, "jpg": {"quality": 92}}


@dataclass(frozen=True)
class Run:
    """One process.

    Attributes:
        codec: whose.
        verb: of the command line.
        picture: `large`, or `small` for what is there anyhow.
        source_bytes: size of the file that it read.
        peak_mb: most memory resident at once, in units of 10^6 bytes.
        seconds: wall time with the start of the interpreter.
    """

    codec: str
    verb: str
    picture: str
    source_bytes: int
    peak_mb: float
    seconds: float


def write_picture(path: Path, width: int, height: int, bits: int) -> None:
    """A picture, the same for the same arguments."""
    with Image.open(PHOTO) as photo:
        tile = np.asarray(photo.convert("RGB"))
    random = np.random.default_rng(0)
    samples = np.empty((3, height, width), np.uint8)
    across = -(-width // tile.shape[1])
    for row in range(height):
        pixels = np.tile(tile[row % tile.shape[0]], (across, 1))[:width].T
        samples[:, row] = (pixels + random.integers(-3, 4, width)).clip(0, 255)
    if bits == 16:
        low = random.integers(0, 256, (height, width), np.uint8)
        write_image(Media("image", torch.from_numpy(samples.astype(np.uint16) << 8 | low)), path)
    else:
        Image.fromarray(np.moveaxis(samples, 0, 2)).save(path, **SAVE_OPTIONS[path.suffix[1:]])


@dataclass(frozen=True)
class Candidate:
    """A command line that encodes and decodes.

    Attributes:
        command: what comes before the verb.
        options: of each verb, after the files.
    """

    name: str
    command: Sequence[str]
    options: dict[str, list[str]]


def measure(candidate: Candidate, verb: str, source: Path, target: Path) -> Run:
    """Run the command line once and take the child's own peak from the system."""
    begin = time.perf_counter()
    child = subprocess.Popen([*candidate.command, verb, str(source), str(target), *candidate.options[verb]])
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{candidate.name} {verb} ended with {child.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024
    peak, seconds = round(usage.ru_maxrss * unit / 1e6, 1), round(time.perf_counter() - begin, 1)
    return Run(candidate.name, verb, source.stem, source.stat().st_size, peak, seconds)


def candidates(arguments: argparse.Namespace) -> list[Candidate]:
    """The suite, and on request another."""
    ours = {"model": arguments.model, "prior": arguments.prior, "quality": arguments.quality}
    options = [part for name, value in ours.items() if value is not None for part in (f"--{name}", str(value))]
    found = [Candidate("codec", [sys.executable, "-m", "codec"], {"encode": options, "decode": []})]
    if arguments.compare:
        script = str(Path(__file__).with_name("peer_codec.py"))
        found.append(Candidate("bmshj2018-hyperprior 3", [sys.executable, script], {"encode": [], "decode": []}))
    return found


def parse_arguments() -> argparse.Namespace:
    """What the first lines of this file say."""
    parser = argparse.ArgumentParser(description="peak memory and seconds of both ways on one huge picture")
    parser.add_argument("--side", type=int, default=10_000, help="pixels a side of a square (%(default)s)")
    parser.add_argument("--size", help="WIDTHxHEIGHT in pixels instead")
    parser.add_argument("--format", choices=("png", "jpg"), default="png")
    parser.add_argument("--bits", type=int, choices=(8, 16), default=8, help="a sample; 16 only as PNG")
    parser.add_argument("--model", help="name of a checkpoint; the default model if left out")
    parser.add_argument("--prior", choices=("static", "learned"), help="as for `codec encode`")
    parser.add_argument("--quality", type=int, help="as for `codec encode`")
    parser.add_argument("--compare", action="store_true", help="beside CompressAI, in .venv-compare")
    parser.add_argument("--json", type=Path, help="also write the result here")
    arguments = parser.parse_args()
    if arguments.bits == 16 and arguments.format != "png":
        parser.error("16 bits a sample need --format png")
    return arguments


def main() -> None:
    """Make the pictures, measure both ways, print JSON."""
    arguments = parse_arguments()
    sizes = map(int, arguments.size.split("x")) if arguments.size else (arguments.side, arguments.side)
    width, height = sizes
    runs = []
    with tempfile.TemporaryDirectory() as folder:
        for name, size in (("small", (64, 64)), ("large", (width, height))):
            source, coded = Path(folder) / f"{name}.{arguments.format}", Path(folder) / name
            # in a process of its own: on Linux a child's peak begins at that of the process that starts it
            maker = get_context("spawn").Process(target=write_picture, args=(source, *size, arguments.bits))
            maker.start()
            maker.join()
            for candidate in candidates(arguments):
                runs.append(measure(candidate, "encode", source, coded))
                runs.append(measure(candidate, "decode", coded, Path(folder) / f"back.{arguments.format}"))
                (Path(folder) / f"back.{arguments.format}").unlink()
                coded.unlink()
    facts = {"width": width, "height": height, "format": arguments.format, "bits": arguments.bits}
    text = json.dumps(facts | {"runs": [asdict(run) for run in runs]}, indent=2)
    print(text)
    if arguments.json is not None:
        arguments.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
