"""Generative models of the same tokens at equal steps: bits a token, seconds a sample, and how like real pictures the samples are.

    codec tokenize PICTURES tokens --model image-tokens-f16; codec tokenize OTHERS others --model image-tokens-f16
    python tools/benchmark_generators.py --train tokens --val others --tokenizer image-tokens-f16 --out FOLDER [--steps 3000] [--samples 64]

Each model is trained by `train.py --config-name train_generator` in a process of its own, which leaves its checkpoint in FOLDER; one
that is there is not trained again. Samples are grids of the size of the training crops, drawn with no condition and without any cut of
the probabilities. They are compared with crops of the held-out pictures, decoded from their codes, so that the tokenizer's own loss does
not count, by features of EfficientNet-Lite0 (extra `perceptual`). Distinct: no other sample has half of its codes.

`--models …,jpeg_lm` needs `--pictures PICTURES --other-pictures OTHERS` beside: folders or tar files of the pictures themselves. Its
tokens are bytes of JPEG files of the middle squares, made small; only bits a pixel compare with those of the others, if at all.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol, cast

import torch
from torch import Tensor

from codec.errors import BitstreamError, UsageError
from codec.evaluation import likeness
from codec.evaluation.perceptual import EfficientNetDistance
from codec.generation import EMPTY, JpegWords, Sampling, TokenDataset, TokenModel
from codec.generation.checkpoint import read_generator
from codec.media.files import whole_file
from codec.models import TokenCodec, load_as
from codec.training import ImageData, JpegTokens
from codec.types import Codes, Plane

ROOT = Path(__file__).resolve().parents[1]
MODELS = ("gpt", "rq_transformer", "raster", "maskgit", "maskbit", "vq_diffusion")
JPEG_MODEL = "jpeg_lm"
BATCH = 8


@dataclass(frozen=True)
class Row:
    """One model.

    Attributes:
        bits_a_token: of held-out crops; of `vq_diffusion` a bound.
        bits_a_pixel: the same by the pixels that they decode to.
        sample_seconds: of one grid, drawn in batches.
        distinct: share of the samples that are like no other.
    """

    model: str
    parameters: int
    steps: int
    bits_a_token: float
    bits_a_pixel: float
    sample_seconds: float
    frechet: float
    kernel: float
    precision: float
    recall: float
    distinct: float


class Tokens(Protocol):
    """What the models are trained on, and compared with."""

    def overrides(self) -> list[str]:
        """Of the training config."""

    def held_out(self) -> Tensor:
        """Codes `(n, Q, rows, columns)`, `EMPTY` where one has fewer."""

    def pixels(self, codes: Tensor) -> Tensor:
        """`(n, 3, H, W)` in [0, 1] that codes decode to."""


class StoredTokens:
    """Of folders that `codec tokenize` wrote.

    Args:
        arguments: of the command line.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._arguments, self._codec = arguments, load_as(TokenCodec, arguments.tokenizer)

    def overrides(self) -> list[str]:
        """As of `Tokens`."""
        asked = self._arguments
        tokens = [f"data.tokens.train={asked.train.resolve()}", f"data.tokens.val={asked.val.resolve()}"]
        return [f"tokenizer={asked.tokenizer}", *tokens, f"data.crop=[{asked.side},{asked.side}]"]

    def held_out(self) -> Tensor:
        """As of `Tokens`: a crop of each of as many pictures as are asked for."""
        data, side, found = TokenDataset(self._arguments.val), self._arguments.side, list[Tensor]()
        for i in range(len(data)):
            codes = torch.from_numpy(data.record(i).codes.astype("int64"))
            if min(codes.shape[1:]) >= side:
                row, column = ((size - side) // 2 for size in codes.shape[1:])
                found.append(codes[:, row : row + side, column : column + side])
        return torch.stack(found[: self._arguments.held_out])

    def pixels(self, codes: Tensor) -> Tensor:
        """As of `Tokens`."""
        planes = zip(codes.unbind(1), self._codec.quantizer.codebook_sizes, strict=True)
        return self._codec.decode(Codes(tuple(Plane(plane, size) for plane, size in planes)))


class JpegBytes:
    """Bytes of JPEG files.

    Args:
        arguments: of the command line.
    """

    def __init__(self, arguments: argparse.Namespace) -> None:
        words = JpegWords.named(arguments.jpeg)
        if words is None or arguments.pictures is None or arguments.other_pictures is None:
            raise UsageError(f"{JPEG_MODEL} needs --pictures, --other-pictures and --jpeg jpeg:SIDE:QUALITY:LENGTH")
        self._words, self._arguments = words, arguments
        cache = str(arguments.out / "pictures")
        self._images = ImageData(str(arguments.pictures), val_root=str(arguments.other_pictures), cache=cache)

    def overrides(self) -> list[str]:
        """As of `Tokens`."""
        images = [f"root={self._images.root}", f"val_root={self._images.val_root}", f"cache={self._images.cache}"]
        crop = f"data.crop=[1,{self._words.length}]"
        return ["data=jpeg", f"tokenizer={self._words.name}", crop, *(f"data.tokens.images.{one}" for one in images)]

    def held_out(self) -> Tensor:
        """As of `Tokens`."""
        _, others = JpegTokens(self._images, self._words.name).grids(None)
        return torch.stack(others[: self._arguments.held_out])

    def pixels(self, codes: Tensor) -> Tensor:
        """As of `Tokens`; bytes that no decoder reads are grey."""
        side, found = self._words.side, list[Tensor]()
        for one in codes:
            try:
                found.append(self._words.pixels(one))
            except BitstreamError:
                found.append(torch.full((3, side, side), 128, dtype=torch.uint8))
        return torch.stack(found).float() / 255


def train(name: str, tokens: Tokens, arguments: argparse.Namespace) -> Path:
    """The folder of the checkpoint."""
    folder: Path = arguments.out / name / name
    if not (folder / "generator.safetensors").is_file():
        command = [sys.executable, str(ROOT / "train.py"), "--config-name", "train_generator", f"generator={name}"]
        command += [*tokens.overrides(), f"total_steps={arguments.steps}", f"name={name}"]
        command += [f"output={(arguments.out / name).resolve()}", "trainer.accelerator=auto"]
        command += [f"trainer.val_check_interval={arguments.steps}", *arguments.overrides]
        subprocess.run(command, check=True)
    return folder


def features(tokens: Tokens, network: EfficientNetDistance, codes: Tensor) -> Tensor:
    """Of the pictures that codes `(n, Q, rows, columns)` decode to."""
    return torch.cat([network.features(tokens.pixels(part)) for part in codes.split(BATCH)])


def samples(model: TokenModel, like: Tensor, count: int, steps: int) -> Iterator[Tensor]:
    """Batches of codes on grids like these."""
    random = torch.Generator().manual_seed(0)
    for first in range(0, count, BATCH):
        given = torch.full((min(BATCH, count - first), *like.shape[1:]), EMPTY)
        yield model.generate(given, sampling=Sampling(steps=steps), random=random)


def distinct(codes: Tensor) -> float:
    """Share of the grids that agree with no other in half of their codes or more."""
    flat = codes.flatten(1)
    same = torch.stack([(flat == one).float().mean(1) for one in flat])
    same.fill_diagonal_(0)
    return float((same.amax(1) < 0.5).float().mean())


@torch.inference_mode()
def measure(name: str, tokens: Tokens, folder: Path, arguments: argparse.Namespace) -> Row:
    """One trained model."""
    network, model, held_out = EfficientNetDistance(), read_generator(folder), tokens.held_out()
    length = sum(float(model.code_length(batch).sum()) for batch in held_out.split(BATCH))
    begin = time.perf_counter()
    made = torch.cat(list(samples(model, held_out, arguments.samples, arguments.sampling_steps)))
    seconds = (time.perf_counter() - begin) / len(made)
    alike = likeness(features(tokens, network, held_out), features(tokens, network, made))
    pixels = len(held_out) * tokens.pixels(held_out[:1])[0, 0].numel()
    return Row(
        name,
        sum(p.numel() for p in cast(torch.nn.Module, model).parameters()),
        arguments.steps,
        length / int((held_out != EMPTY).sum()),
        length / pixels,
        seconds,
        **asdict(alike),
        distinct=distinct(made),
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
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("--other-pictures", type=Path)
    parser.add_argument("--jpeg", default="jpeg:64:25:640", help="side, quality and words of a picture (%(default)s)")
    parser.add_argument("overrides", nargs="*", help="of the training config")
    arguments = parser.parse_args(words)
    rows = list[Row]()
    for name in arguments.models.split(","):
        tokens: Tokens = JpegBytes(arguments) if name == JPEG_MODEL else StoredTokens(arguments)
        rows.append(measure(name, tokens, train(name, tokens, arguments), arguments))
    print(
        "| model | parameters | bits a token | bits a pixel | s a sample | Fréchet | kernel | precision | recall | distinct |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        likes = f"{row.frechet:.1f} | {row.kernel:.3f} | {row.precision:.2f} | {row.recall:.2f} | {row.distinct:.2f}"
        bits = f"{row.bits_a_token:.3f} | {row.bits_a_pixel:.4f}"
        print(f"| `{row.model}` | {row.parameters:,} | {bits} | {row.sample_seconds:.2f} | {likes} |")
    with whole_file(arguments.out / "generators.json") as file:
        file.write(json.dumps([asdict(row) for row in rows], indent=2).encode() + b"\n")


if __name__ == "__main__":
    main()
