"""Train the same small autoencoder with every quantizer, and measure each at what its codes cost.

    python tools/benchmark_quantizers.py --data MEDIA --out FOLDER [--rows simvq,fsq] [--bits 14] [--seeds 0] [--steps 3000]
    python tools/benchmark_quantizers.py --media speech --data MEDIA --out FOLDER --bits 40

MEDIA holds `images-train.tar` and `images-val.tar`, for speech `speech-train.tar` and `audio-val.tar`. Each run is a process of its
own and leaves one JSON file in FOLDER; a run whose file is there is not repeated, so that the whole can be stopped and goes on. Rows
are in `configs/comparison/images.yaml` and `speech.yaml`. All start at the same PCA of 8x8 patches, or of frames of 20 ms, and see
the same crops; the quantizer starts from the latents as its config says. Counted over one pass of training and validation files:
usage and perplexity; by a table of the training files: what a position of the validation files costs.
"""

import argparse
import json
import math
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch
from omegaconf import OmegaConf
from quantizer_bottlenecks import ROOT, Bottleneck, Positions, build_bottleneck
from quantizer_media import Medium, Part, Quality
from quantizer_pictures import STRIDE as STRIDE
from quantizer_pictures import Pictures
from quantizer_speech import Speech
from torch import Tensor, nn

from codec.evaluation import CodebookUsage
from codec.media.files import whole_file
from codec.nn import channels_last
from codec.training.losses import WeightedSum
from codec.training.optimisation import Optimisation, adamw

MOST_JOINT_CODES = 1 << 18
MEDIA: dict[str, Callable[[Path, Path], Medium]] = {"images": Pictures, "speech": Speech}


@dataclass(frozen=True)
class Run:
    """What one training gave; a measure that its medium does not have is None.

    Attributes:
        psnr: mean over the validation pictures, as `ms_ssim`.
        nominal_bits: log2 of all codes of a position; where planes are coarser or leave out positions, of the codes used.
        coded_bits: of a position of the validation files, by tables of the training files.
        usage: share of the codes seen, the mean over the codes of a position; `tokens_per_code` says in how many tokens.
        perplexity: likewise.
        step_ms: median of the training steps.
        peak_mb: of the process.
        mel_distance: mean over the validation clips, see `MelDistance`; as `si_sdr`, in dB.
        joint_usage: of the several codes of a position taken as one, where there are at most `MOST_JOINT_CODES` of these.
        joint_bits: what a position then costs.
    """

    row: str
    bits: int
    seed: int
    steps: int
    psnr: float | None
    ms_ssim: float | None
    nominal_bits: float
    coded_bits: float
    usage: float
    perplexity: float
    dead: int
    tokens_per_code: float
    step_ms: float
    train_seconds: float
    peak_mb: float
    threads: int
    mel_distance: float | None = None
    si_sdr: float | None = None
    joint_usage: float | None = None
    joint_tokens_per_code: float | None = None
    joint_bits: float | None = None


class Autoencoder(nn.Module):
    """A medium's transforms around a bottleneck."""

    def __init__(self, medium: Medium, bottleneck: Bottleneck) -> None:
        super().__init__()
        self.medium = medium
        self.encoder, self.decoder = medium.transforms()
        self.bottleneck = bottleneck

    @torch.no_grad()
    def start(self, batches: Sequence[Tensor]) -> None:
        """PCA, then whatever the quantizer makes of the latents."""
        self.medium.start(self.encoder, self.decoder, batches)
        self.bottleneck.start(torch.cat([self.latents(batch) for batch in batches]), batches)

    def forward(self, samples: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Decoded samples `(B, C, *space)`, and the quantizer's losses."""
        vectors, losses = self.bottleneck(self.latents(samples), samples)
        return self.synthesis(vectors), losses

    def encode(self, samples: Tensor) -> list[Tensor]:
        """`(B, C, *space)` to planes of codes."""
        return self.bottleneck.encode(self.latents(samples), samples)

    def decode(self, planes: Sequence[Tensor]) -> Tensor:
        """The way back."""
        return self.synthesis(self.bottleneck.decode(planes))

    def latents(self, samples: Tensor) -> Tensor:
        """`(B, C, *space)` to `(B, *grid, D)`."""
        latents: Tensor = self.encoder(samples.contiguous(memory_format=self.medium.memory_format))
        return latents.movedim(1, -1)

    def synthesis(self, vectors: Tensor) -> Tensor:
        """`(B, *grid, D)` to `(B, C, *space)`, not clamped."""
        decoded: Tensor = self.decoder(vectors.movedim(-1, 1))
        return decoded.float()


@dataclass(frozen=True)
class Count:
    """Codes of many files: for each alphabet what was seen, and the number of positions, those of the latent grid.

    `joint` has the several codes of a position as one, where that is an alphabet of sensible size.
    """

    usages: tuple[CodebookUsage, ...]
    positions: int
    joint: CodebookUsage | None = None

    @property
    def shares(self) -> list[float]:
        """Codes of each alphabet a position: 1 where every position has one."""
        return [usage.tokens / self.positions for usage in self.usages]


@dataclass(frozen=True)
class Falling:
    """Losses that weigh more at first, where a method has it so.

    Attributes:
        names: of the losses.
        start: times their weight, falling to once.
        steps: over which it falls.
    """

    names: tuple[str, ...] = ()
    start: float = 1.0
    steps: int = 1

    def __call__(self, losses: Mapping[str, Tensor], step: int) -> dict[str, Tensor]:
        """The losses at a step."""
        factor = 1 + (self.start - 1) * max(0.0, 1 - step / self.steps)
        return {name: factor * loss if name in self.names else loss for name, loss in losses.items()}


def train(
    model: Autoencoder,
    weights: Mapping[str, float],
    choice: Optimisation,
    falling: Falling,
    *,
    steps: int,
    seed: int,
) -> list[float]:
    """Milliseconds of each step."""
    medium = model.medium
    loss = WeightedSum({**medium.weights} | {name: medium.loss_scale * weight for name, weight in weights.items()})
    optimisation = adamw(model.parameters(), choice, steps)
    optimizer, schedule = optimisation["optimizer"], optimisation["lr_scheduler"]["scheduler"]
    times = []
    model.train()
    for step in range(steps):
        begin = time.perf_counter()
        samples = medium.batch(step, seed)
        with torch.autocast("cpu", torch.bfloat16):
            decoded, losses = model(samples)
        optimizer.zero_grad()
        loss({**medium.distortion(samples, decoded), **falling(losses, step)}).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 2.5, foreach=True)
        optimizer.step()
        schedule.step()
        times.append(1000 * (time.perf_counter() - begin))
    return times


@torch.no_grad()
def count(model: Autoencoder, part: Part) -> Count:
    """Codes of all files."""
    sizes = model.bottleneck.alphabets
    usages, positions = tuple(CodebookUsage(size) for size in sizes), 0
    several = isinstance(model.bottleneck, Positions) and len(sizes) > 1 and math.prod(sizes) <= MOST_JOINT_CODES
    joint = CodebookUsage(math.prod(sizes)) if several else None
    for samples in model.medium.files(part, model.bottleneck.multiple):
        latents = model.latents(samples)
        codes = model.bottleneck.used(model.bottleneck.encode(latents, samples))
        for usage, plane in zip(usages, codes, strict=True):
            usage.update(plane)
        if joint is not None:
            joint.update(torch.stack([plane * math.prod(sizes[:q]) for q, plane in enumerate(codes)]).sum(0))
        positions += latents[..., 0].numel()
    return Count(usages, positions, joint)


@torch.no_grad()
def quality(model: Autoencoder) -> Quality:
    """Of the validation files."""
    files = model.medium.files("val", model.bottleneck.multiple)
    return model.medium.quality((samples, model.decode(model.encode(samples))) for samples in files)


def coded_bits(seen: CodebookUsage, new: CodebookUsage) -> float:
    """Bits a code of `new` by a table of `seen`, in which every code is there half a time more often."""
    shares = (seen.counts.double() + 0.5) / (seen.tokens + 0.5 * seen.alphabet)
    return float(-(new.counts.double() * shares.log2()).sum() / new.tokens) if new.tokens else 0.0


def run_one(arguments: argparse.Namespace, row: str, bits: int, seed: int) -> Run:
    """Train and measure, in this process."""
    spec = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(arguments.config)))[row]
    medium = MEDIA[arguments.media](arguments.data, arguments.cache)
    torch.manual_seed(seed)
    model = channels_last(Autoencoder(medium, build_bottleneck(row, spec["bits"][bits], medium)))
    model.start([medium.batch((1 << 30) + i, seed) for i in range(medium.start_batches)])
    begin = time.perf_counter()
    choice = Optimisation(**{"warmup_steps": 100} | spec.get("optimisation", {}))
    falling = Falling(**spec.get("falling", {}))
    times = train(model, spec.get("weights", {}), choice, falling, steps=arguments.steps, seed=seed)
    seconds = time.perf_counter() - begin
    model.eval()
    measured = quality(model)
    trained, validated = count(model, "train"), count(model, "val")
    pairs = list(zip(trained.usages, validated.usages, strict=True))
    nominal = sum(
        share * math.log2(size) for share, size in zip(validated.shares, model.bottleneck.alphabets, strict=True)
    )
    coded = sum(share * coded_bits(*pair) for share, pair in zip(validated.shares, pairs, strict=True))
    joint_bits = None
    if trained.joint is not None and validated.joint is not None:
        joint_bits = coded_bits(trained.joint, validated.joint)
        trained.joint.merge(validated.joint)
    for usage, more in pairs:
        usage.merge(more)
    usages = [usage for usage in trained.usages[model.bottleneck.maps :] if usage.tokens]
    return Run(
        row=row,
        bits=bits,
        seed=seed,
        steps=arguments.steps,
        **asdict(measured),
        nominal_bits=nominal,
        coded_bits=coded,
        usage=sum(usage.usage for usage in usages) / len(usages),
        perplexity=sum(usage.perplexity for usage in usages) / len(usages),
        dead=sum(usage.dead for usage in usages),
        tokens_per_code=min(usage.tokens / usage.alphabet for usage in usages),
        step_ms=sorted(times)[len(times) // 2],
        train_seconds=seconds,
        peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        threads=torch.get_num_threads(),
        joint_usage=None if trained.joint is None else trained.joint.usage,
        joint_tokens_per_code=None if trained.joint is None else trained.joint.tokens / trained.joint.alphabet,
        joint_bits=joint_bits,
    )


def parse_arguments() -> argparse.Namespace:
    """What the first lines of this file say."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--media", choices=tuple(MEDIA), default="images")
    parser.add_argument("--config", type=Path, help="of the rows; that of the media in configs/comparison if left out")
    parser.add_argument("--rows", help="names separated by commas; all if left out")
    parser.add_argument("--bits", type=int, default=14)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--here", action="store_true", help="one run, in this process")
    arguments = parser.parse_args()
    arguments.config = arguments.config or ROOT / "configs" / "comparison" / f"{arguments.media}.yaml"
    return arguments


def main() -> None:
    """All runs that are not there yet."""
    arguments = parse_arguments()
    specs = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(arguments.config)))
    rows = (
        arguments.rows.split(",") if arguments.rows else [row for row in specs if arguments.bits in specs[row]["bits"]]
    )
    arguments.out.mkdir(parents=True, exist_ok=True)
    failed = []
    for seed in map(int, arguments.seeds.split(",")):
        for row in rows:
            path = arguments.out / f"{row}-{arguments.bits}-{seed}.json"
            if path.exists():
                continue
            if arguments.here:
                found = asdict(run_one(arguments, row, arguments.bits, seed))
                with whole_file(path) as file:
                    file.write(json.dumps(found, indent=2).encode() + b"\n")
                print(json.dumps(found), flush=True)
            else:
                alone = [*sys.argv, "--rows", row, "--seeds", str(seed), "--here"]
                if subprocess.run([sys.executable, *alone], check=False).returncode:
                    failed.append(path.stem)
    if failed:
        raise SystemExit(f"failed, while the others went on: {', '.join(failed)}")


if __name__ == "__main__":
    main()
