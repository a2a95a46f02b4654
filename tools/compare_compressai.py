"""Import CompressAI models, random and briefly trained, and compare: transforms, estimated bits, bytes of whole files.

.venv-compare/bin/python tools/compare_compressai.py [--pictures docs/samples] [--seconds 40]

Kept there, as compressai pins numpy below 2. Their bytes are the sum of `compress()`'s strings; ours are those of a `.lmc` file.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from compressai.zoo import image_models
from import_compressai import PRIORS, Kind, calibration, import_model, random_state
from torch import Tensor

from codec.entropy import ideal_bits
from codec.entropy.rounding import Priced
from codec.media import read_image
from codec.types import Media

WIDTH, LATENT_DIM = 24, 32
CROP, BATCH = 128, 8
TRADE = 0.1 * 255**2  # of squared error against bits


@dataclass(frozen=True)
class Comparison:
    """Sums over all pictures, ours against theirs."""

    analysis: float  # largest difference of latents
    synthesis: float  # of pixels, from the same latents
    their_estimate: float
    our_estimate: float  # of the float networks
    our_tables: float  # of the integer tables
    their_bytes: int
    their_nearest: int  # bytes, had they taken the nearest scale too, not the next larger
    our_bytes: int


def trained(kind: Kind, pictures: list[Tensor], seconds: float) -> dict[str, Tensor]:
    """A state dict of theirs after a moment of their own training."""
    torch.manual_seed(0)
    model = image_models[kind](quality=1, pretrained=False).__class__(WIDTH, LATENT_DIM).train()
    optimizer = torch.optim.Adam([p for name, p in model.named_parameters() if "quantiles" not in name], 1e-3)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        x = torch.stack([_crop(pictures[int(torch.randint(len(pictures), ()))]) for _ in range(BATCH)])
        found = model(x)
        bits = sum(-likelihood.log2().sum() for likelihood in found["likelihoods"].values()) / (BATCH * CROP**2)
        loss = bits + TRADE * (found["x_hat"] - x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    model.entropy_bottleneck.update(force=True, update_quantiles=True)
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


@torch.no_grad()
def compare(kind: Kind, state: dict[str, Tensor], pictures: list[Tensor], calibrate: Tensor) -> Comparison:
    """Both models on whole pictures, whose sides are multiples of 64."""
    theirs: Any = image_models[kind](quality=1, pretrained=False).__class__(WIDTH, LATENT_DIM).eval()
    theirs.load_state_dict(theirs.state_dict() | state)
    theirs.update(force=True)
    ours = cast(Any, import_model(state, calibrate)[0])
    rows = []
    for samples in pictures:
        x = samples[None]
        y = theirs.g_a(x)
        latent = torch.round(y)
        likelihoods = theirs(x)["likelihoods"].values()
        planes = ours.prior.analyse(ours.analysis(x))
        levels = torch.ones(1, 1, *y.shape[2:])
        rows.append(
            Comparison(
                float((y - ours.analysis(x)).abs().max()),
                float((theirs.g_s(latent) - ours.synthesis(latent, levels)).abs().max()),
                float(sum(-likelihood.double().log2().sum() for likelihood in likelihoods)),
                float(ours.prior(y, levels, rounding=Priced()).bits),
                ideal_bits(ours.prior, planes),
                sum(len(strings[0]) for strings in theirs.compress(x)["strings"]),
                nearest_bytes(theirs, kind, y),
                len(ours.compress(Media("image", samples.mul(255).round().to(torch.uint8)))),
            )
        )
    largest = [max(getattr(row, name) for row in rows) for name in ("analysis", "synthesis")]
    names = [name for name in Comparison.__dataclass_fields__ if name not in ("analysis", "synthesis")]
    return Comparison(*largest, *(sum(getattr(row, name) for row in rows) for name in names))


def nearest_bytes(model: Any, kind: Kind, y: Tensor) -> int:
    """Their coder on a latent, with the row nearest in the logarithm."""
    if kind == "bmshj2018-factorized":
        return len(model.entropy_bottleneck.compress(y)[0])
    z = model.h_a(y.abs() if kind == "bmshj2018-hyperprior" else y)
    strings = model.entropy_bottleneck.compress(z)
    parameters = model.h_s(model.entropy_bottleneck.decompress(strings, z.shape[2:]))
    scales, means = parameters.chunk(2, 1) if kind == "mbt2018-mean" else (parameters, None)
    gaussian = model.gaussian_conditional
    borders = (gaussian.scale_table[1:] * gaussian.scale_table[:-1]).sqrt()
    rows = torch.bucketize(scales, borders).int()
    return len(strings[0]) + len(gaussian.compress(y, rows, means=means)[0])


def _crop(picture: Tensor) -> Tensor:
    top, left = (int(torch.randint(side - CROP + 1, ())) for side in picture.shape[1:])
    return picture[:, top : top + CROP, left : left + CROP]


def main() -> None:
    """A line for each model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=Path, default=Path("docs/samples"))
    parser.add_argument("--seconds", type=float, default=40, help="of training, a model")
    arguments = parser.parse_args()
    pictures = [read_image(path).samples.float() / 255 for path in sorted(arguments.pictures.glob("*.png"))]
    pictures = [p[:, : p.shape[1] // 64 * 64, : p.shape[2] // 64 * 64] for p in pictures]
    calibrate = calibration(arguments.pictures)
    columns = ["model", "weights", "g_a", "g_s", "bits, theirs", "ours, floats", "ours, tables"]
    columns += ["bytes, theirs", "with the nearest scale", "ours", "ours against nearest"]
    print("|", " | ".join(columns), "|\n" + "|---" * len(columns) + "|")
    for kind in PRIORS:
        for weights in ("random", "trained"):
            random = weights == "random"
            state = random_state(kind, WIDTH, LATENT_DIM) if random else trained(kind, pictures, arguments.seconds)
            c = compare(kind, state, pictures, calibrate)
            bits = f"{c.their_estimate:.0f} | {_more(c.our_estimate, c.their_estimate)} | {_more(c.our_tables, c.their_estimate)}"
            size = f"{c.their_bytes} | {c.their_nearest} | {c.our_bytes} | {_more(c.our_bytes, c.their_nearest)}"
            print(f"| {kind} | {weights} | {c.analysis:.1e} | {c.synthesis:.1e} | {bits} | {size} |", flush=True)


def _more(ours: float, theirs: float) -> str:
    return f"{100 * (ours / theirs - 1):+.2f} %"


if __name__ == "__main__":
    main()
