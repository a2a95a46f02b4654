"""Decode one file under other instruction sets and thread counts, each in a fresh process, and compare the codes.

    python tools/benchmark_portability.py [--media docs/samples/kodim23.png] [--model image-tokens-f8]

The codes of the file must be the same everywhere (law 2). The decoded samples are floating point: their largest difference is
reported too (of sound in units of 16 bits), as is the share of codes that an encoder on that machine would choose differently.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

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

CHILD = """
import io, sys, torch
from pathlib import Path
from codec.models import load
from codec.media import read_image, read_sound
torch.set_num_threads(int(sys.argv[4]))
flat = lambda codes: torch.cat([plane.codes.flatten() for plane in codes.planes])
model = load(sys.argv[2])
data = Path(sys.argv[1]).read_bytes()
media = read_image(sys.argv[5]) if model.kind == "image" else read_sound(sys.argv[5])
samples = model.decompress(data).samples
result = {
    "codes": flat(model.read_codes(io.BytesIO(data))),
    "samples": samples.int() if model.kind == "image" else (32768 * samples).round().int(),
    "encoded": flat(model.read_codes(io.BytesIO(model.compress(media)))),
}
torch.save(result, sys.argv[3])
"""


def main() -> None:
    """Print a line a variant; exit 1 if any codes differ."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--media", default="docs/samples/kodim23.png")
    parser.add_argument("--model", default="image-tokens-f8")
    arguments = parser.parse_args()
    from codec import api

    reference: dict[str, torch.Tensor] | None = None
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "media.lmc"
        api.encode(arguments.media, file, model=arguments.model)
        for name, variables in VARIANTS.items():
            for threads in (1, 2):
                out = Path(folder) / "out.pt"
                command = [sys.executable, "-c", CHILD, str(file), arguments.model, str(out), str(threads)]
                numba = {"NUMBA_CACHE_DIR": str(Path(folder) / name.replace(" ", "_"))}
                subprocess.run([*command, arguments.media], env=os.environ | variables | numba, check=True)
                result = torch.load(out, weights_only=True)
                reference = result if reference is None else reference
                same = torch.equal(result["codes"], reference["codes"])
                failed |= not same
                difference = int((result["samples"] - reference["samples"]).abs().max())
                flipped = float((result["encoded"] != reference["encoded"]).float().mean())
                verdict = "same codes" if same else "DIFFERENT CODES"
                print(f"{name:15} {threads} threads  {verdict}; samples differ by at most {difference};"
                      f" encoder differs in {flipped:.3%} of codes")  # fmt: skip
    sys.exit(failed)


if __name__ == "__main__":
    main()
