"""How fast tokens are made and read: from `.lmc` files against decoding them, and `codec tokenize` by two processes against one.

    taskset -c 0 python tools/benchmark_tokens.py reading --pictures FOLDER [--models image-tokens-f16] [--repeats 3]
    python tools/benchmark_tokens.py workers --data MEDIA [--model image-tokens-f16] [--pictures 600]

Reading: each picture is coded with each prior of a model; seconds are the best of some repeats, warm, summed over the pictures.
Workers: so many pictures of `images-train.tar`, as files, become shards of 50; what is timed is the whole command, in a fresh process.
"""

import argparse
import io
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from benchmark_coder import best_seconds

from codec.cli.measure import split_names
from codec.media import read_image
from codec.models import Encoding, TokenCodec, load_as

WORKERS = (1, 2)


def _read(model: TokenCodec, data: bytes) -> None:
    model.read_codes(io.BytesIO(data))


def reading(pictures: Sequence[Path], models: Sequence[str], repeats: int) -> None:
    """Print a line for each model and prior."""
    media = [read_image(picture) for picture in pictures]
    for name in models:
        model = load_as(TokenCodec, name)
        for prior in model.priors():
            files = [model.compress(one, Encoding(prior=prior)) for one in media]
            model.decompress(files[0])
            read = sum(best_seconds(partial(_read, model, data), repeats) for data in files)
            decoded = sum(best_seconds(partial(model.decompress, data), repeats) for data in files)
            print(
                f"{name}, {prior} prior: {len(files)} pictures read in {read:.3f} s, decoded in {decoded:.3f} s,"
                f" {decoded / read:.1f} times as long",
                flush=True,
            )


def workers(archive: Path, model: str, count: int) -> None:
    """Print a line for each number of processes."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "pictures"
        folder.mkdir()
        with tarfile.open(archive) as tar:
            members = [member for member in tar.getmembers() if member.name.endswith(".webp")][:count]
            for member in members:
                content = tar.extractfile(member)
                assert content is not None
                (folder / Path(member.name).name).write_bytes(content.read())
        seconds = {}
        for number in WORKERS:
            target = Path(scratch) / f"tokens-{number}"
            command = ["tokenize", folder, target, "--model", model, "--shard-size", "50", "--workers", number]
            begin = time.perf_counter()
            subprocess.run([sys.executable, "-m", "codec", *map(str, command)], check=True)
            seconds[number] = time.perf_counter() - begin
            print(
                f"{model}, {len(members)} pictures, {number} processes: {seconds[number]:.1f} s,"
                f" {len(members) / seconds[number]:.1f} a second, {seconds[1] / seconds[number]:.2f} times as fast as one",
                flush=True,
            )


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure one of the two."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    tasks = parser.add_subparsers(dest="task", required=True)
    one = tasks.add_parser("reading")
    one.add_argument("--pictures", type=Path, required=True)
    one.add_argument("--models", type=split_names, default=["image-tokens-f16"])
    one.add_argument("--repeats", type=int, default=3)
    two = tasks.add_parser("workers")
    two.add_argument("--data", type=Path, required=True)
    two.add_argument("--model", default="image-tokens-f16")
    two.add_argument("--pictures", type=int, default=600)
    options = parser.parse_args(arguments)
    if options.task == "reading":
        reading(sorted(options.pictures.glob("*.png")), options.models, options.repeats)
    else:
        workers(options.data / "images-train.tar", options.model, options.pictures)


if __name__ == "__main__":
    main()
