"""Turn weights of a CompressAI model into a checkpoint folder: bmshj2018-factorized, bmshj2018-hyperprior, mbt2018-mean.

python tools/import_compressai.py WEIGHTS.pth.tar OUT --pictures PICTURES
python tools/import_compressai.py --random mbt2018-mean OUT

Only the state dict is read (Bégaint et al. 2020, arXiv:2011.03029, names its parts), so that library need not be installed.
Tables and integer networks are made from the weights, calibrated on crops of the pictures or on synthetic ones.
"""

import argparse
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.entropy import FactorisedDensity, FactorisedLatentPrior
from codec.entropy.classic import MeanScaleHyperprior, ScaleHyperprior
from codec.entropy.factorised import TAIL
from codec.media import read_image
from codec.models import save
from codec.models.checkpoint import build

Kind = Literal["bmshj2018-factorized", "bmshj2018-hyperprior", "mbt2018-mean"]
State = Mapping[str, Tensor]
ClassicPrior = FactorisedLatentPrior | ScaleHyperprior | MeanScaleHyperprior

PRIORS: dict[Kind, str] = {
    "bmshj2018-factorized": "FactorisedLatentPrior",
    "bmshj2018-hyperprior": "ScaleHyperprior",
    "mbt2018-mean": "MeanScaleHyperprior",
}
PREFIXES = {
    "g_a.": "analysis.layers.",
    "g_s.": "synthesis.layers.",
    "h_a.": "prior.analysis.",
    "h_s.": "prior.synthesis.",
    "entropy_bottleneck.": "prior.density.",
}
# made from other weights, or constants
DERIVED = re.compile(r".*(pedestal|bound|target|quantiles|_offset|_quantized_cdf|_cdf_length|scale_table|scale_bound)$")
LARGEST_REACH = 2048
CROP, CROPS = 256, 16


@dataclass(frozen=True)
class Shape:
    """What the shapes of a state dict tell: channels of the stages (N) and of the latent (M)."""

    kind: Kind
    width: int
    latent_dim: int


def cleaned(state: Mapping[str, Any]) -> dict[str, Tensor]:
    """The names of the present library, whatever version or wrapper wrote the file."""
    found = cast(State, state.get("state_dict", state))
    names = {name: name.removeprefix("module.") for name in found}
    old = re.compile(r"^entropy_bottleneck\._(matri|bias|factor)(x|ces|es|s)?\.?(\d)$")
    plural = {"matri": "matrices", "bias": "biases", "factor": "factors"}
    return {old.sub(lambda m: f"entropy_bottleneck.{plural[m[1]]}.{m[3]}", names[name]): found[name] for name in found}


def shape_of(state: State) -> Shape:
    """Kind and sizes of a cleaned state dict."""
    if any(name.startswith("context_prediction.") for name in state):
        raise SystemExit("this is an autoregressive model (mbt2018, cheng2020): it has no counterpart here")
    if not {"g_a.0.weight", "g_a.1.gamma", "g_a.6.weight", "entropy_bottleneck.quantiles"} <= set(state):
        raise SystemExit(
            f"these weights belong to none of {', '.join(PRIORS)}: expected g_a with divisive normalisation"
        )
    width, latent_dim = len(state["g_a.0.weight"]), len(state["g_a.6.weight"])
    if "h_s.4.weight" not in state:
        return Shape("bmshj2018-factorized", width, latent_dim)
    means = len(state["h_s.4.weight"]) == 2 * latent_dim
    return Shape("mbt2018-mean" if means else "bmshj2018-hyperprior", width, latent_dim)


def config_of(shape: Shape, reach: int) -> dict[str, Any]:
    """The model's config in a checkpoint."""
    transform = {"latent_dim": shape.latent_dim, "width": shape.width}
    hyper = {} if shape.kind == "bmshj2018-factorized" else {"hyper_channels": shape.width}
    return {
        "_target_": "codec.models.LatentCodec",
        "latent_dim": shape.latent_dim,
        "analysis": {"_target_": "codec.nn.ClassicAnalysis", **transform},
        "prior": {
            "_target_": f"codec.entropy.{PRIORS[shape.kind]}",
            "channels": shape.latent_dim,
            **hyper,
            "reach": reach,
        },
        "synthesis": {"_target_": "codec.nn.ClassicSynthesis", **transform},
        "price": 0.0,  # the nearest integer, as there
    }


def renamed(state: State) -> dict[str, Tensor]:
    """A cleaned state dict's weights under the names that they have here."""
    kept = {name: tensor.float() for name, tensor in state.items() if not DERIVED.match(name)}
    prefixes = {name: next((prefix for prefix in PREFIXES if name.startswith(prefix)), None) for name in kept}
    if unknown := [name for name, prefix in prefixes.items() if prefix is None]:
        raise SystemExit(f"do not know what to do with {unknown[:5]}")
    return {PREFIXES[prefix] + name.removeprefix(prefix): kept[name] for name, prefix in prefixes.items() if prefix}


def reach_of(weights: State, medians: Tensor) -> int:
    """How far from its median the widest of the learned distributions reaches, in steps."""
    density = FactorisedDensity(len(medians))
    density.load_state_dict(_below(weights, "prior.density."))
    ends = torch.stack([density.quantiles(TAIL), density.quantiles(1 - TAIL)])
    return min(LARGEST_REACH, 1 + math.ceil(float((ends - medians).abs().max())))


@torch.no_grad()
def import_model(state: Mapping[str, Any], pictures: Tensor) -> tuple[nn.Module, dict[str, Any]]:
    """The frozen model of a state dict, and its config.

    Args:
        state: as loaded from a file.
        pictures: `(B, 3, H, W)` in [0, 1] to calibrate on; sides are multiples of 64.
    """
    state = cleaned(state)
    shape, weights = shape_of(state), renamed(state)
    medians = state["entropy_bottleneck.quantiles"][:, 0, 1].float()
    config = config_of(shape, reach_of(weights, medians))
    model = build(config).eval()
    if wrong := set(weights) ^ {name for name, _ in model.named_parameters()}:
        raise SystemExit(f"the weights do not fit this model: {sorted(wrong)[:5]}")
    for name, parameter in model.named_parameters():
        parameter.copy_(weights[name])
    prior = cast(ClassicPrior, model.get_submodule("prior"))
    planes = [prior.analyse(model.get_submodule("analysis")(picture[None])) for picture in pictures]
    prior.freeze([torch.stack(plane) for plane in zip(*planes, strict=True)], medians)
    return model, config


def random_state(kind: Kind, width: int, latent_dim: int, seed: int = 0) -> dict[str, Tensor]:
    """Random weights under the names that CompressAI gives them, loud enough that latents are not all zero."""
    random = torch.Generator().manual_seed(seed)
    state: dict[str, Tensor] = {}

    def layer(name: str, shape: tuple[int, ...], outputs: int, gain: float = 1.0) -> None:
        fan = math.prod(shape) / outputs
        state[f"{name}.weight"] = gain * torch.randn(shape, generator=random) / fan**0.5
        state[f"{name}.bias"] = 0.1 * torch.randn(outputs, generator=random)

    def divisive(name: str) -> None:
        state[f"{name}.beta"] = 1 + 0.1 * torch.rand(width, generator=random)
        state[f"{name}.gamma"] = 0.3 * torch.eye(width) + 0.05 * torch.rand(width, width, generator=random)

    down, up = (3, width, width, width, latent_dim), (latent_dim, width, width, width, 3)
    for i in range(4):
        layer(f"g_a.{2 * i}", (down[i + 1], down[i], 5, 5), down[i + 1], gain=8.0 if i == 3 else 2.0)
        layer(f"g_s.{2 * i}", (up[i], up[i + 1], 5, 5), up[i + 1], gain=0.3)
    for i in (1, 3, 5):
        divisive(f"g_a.{i}")
        divisive(f"g_s.{i}")
    coded = latent_dim
    if kind != "bmshj2018-factorized":
        coded, means = width, kind == "mbt2018-mean"
        middle = (latent_dim, latent_dim * 3 // 2, 2 * latent_dim) if means else (width, width, latent_dim)
        for i, inputs in enumerate((latent_dim, width, width)):
            side = 3 if i == 0 else 5
            layer(f"h_a.{2 * i}", (width, inputs, side, side), width, gain=1.5)
        layer("h_s.0", (width, middle[0], 5, 5), middle[0], gain=2.0)
        layer("h_s.2", (middle[0], middle[1], 5, 5), middle[1], gain=2.0)
        layer("h_s.4", (middle[2], middle[1], 3, 3), middle[2])
        state["h_s.4.bias"][:latent_dim] += 25  # scales larger than most latents
    widths = (1, 3, 3, 3, 3, 1)
    for i in range(5):
        start = torch.full((coded, widths[i + 1], widths[i]), 1 / (10**0.2 * widths[i + 1]))
        state[f"entropy_bottleneck.matrices.{i}"] = torch.log(torch.expm1(start))
        state[f"entropy_bottleneck.biases.{i}"] = torch.rand(coded, widths[i + 1], 1, generator=random) - 0.5
        if i < 4:
            state[f"entropy_bottleneck.factors.{i}"] = torch.randn(coded, widths[i + 1], 1, generator=random)
    state["entropy_bottleneck.quantiles"] = torch.tensor([[[-100.0, 0.0, 100.0]]]).repeat(coded, 1, 1)
    state["entropy_bottleneck.quantiles"][:, 0, 1] = torch.randn(coded, generator=random)
    return state


def calibration(folder: Path | None) -> Tensor:
    """Crops `(B, 3, 256, 256)` in [0, 1] from the middle of pictures, or coloured clouds."""
    if folder is None:
        random = torch.Generator().manual_seed(0)
        clouds = [torch.rand(8, 3, cells, cells, generator=random) for cells in (3, 11, 37)]
        mixed = sum(F.interpolate(c, (CROP, CROP), mode="bilinear") / c.shape[-1] ** 0.5 for c in clouds)
        return cast(Tensor, mixed) / cast(Tensor, mixed).amax()
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp"))
    if not paths:
        raise SystemExit(f"no pictures in {folder}")
    return torch.stack([_middle(path) for path in paths[:CROPS]])


def _middle(path: Path) -> Tensor:
    samples = read_image(path).samples
    scale = 65535 if samples.dtype == torch.uint16 else 255
    pixels = samples.float().div(scale).expand(3, -1, -1)
    rows, columns = (max(0, (side - CROP) // 2) for side in pixels.shape[1:])
    pixels = pixels[:, rows : rows + CROP, columns : columns + CROP]
    missing = (0, CROP - pixels.shape[2], 0, CROP - pixels.shape[1])
    return F.pad(pixels[None], missing, mode="replicate")[0]


def _below(state: State, prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}


def main() -> None:
    """Read, rename, freeze, save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path, nargs="?", help="a .pth or .pth.tar file")
    parser.add_argument("out", type=Path)
    parser.add_argument("--random", choices=list(PRIORS), help="random weights of this kind in place of a file")
    parser.add_argument("--pictures", type=Path, help="folder to calibrate on; synthetic pictures without it")
    arguments = parser.parse_args()
    if (arguments.weights is None) == (arguments.random is None):
        parser.error("give either a file of weights or --random KIND")
    state = random_state(arguments.random, 16, 24) if arguments.random else _read(arguments.weights)
    model, config = import_model(state, calibration(arguments.pictures))
    shape = shape_of(cleaned(state))
    source = f"random weights (--random {shape.kind})" if arguments.random else f"`{arguments.weights.name}`"
    card = f"# {arguments.out.name}\n\n{shape.kind}, N {shape.width}, M {shape.latent_dim}, imported from {source}.\n"
    print(save(arguments.out, cast(Any, model), config, card))


def _read(path: Path) -> Mapping[str, Any]:
    return cast(Mapping[str, Any], torch.load(path, map_location="cpu", weights_only=True))


if __name__ == "__main__":
    main()
