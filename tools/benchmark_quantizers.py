"""Train the same small autoencoder with every quantizer, and measure each at what its codes cost.

    python tools/benchmark_quantizers.py --data MEDIA --out FOLDER [--rows simvq,fsq] [--bits 14] [--seeds 0] [--steps 3000]

MEDIA holds `images-train.tar` and `images-val.tar`. Each run is a process of its own and leaves one JSON file in FOLDER; a run whose
file is there is not repeated, so that the whole can be stopped and goes on. Rows are in `configs/comparison/images.yaml`. All start
at the same PCA of 8x8 patches and see the same crops; the quantizer starts from the latents as its config says. Counted over one
pass of training and validation pictures: usage and perplexity; by a table of the training pictures: what a token of the validation
pictures costs.
"""

import argparse
import json
import math
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor, nn

from codec.evaluation import CodebookUsage, ms_ssim, psnr
from codec.media.files import whole_file
from codec.nn import PatchDecoder, PatchEncoder, channels_last, principal_basis
from codec.quantizers import Quantizer
from codec.training.crops import EndlessCrops
from codec.training.losses import Fidelity, WeightedSum
from codec.training.optimisation import Optimisation, adamw
from codec.training.pack import ImagePack, open_pack

ROOT = Path(__file__).resolve().parents[1]
LATENT_DIM, STRIDE, LATENT_STEP = 32, 8, 80 / 255
FIDELITY_WEIGHTS = {"mse": 50.0, "negative_psnr": 0.05}
LOSS_SCALE = 3.2  # of a quantizer's losses beside these, as in configs/loss/fidelity_gradient.yaml
START_BATCHES = 60
BATCH, CROP = 16, 128


@dataclass(frozen=True)
class Run:
    """What one training gave.

    Attributes:
        nominal_bits: log2 of all codes of a position.
        coded_bits: of a position of the validation pictures, by tables of the training pictures.
        usage: share of the codes seen, the mean over the codes of a position; `tokens_per_code` says in how many tokens.
        perplexity: likewise.
        step_ms: median of the training steps.
        peak_mb: of the process.
    """

    row: str
    bits: int
    seed: int
    steps: int
    psnr: float
    ms_ssim: float
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


class Autoencoder(nn.Module):
    """Patch transforms around a quantizer of `LATENT_DIM` dimensions."""

    def __init__(self, quantizer: Quantizer) -> None:
        super().__init__()
        if quantizer.dim != LATENT_DIM:
            raise ValueError(f"the comparison is at {LATENT_DIM} dimensions, this quantizer has {quantizer.dim}")
        self.encoder, self.decoder = (
            PatchEncoder(LATENT_DIM, width=96, depth=2),
            PatchDecoder(LATENT_DIM, width=128, depth=3),
        )
        self.quantizer = quantizer

    @torch.no_grad()
    def start(self, batches: list[Tensor]) -> None:
        """PCA, then whatever the quantizer makes of the latents."""
        basis = principal_basis(batches, LATENT_DIM, STRIDE, LATENT_STEP)
        self.encoder.start_from(basis)
        self.decoder.start_from(basis)
        self.quantizer.start(torch.cat([self.latents(batch).flatten(0, 2) for batch in batches]))

    def latents(self, pixels: Tensor) -> Tensor:
        """`(B, 3, H, W)` in [0, 1] to `(B, h, w, LATENT_DIM)`."""
        return self.encoder(pixels.contiguous(memory_format=torch.channels_last)).movedim(1, -1)

    def pixels(self, vectors: Tensor) -> Tensor:
        """The way back."""
        return self.decoder(vectors.movedim(-1, 1)).float()


def build_quantizer(row: str, changes: Mapping[str, Any]) -> Quantizer:
    """A config with changes; a whole number for a list keeps so many of its entries."""
    config = OmegaConf.to_container(OmegaConf.load(ROOT / "configs" / "model" / "quantizer" / f"{row}.yaml"))
    for key, value in changes.items():
        change(config, key.split("."), value)
    return instantiate(OmegaConf.create(config))


def change(node: Any, path: list[str], value: Any) -> None:
    """Set what a path names; `*` is every entry of a list."""
    head, *rest = path
    if head == "*":
        for entry in node:
            change(entry, rest, value)
    elif rest:
        change(node[int(head) if isinstance(node, list) else head], rest, value)
    elif isinstance(node.get(head), list) and isinstance(value, int):
        del node[head][value:]
    else:
        node[head] = value


def train(
    model: Autoencoder, crops: EndlessCrops, weights: Mapping[str, float], choice: Optimisation, steps: int
) -> list[float]:
    """Milliseconds of each step."""
    fidelity = Fidelity(decibels=True)
    loss = WeightedSum(FIDELITY_WEIGHTS | {name: LOSS_SCALE * weight for name, weight in weights.items()})
    optimisation = adamw(model.parameters(), choice, steps)
    optimizer, schedule = optimisation["optimizer"], optimisation["lr_scheduler"]["scheduler"]
    times = []
    model.train()
    for step in range(steps):
        begin = time.perf_counter()
        pixels = crops.batch(step).float() / 255
        with torch.autocast("cpu", torch.bfloat16):
            quantized = model.quantizer(model.latents(pixels))
            decoded = model.pixels(quantized.vectors)
        optimizer.zero_grad()
        loss(fidelity(pixels, decoded) | quantized.losses).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 2.5, foreach=True)
        optimizer.step()
        schedule.step()
        times.append(1000 * (time.perf_counter() - begin))
    return times


def whole(pack: ImagePack) -> Iterator[Tensor]:
    """Pictures `(1, 3, H, W)` uint8, cut to whole patches."""
    for i in range(len(pack)):
        pixels = torch.from_numpy(pack[i].copy()).permute(2, 0, 1)[None]
        yield pixels[..., : pixels.shape[-2] // STRIDE * STRIDE, : pixels.shape[-1] // STRIDE * STRIDE]


@torch.no_grad()
def count(model: Autoencoder, pack: ImagePack) -> list[CodebookUsage]:
    """Codes of all pictures, for each code of a position."""
    usages = [CodebookUsage(size) for size in model.quantizer.codebook_sizes]
    for picture in whole(pack):
        codes = model.quantizer.encode(model.latents(picture.float() / 255))
        for q, usage in enumerate(usages):
            usage.update(codes[..., q])
    return usages


@torch.no_grad()
def fidelity(model: Autoencoder, pack: ImagePack) -> tuple[float, float]:
    """Mean PSNR and MS-SSIM of decoded 8-bit pictures."""
    found = []
    for picture in whole(pack):
        quantizer = model.quantizer
        vectors = quantizer.decode(quantizer.encode(model.latents(picture.float() / 255)))
        decoded = (model.pixels(vectors).clamp(0, 1) * 255).round().to(torch.uint8)
        found.append((psnr(picture[0], decoded[0]), ms_ssim(picture[0], decoded[0])))
    decibels, similarity = (sum(values) / len(found) for values in zip(*found, strict=True))
    return decibels, similarity


def coded_bits(seen: CodebookUsage, new: CodebookUsage) -> float:
    """Bits a code of `new` by a table of `seen`, in which every code is there half a time more often."""
    shares = (seen.counts.double() + 0.5) / (seen.tokens + 0.5 * seen.alphabet)
    return float(-(new.counts.double() * shares.log2()).sum() / new.tokens)


def run_one(arguments: argparse.Namespace, row: str, bits: int, seed: int) -> Run:
    """Train and measure, in this process."""
    spec = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(arguments.config)))[row]
    train_pack, val_pack = (
        open_pack(str(arguments.data / f"images-{part}.tar"), arguments.cache) for part in ("train", "val")
    )
    torch.manual_seed(seed)
    model = channels_last(Autoencoder(build_quantizer(row, spec["bits"][bits])))
    crops = EndlessCrops(train_pack, batch_size=BATCH, crop=CROP, seed=seed)
    model.start([crops.batch((1 << 30) + i).float() / 255 for i in range(START_BATCHES)])
    begin = time.perf_counter()
    choice = Optimisation(**{"warmup_steps": 100} | spec.get("optimisation", {}))
    times = train(model, crops, spec.get("weights", {}), choice, arguments.steps)
    seconds = time.perf_counter() - begin
    model.eval()
    decibels, similarity = fidelity(model, val_pack)
    trained, validated = count(model, train_pack), count(model, val_pack)
    coded = sum(coded_bits(*pair) for pair in zip(trained, validated, strict=True))
    for usage, more in zip(trained, validated, strict=True):
        usage.merge(more)
    return Run(
        row=row,
        bits=bits,
        seed=seed,
        steps=arguments.steps,
        psnr=decibels,
        ms_ssim=similarity,
        nominal_bits=sum(math.log2(size) for size in model.quantizer.codebook_sizes),
        coded_bits=coded,
        usage=sum(usage.usage for usage in trained) / len(trained),
        perplexity=sum(usage.perplexity for usage in trained) / len(trained),
        dead=sum(usage.dead for usage in trained),
        tokens_per_code=min(usage.tokens / usage.alphabet for usage in trained),
        step_ms=sorted(times)[len(times) // 2],
        train_seconds=seconds,
        peak_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        threads=torch.get_num_threads(),
    )


def parse_arguments() -> argparse.Namespace:
    """What the first lines of this file say."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--config", type=Path, default=ROOT / "configs" / "comparison" / "images.yaml")
    parser.add_argument("--rows", help="names separated by commas; all if left out")
    parser.add_argument("--bits", type=int, default=14)
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    parser.add_argument("--here", action="store_true", help="one run, in this process")
    return parser.parse_args()


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
