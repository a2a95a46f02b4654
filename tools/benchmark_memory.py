"""Peak memory and seconds of `codec encode` and `codec decode` on one huge picture, each in a fresh process.

    python tools/benchmark_memory.py --side 10000 --format png --json memory.json

The picture is a bundled photograph, tiled, with noise, so that it does not compress to nothing; always the same.
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
        verb: of the command line.
        source_bytes: size of the file that it read.
        peak_mb: most memory resident at once, in units of 10^6 bytes.
        seconds: wall time with the start of the interpreter.
    """

    verb: str
    source_bytes: int
    peak_mb: float
    seconds: float


def write_picture(path: Path, side: int, bits: int) -> None:
    """A square picture, the same for the same arguments."""
    with Image.open(PHOTO) as photo:
        tile = np.asarray(photo.convert("RGB"))
    random = np.random.default_rng(0)
    samples = np.empty((3, side, side), np.uint8)
    across = -(-side // tile.shape[1])
    for row in range(side):
        pixels = np.tile(tile[row % tile.shape[0]], (across, 1))[:side].T
        samples[:, row] = (pixels + random.integers(-3, 4, side)).clip(0, 255)
    if bits == 16:
        low = random.integers(0, 256, (side, side), np.uint8)
        write_image(Media("image", torch.from_numpy(samples.astype(np.uint16) << 8 | low)), path)
    else:
        Image.fromarray(np.moveaxis(samples, 0, 2)).save(path, **SAVE_OPTIONS[path.suffix[1:]])


def measure(verb: str, source: Path, target: Path, options: Sequence[str]) -> Run:
    """Run the command line once and take the child's own peak from the system."""
    begin = time.perf_counter()
    command = [sys.executable, "-m", "codec", verb, str(source), str(target), *options]
    child = subprocess.Popen(command)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"codec {verb} ended with {child.returncode}")
    unit = 1 if sys.platform == "darwin" else 1024
    return Run(
        verb, source.stat().st_size, round(usage.ru_maxrss * unit / 1e6, 1), round(time.perf_counter() - begin, 1)
    )


def main() -> None:
    """Make the picture, measure both ways, print JSON."""
    parser = argparse.ArgumentParser(description="peak memory and seconds of both ways on one huge picture")
    parser.add_argument("--side", type=int, default=10_000, help="pixels a side (%(default)s)")
    parser.add_argument("--format", choices=("png", "jpg"), default="png")
    parser.add_argument("--bits", type=int, choices=(8, 16), default=8, help="a sample; 16 only as PNG")
    parser.add_argument("--model", help="name of a checkpoint; the default model if left out")
    parser.add_argument("--prior", choices=("static", "learned"), help="as for `codec encode`")
    parser.add_argument("--json", type=Path, help="also write the result here")
    arguments = parser.parse_args()
    if arguments.bits == 16 and arguments.format != "png":
        parser.error("16 bits a sample need --format png")
    options = ["--model", arguments.model] if arguments.model else []
    options += ["--prior", arguments.prior] if arguments.prior else []
    with tempfile.TemporaryDirectory() as folder:
        source, coded = Path(folder) / f"picture.{arguments.format}", Path(folder) / "picture.lmc"
        # in a process of its own: on Linux a child's peak begins at that of the process that starts it
        maker = get_context("spawn").Process(target=write_picture, args=(source, arguments.side, arguments.bits))
        maker.start()
        maker.join()
        runs = [
            measure("encode", source, coded, options),
            measure("decode", coded, Path(folder) / f"back.{arguments.format}", []),
        ]
    facts = {"pixels": arguments.side**2, "format": arguments.format, "bits": arguments.bits}
    text = json.dumps(facts | {"runs": [asdict(run) for run in runs]}, indent=2)
    print(text)
    if arguments.json is not None:
        arguments.json.write_text(text + "\n")


if __name__ == "__main__":
    main()
