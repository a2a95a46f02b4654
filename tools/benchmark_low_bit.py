"""Roads for a synthesis network: float32, bfloat16, and int8 matrix products with activations rounded as they come.

    python tools/benchmark_low_bit.py PICTURES [--model NAME] [--threads N] [--runs 15]

The int8 roads replace pointwise convolutions only: `_int_mm` with a scale for each position, and oneDNN's fused quantised map with
a scale for each call. They stay here, as bfloat16 is as fast and needs nothing (docs/benchmarks.md). Milliseconds are the shortest
of the runs: of processor time with one thread, so that other work on the machine does not count, of wall time with more. The loss
counts the squared change of the output on top of the error that the pictures have.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from codec.media import read_image
from codec.models import load
from codec.models.deployment import Model, examples_of, low_bit_copy, synthesis_of, uniform_bits
from codec.nn.low_bit import round_weight
from codec.nn.sensitivity import Example, damage, db_of_damage

LEAST_WEIGHTS = 30_000  # of a convolution that is worth the rounding of its input


class IntegerProduct(nn.Module):
    """A pointwise convolution by `torch._int_mm`, with its own scale for each position."""

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        rounded = round_weight(layer.weight, 8)
        self.codes, self.scale, self.bias = rounded.codes.flatten(1).T, rounded.scale.float(), layer.bias

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, H, W)` to `(B, C', H, W)`."""
        rows = x.movedim(1, -1).flatten(0, 2).float()
        steps = rows.abs().amax(1, keepdim=True).clamp_min(1e-12) / 127
        products = torch._int_mm((rows / steps).round_().to(torch.int8), self.codes)
        mapped = torch.addcmul(cast(Tensor, self.bias).float(), products * steps, self.scale).to(x.dtype)
        return mapped.unflatten(0, (x.shape[0], *x.shape[2:])).movedim(-1, 1)


class FusedProduct(nn.Module):
    """A pointwise convolution by oneDNN's quantised linear map, with one scale and zero point for its input."""

    def __init__(self, layer: nn.Conv2d) -> None:
        super().__init__()
        rounded = round_weight(layer.weight, 8)
        self.packed = torch.ops.onednn.qlinear_prepack(rounded.codes.flatten(1), None)
        self.scale, self.zeros = rounded.scale.float(), torch.zeros(len(rounded.scale), dtype=torch.int64)
        self.bias = cast(Tensor, layer.bias).float()

    def forward(self, x: Tensor) -> Tensor:
        """`(B, C, H, W)` to `(B, C', H, W)`."""
        rows = x.movedim(1, -1).flatten(0, 2).float()
        low, high = (float(value) for value in torch.aminmax(rows))
        step = max((max(high, 0.0) - min(low, 0.0)) / 255, 1e-12)
        zero = round(-min(low, 0.0) / step)
        codes = torch.quantize_per_tensor(rows, step, zero, torch.quint8).int_repr()
        weights = (self.packed, self.scale, self.zeros, self.bias)
        mapped = torch.ops.onednn.qlinear_pointwise(codes, step, zero, *weights, 1.0, 0, x.dtype, "none", [], "")
        return mapped.unflatten(0, (x.shape[0], *x.shape[2:])).movedim(-1, 1)


class HalfFloats(nn.Module):
    """A transform that computes in bfloat16."""

    def __init__(self, transform: nn.Module) -> None:
        super().__init__()
        self.transform = transform

    def forward(self, *inputs: Tensor) -> Tensor:
        """As the transform."""
        with torch.autocast(inputs[0].device.type, torch.bfloat16):
            return self.transform(*inputs).float()


def with_products(transform: nn.Module, make: Callable[[nn.Conv2d], nn.Module]) -> nn.Module:
    """A copy whose larger pointwise convolutions are replaced."""
    changed = copy.deepcopy(transform)
    for name, layer in list(changed.named_modules()):
        pointwise = isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1) and layer.bias is not None
        if pointwise and cast(nn.Conv2d, layer).weight.numel() >= LEAST_WEIGHTS:
            changed.set_submodule(name, make(cast(nn.Conv2d, layer)))
    return changed


def roads(transform: nn.Module) -> dict[str, nn.Module]:
    """Everything to be measured, by name."""
    halves = HalfFloats(copy.deepcopy(transform))
    rounded_halves = copy.deepcopy(halves)
    rounded_halves.transform = with_products(rounded_halves.transform, FusedProduct)
    return {
        "float32": transform,
        "float32, low-bit storage": low_bit_copy(transform, uniform_bits(transform, 8)),
        "bfloat16": halves,
        "int8 _int_mm in float32": with_products(transform, IntegerProduct),
        "int8 fused in float32": with_products(transform, FusedProduct),
        "int8 fused in bfloat16": rounded_halves,
    }


@torch.inference_mode()
def fastest(transforms: dict[str, nn.Module], example: Example, runs: int) -> dict[str, float]:
    """Milliseconds of each, in turns."""
    clock = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    best = dict.fromkeys(transforms, float("inf"))
    for _ in range(runs):
        for name, transform in transforms.items():
            begin = clock()
            transform(*example.inputs)
            best[name] = min(best[name], 1000 * (clock() - begin))
    return best


@torch.inference_mode()
def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument("--model", default="image-tokens-f8")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--qualities", type=int, nargs="+", default=[10, 50, 90], help="of a continuous model")
    wanted = parser.parse_args()
    torch.set_num_threads(wanted.threads)
    model = cast(Model, load(wanted.model))
    pictures = (read_image(file).samples.expand(3, -1, -1)[None] for file in wanted.pictures)
    examples = examples_of(model, pictures, wanted.qualities)
    found = roads(synthesis_of(model))
    originals = [cast(Any, synthesis_of(model))(*example.inputs) for example in examples]
    times = fastest(found, examples[0], wanted.runs)
    for name, transform in found.items():
        print(f"{name:26} {times[name]:7.1f} ms  {db_of_damage(damage(transform, examples, originals)):.4f} dB lost")


if __name__ == "__main__":
    main()
