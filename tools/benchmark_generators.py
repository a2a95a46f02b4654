"""Generative models of the same tokens at equal steps: bits a token, seconds a sample, and how like real pictures the samples are.

    codec tokenize PICTURES tokens --model image-tokens-f16; codec tokenize OTHERS others --model image-tokens-f16
    python tools/benchmark_generators.py --train tokens --val others --tokenizer image-tokens-f16 --out FOLDER [--steps 3000] [--samples 64]

Each model is trained by `train.py --config-name train_generator` in a process of its own, which leaves its checkpoint in FOLDER; one
that is there is not trained again. Samples are grids of the size of the training crops, drawn with no condition and without any cut of
the probabilities. They are compared with crops of the held-out pictures, decoded from their codes, so that the tokenizer's own loss does
not count, by features of EfficientNet-Lite0 (extra `perceptual`). Distinct: no other sample has half of its codes.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import torch
from torch import Tensor

from codec.evaluation import likeness
from codec.evaluation.perceptual import EfficientNetDistance
from codec.generation import EMPTY, Sampling, TokenDataset, TokenModel
from codec.generation.checkpoint import read_generator
from codec.media.files import whole_file
from codec.models import TokenCodec, load_as
from codec.types import Codes, Plane

ROOT = Path(__file__).resolve().parents[1]
MODELS = ("gpt", "rq_transformer", "maskgit", "maskbit", "vq_diffusion")
BATCH = 8


@dataclass(frozen=True)
class Row:
    """One model.

    Attributes:
        bits_a_token: of held-out crops; of `vq_diffusion` a bound.
        sample_seconds: of one grid, drawn in batches.
        distinct: share of the samples that are like no other.
    """

    model: str
    parameters: int
    steps: int
    bits_a_token: float
    sample_seconds: float
    frechet: float
    kernel: float
    precision: float
    recall: float
    distinct: float


def train(name: str, arguments: argparse.Namespace) -> Path:
    """The folder of the checkpoint."""
    folder: Path = arguments.out / name / name
    if not (folder / "generator.safetensors").is_file():
        command = [sys.executable, str(ROOT / "train.py"), "--config-name", "train_generator", f"generator={name}"]
        command += [f"tokenizer={arguments.tokenizer}", f"data.tokens.train={arguments.train.resolve()}"]
        command += [f"data.tokens.val={arguments.val.resolve()}", f"total_steps={arguments.steps}", f"name={name}"]
        command += [f"output={(arguments.out / name).resolve()}", f"data.crop=[{arguments.side},{arguments.side}]"]
        command += ["trainer.accelerator=auto", f"trainer.val_check_interval={arguments.steps}", *arguments.overrides]
        subprocess.run(command, check=True)
    return folder


def crops(folder: Path, side: int, most: int) -> Tensor:
    """Codes `(n, Q, side, side)` of held-out pictures, at most so many from as many pictures as there are."""
    data, found = TokenDataset(folder), list[Tensor]()
    for i in range(len(data)):
        codes = torch.from_numpy(data.record(i).codes.astype("int64"))
        if min(codes.shape[1:]) >= side:
            row, column = ((size - side) // 2 for size in codes.shape[1:])
            found.append(codes[:, row : row + side, column : column + side])
    return torch.stack(found[:most])


def features(codec: TokenCodec, network: EfficientNetDistance, codes: Tensor) -> Tensor:
    """Of the pictures that codes `(n, Q, rows, columns)` decode to."""
    parts = []
    for grid in codes.split(BATCH):
        planes = zip(grid.unbind(1), codec.quantizer.codebook_sizes, strict=True)
        parts.append(network.features(codec.decode(Codes(tuple(Plane(plane, size) for plane, size in planes)))))
    return torch.cat(parts)


def samples(model: TokenModel, side: int, count: int, steps: int) -> Iterator[Tensor]:
    """Batches of codes."""
    random = torch.Generator().manual_seed(0)
    for first in range(0, count, BATCH):
        given = torch.full((min(BATCH, count - first), len(model.alphabets), side, side), EMPTY)
        yield model.generate(given, sampling=Sampling(steps=steps), random=random)


def distinct(codes: Tensor) -> float:
    """Share of the grids that agree with no other in half of their codes or more."""
    flat = codes.flatten(1)
    same = torch.stack([(flat == one).float().mean(1) for one in flat])
    same.fill_diagonal_(0)
    return float((same.amax(1) < 0.5).float().mean())


@torch.inference_mode()
def measure(name: str, folder: Path, arguments: argparse.Namespace) -> Row:
    """One trained model."""
    codec, network, model = load_as(TokenCodec, arguments.tokenizer), EfficientNetDistance(), read_generator(folder)
    held_out = crops(arguments.val, arguments.side, arguments.held_out)
    length = sum(float(model.code_length(batch).sum()) for batch in held_out.split(BATCH))
    begin = time.perf_counter()
    made = torch.cat(list(samples(model, arguments.side, arguments.samples, arguments.sampling_steps)))
    seconds = (time.perf_counter() - begin) / len(made)
    alike = likeness(features(codec, network, held_out), features(codec, network, made))
    parameters = sum(p.numel() for p in cast(torch.nn.Module, model).parameters())
    return Row(
        name, parameters, arguments.steps, length / held_out.numel(), seconds, **asdict(alike), distinct=distinct(made)
    )


def main(words: Sequence[str] | None = None) -> None:
    """Train what is missing, measure, print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--val", type=Path, required=True)
    parser.add_argument("--tokenizer", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--side", type=int, default=16)
    parser.add_argument("--samples", type=int, default=64)
    parser.add_argument("--sampling-steps", type=int, default=16)
    parser.add_argument("--held-out", type=int, default=64)
    parser.add_argument("overrides", nargs="*", help="of the training config")
    arguments = parser.parse_args(words)
    rows = [measure(name, train(name, arguments), arguments) for name in arguments.models.split(",")]
    print("| model | parameters | bits a token | seconds a sample | Fréchet | kernel | precision | recall | distinct |")
    print("|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        likes = f"{row.frechet:.1f} | {row.kernel:.3f} | {row.precision:.2f} | {row.recall:.2f} | {row.distinct:.2f}"
        print(f"| `{row.model}` | {row.parameters:,} | {row.bits_a_token:.3f} | {row.sample_seconds:.2f} | {likes} |")
    with whole_file(arguments.out / "generators.json") as file:
        file.write(json.dumps([asdict(row) for row in rows], indent=2).encode() + b"\n")


if __name__ == "__main__":
    main()
