"""Decode one file under other instruction sets and thread counts, each in a fresh process, and compare the codes.

    python tools/benchmark_portability.py [--media docs/samples/kodim23.png] [--model image-tokens-f8]
    python tools/benchmark_portability.py --media VIDEO.mp4 --model video-latent-2 --frames 24

The codes of the file must be the same everywhere (law 2). The decoded samples are floating point: their largest difference (of sound in
units of 16 bits) and how far apart they are is reported too, as is the share of codes that an encoder on that machine would choose
differently.
"""

import argparse
import io
import math
import os
import subprocess
import sys
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from codec.media import read_image, read_sound
from codec.media.video import open_video
from codec.models import load
from codec.models.video import media_of
from codec.types import Codes, Media

VARIANTS: dict[str, dict[str, str]] = {
    "as is": {},
    "ATEN default": {"ATEN_CPU_CAPABILITY": "default"},
    "ATEN avx2": {"ATEN_CPU_CAPABILITY": "avx2"},
    "oneDNN SSE4.1": {"ONEDNN_MAX_CPU_ISA": "SSE41"},
    "oneDNN AVX2": {"ONEDNN_MAX_CPU_ISA": "AVX2"},
    "MKL SSE4.2": {"MKL_ENABLE_INSTRUCTIONS": "SSE4_2"},
    "MKL AVX2": {"MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "numba generic": {"NUMBA_CPU_NAME": "generic"},
    "all low": {
        "ATEN_CPU_CAPABILITY": "default",
        "ONEDNN_MAX_CPU_ISA": "SSE41",
        "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
        "NUMBA_CPU_NAME": "generic",
    },
}


def read(kind: str, path: str, frames: int) -> Media:
    """A picture, a sound, or the first frames of a video."""
    if kind != "video":
        return read_image(path) if kind == "image" else read_sound(path)
    with open_video(path) as video:
        return media_of(islice(video.pictures(), frames), video.format)


def measure(arguments: argparse.Namespace) -> dict[str, torch.Tensor]:
    """In this process: what the file decodes to, its codes, and those that the encoder chooses here."""
    torch.set_num_threads(arguments.threads)
    model: Any = load(arguments.model)
    media, data = read(model.kind, arguments.media, arguments.frames), arguments.file.read_bytes()
    samples, held = model.decompress(data).samples, model.read_codes(io.BytesIO(data))
    if model.kind == "video":
        codes, encoded = torch.tensor(list(held.digest)), flat(model.encode(media.samples[None]))
    else:
        codes, encoded = flat(held), flat(model.read_codes(io.BytesIO(model.compress(media))))
    whole = (32768 * samples).round() if model.kind == "audio" else samples
    return {"codes": codes, "samples": whole.int(), "encoded": encoded}


def flat(codes: Codes) -> torch.Tensor:
    """All planes in a row."""
    return torch.cat([plane.codes.flatten() for plane in codes.planes])


def main() -> None:
    """Print a line a variant; exit 1 if any codes differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--media", default="docs/samples/kodim23.png")
    parser.add_argument("--model", default="image-tokens-f8")
    parser.add_argument("--frames", type=int, default=24, help="of a video")
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        torch.save(measure(arguments), arguments.child)
        return
    model = load(arguments.model)
    peak = 32768 if model.kind == "audio" else 255
    reference: dict[str, torch.Tensor] | None = None
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "media.lmc"
        file.write_bytes(model.compress(read(model.kind, arguments.media, arguments.frames)))
        for name, variables in VARIANTS.items():
            for threads in (1, 2):
                out = Path(folder) / "out.pt"
                command = [sys.executable, __file__, *sys.argv[1:], "--file", str(file)]
                command += ["--threads", str(threads), "--child", str(out)]
                numba = {"NUMBA_CACHE_DIR": str(Path(folder) / name.replace(" ", "_"))}
                subprocess.run(command, env=os.environ | variables | numba, check=True)
                result = torch.load(out, weights_only=True)
                reference = result if reference is None else reference
                same = torch.equal(result["codes"], reference["codes"])
                failed |= not same
                differences = result["samples"] - reference["samples"]
                apart = 20 * math.log10(peak / max(1e-9, float(differences.double().square().mean().sqrt())))
                flipped = float((result["encoded"] != reference["encoded"]).float().mean())
                verdict = "same codes" if same else "DIFFERENT CODES"
                print(f"{name:15} {threads} threads  {verdict}; samples differ by at most {int(differences.abs().max())}"
                      f"{f', {apart:.1f} dB apart' if differences.any() else ''};"
                      f" encoder differs in {flipped:.3%} of codes")  # fmt: skip
    sys.exit(failed)


if __name__ == "__main__":
    main()
