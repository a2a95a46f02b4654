"""Cut the codebook of a tokenizer of pictures down to several sizes, for lower rates by `--quality`; all its files stay readable.

    python tools/reduce_codebook.py image-tokens-f16 --sizes 512,128,32 --out FOLDER [--pictures FOLDER]

Clusters are those of the codewords, weighted by how often they occur, which the static table says. With --pictures, bits a pixel and
PSNR of each size are printed, beside those of all codes with their best prior.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from omegaconf import OmegaConf

from codec.entropy import ReducedPrior
from codec.evaluation import psnr
from codec.media import read_image
from codec.models import Encoding, TokenCodec, find, load_as, save
from codec.models.checkpoint import CARD, CONFIG

TARGET = "codec.entropy.ReducedPrior"


@torch.no_grad()
def reduce(model: TokenCodec, sizes: Sequence[int]) -> list[ReducedPrior]:
    """Give a model tables for these numbers of clusters."""
    (codebook_size,) = model.quantizer.codebook_sizes
    vectors = model.quantizer.decode(torch.arange(codebook_size)[:, None])
    found = []
    for size in sizes:
        prior = ReducedPrior(codebook_size, size)
        prior.cluster(vectors, model.prior.get_buffer("frequencies_0"))
        found.append(prior)
    model.reduced = torch.nn.ModuleList(found)
    return found


def measure(model: TokenCodec, pictures: Sequence[Path]) -> None:
    """A row for each number of codes."""
    names = [name for name in model.coded_with() if name.startswith("reduced")]
    parts = len(names) + 1
    print("| codes | bits a pixel | PSNR |")
    print("|---|---|---|")
    for part, name in enumerate([*sorted(names, key=lambda name: int(name.split("-")[1])), "all"]):
        bits, values = 0.0, []
        for path in pictures:
            media = read_image(path)
            quality = None if name == "all" else 1 + 100 * part // parts
            data = model.compress(media, Encoding(quality=quality))
            bits += 8 * len(data) / media.samples[0].numel()
            values.append(psnr(media.samples, model.decompress(data).samples))
        print(f"| {name} | {bits / len(pictures):.4f} | {sum(values) / len(values):.2f} dB |", flush=True)


def main() -> None:
    """Write the checkpoint."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("--sizes", default="512,128,32")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pictures", type=Path)
    arguments = parser.parse_args()
    info, model = find(arguments.model), load_as(TokenCodec, arguments.model)
    config = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(info.folder / CONFIG)))
    priors = reduce(model, [int(size) for size in arguments.sizes.split(",")])
    model.seal()
    entries = [{"_target_": TARGET, "codebook_size": one.codebook_size, "size": one.size} for one in priors]
    save(arguments.out, model, config | {"reduced": entries}, (info.folder / CARD).read_text())
    if arguments.pictures is not None:
        measure(
            model, sorted(path for path in arguments.pictures.iterdir() if path.suffix in (".png", ".webp", ".jpg"))
        )


if __name__ == "__main__":
    main()
