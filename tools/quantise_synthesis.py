"""Write a checkpoint whose synthesis weights take a few bits each; the files it writes and reads stay the same.

    python tools/quantise_synthesis.py NAME --bits 8 --pictures FOLDER --out checkpoints/NAME-int8
    python tools/quantise_synthesis.py NAME --budget-db 0.05 --pictures FOLDER --out FOLDER [--tune 200] [--test FOLDER]

With `--budget-db` each layer gets the width that an exact integer program finds for it: the smallest weights whose loss on
pictures stays within the budget, before tuning. `--pictures` calibrate and tune; the loss that counts is measured on `--test`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn

from codec.media import read_image
from codec.models import load, save
from codec.models.checkpoint import CARD, CONFIG, find
from codec.models.deployment import (
    Model,
    bits_within,
    decoded,
    deploy,
    examples_of,
    low_bit_copy,
    synthesis_name,
    synthesis_of,
    uniform_bits,
)
from codec.nn.low_bit_tuning import tune
from codec.training.pack import open_pack

SIDE = 256  # of calibration crops, in pixels


def crops(root: str, count: int, cache: Path) -> Iterator[Tensor]:
    """uint8 `(1, 3, SIDE, SIDE)` from pictures spread over the collection."""
    pack, random = open_pack(root, cache), np.random.default_rng(0)
    large = [i for i in range(len(pack)) if min(pack.index[i, 1:]) >= SIDE]
    for i in large[:: max(1, len(large) // count)][:count]:
        top, left = (int(random.integers(0, side - SIDE + 1)) for side in pack[i].shape[:2])
        yield torch.from_numpy(pack[i][top : top + SIDE, left : left + SIDE].copy()).permute(2, 0, 1)[None]


def whole_pictures(folder: Path) -> Iterator[Tensor]:
    """uint8 `(1, 3, H, W)` of a folder's PNG files."""
    for file in sorted(folder.glob("*.png")):
        yield read_image(file).samples.expand(3, -1, -1)[None]


def mean_psnr(model: Model, pictures: Iterator[Tensor], qualities: list[int]) -> float:
    """In dB, over all pictures and qualities, decoded to 8 bits."""
    errors = [
        ((back * 255).round() - pixels).square().mean().item() for pixels, back in decoded(model, pictures, qualities)
    ]
    return float(np.mean([10 * np.log10(255**2 / error) for error in errors]))


def part_bytes(folder: Path, part: str) -> int:
    """Of the tensors of one part in a checkpoint."""
    from safetensors import safe_open

    with safe_open(folder / "model.safetensors", "pt") as file:
        tensors = (file.get_tensor(name) for name in file.keys() if name.startswith(f"{part}."))  # noqa: SIM118
        return sum(tensor.nbytes for tensor in tensors)


@torch.inference_mode()
def milliseconds(transform: nn.Module, inputs: tuple[Tensor, ...], runs: int = 10) -> float:
    """A call, the shortest of some."""
    found = []
    for _ in range(runs):
        begin = time.perf_counter()
        transform(*inputs)
        found.append(time.perf_counter() - begin)
    return 1000 * min(found)


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("name")
    wish = parser.add_mutually_exclusive_group(required=True)
    wish.add_argument("--bits", type=int, help="one width for all layers")
    wish.add_argument("--budget-db", type=float, help="loss that the widths may cost")
    parser.add_argument("--pictures", required=True, help="folder or tar to calibrate on")
    parser.add_argument("--count", type=int, default=12, help="crops taken from them")
    parser.add_argument("--qualities", type=int, nargs="+", default=[10, 50, 90], help="of a continuous model")
    parser.add_argument("--tune", type=int, default=0, help="steps of fine-tuning")
    parser.add_argument("--slope", type=float, default=2.0, help="of the gradient factor; 0 is plain straight-through")
    parser.add_argument("--test", type=Path, help="PNG files to measure the loss on; the crops where none are given")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"), help="for decoded pictures")
    parser.add_argument("--out", type=Path, required=True)
    return parser.parse_args()


def main() -> None:
    """Measure, round, tune, save, and measure what was saved."""
    wanted = parsed()
    info, model = find(wanted.name), cast(Model, load(wanted.name))
    config = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(info.folder / CONFIG)))
    pictures = list(crops(wanted.pictures, wanted.count, wanted.cache))
    examples, original = examples_of(model, pictures, wanted.qualities), synthesis_of(model)
    bits = (
        uniform_bits(original, wanted.bits) if wanted.bits else bits_within(original, examples, wanted.budget_db, print)
    )
    low = low_bit_copy(original, bits)
    if wanted.tune:
        errors = tune(low, original, [e.inputs for e in examples], steps=wanted.tune, slope=wanted.slope)
        tenth = max(1, len(errors) // 10)
        print(f"tuning: squared error {np.mean(errors[:tenth]):.3e} to {np.mean(errors[-tenth:]):.3e}")
    test = list(whole_pictures(wanted.test)) if wanted.test else pictures
    before = mean_psnr(model, iter(test), wanted.qualities)
    new_config = deploy(model, config, low)
    folder = save(wanted.out, cast(Any, model), new_config, card="").folder
    saved = cast(Model, load(folder))
    loss = before - mean_psnr(saved, iter(test), wanted.qualities)
    part = synthesis_name(model)
    sizes = part_bytes(info.folder, part), part_bytes(folder, part)
    speed = milliseconds(original, examples[0].inputs), milliseconds(synthesis_of(saved), examples[0].inputs)
    facts = (
        f"synthesis {sizes[0]:,} to {sizes[1]:,} bytes, {loss:.4f} dB lost ({before:.3f} dB before, {len(test)} pictures), "
        f"{speed[0]:.1f} and {speed[1]:.1f} ms for {SIDE}x{SIDE} pixels"
    )
    old_card = (info.folder / CARD).read_text()
    (folder / CARD).write_text(card_of(folder.name, info.name, bits, facts, old_card))
    print(facts)


def card_of(name: str, original: str, bits: dict[str, int], facts: str, old_card: str) -> str:
    """The card: what was done, and the original's card below it."""
    counts = {width: list(bits.values()).count(width) for width in sorted(set(bits.values()))}
    widths = ", ".join(f"{count} layers of {width} bits" for width, count in counts.items())
    below = "\n".join(line if not line.startswith("#") else f"#{line}" for line in old_card.splitlines())
    summary = f"{original} with low-bit synthesis weights; reads and writes the same files."
    return f"# {name}\n\n{summary}\n\n- **Low bits**: {widths}; {facts}.\n\n{below}\n"


if __name__ == "__main__":
    main()
