"""What generative models of tokens do for files of pictures: bytes beside the priors of the tokenizer, and lost codes made up.

    python tools/benchmark_generator_uses.py coding --pictures FOLDER --model image-tokens-f16 [--generator NAME]
    python tools/benchmark_generator_uses.py lengths --pictures FOLDER --model image-tokens-f16 [--generator NAME]
    python tools/benchmark_generator_uses.py repair --pictures FOLDER --model image-tokens-f16 [--generator NAME] [--losses 5,10,20]

Coding: bits a token of the codes themselves, without heads, and seconds to encode and decode all pictures, warm.
Lengths: ideal bits a token, those of the generative model by its floats, which takes seconds where coding takes minutes.
Repair: so many percent of the codes are lost, one by one or in squares of 4x4, with a seed for each picture; PSNR against the picture, of
all codes, of those that are left with the code of zeros in place of the others (what `codec decode --partial` gives), with the nearest
code that is left, and with those that the model makes.
"""

import argparse
import io
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from codec.container import describe
from codec.entropy import ideal_bits
from codec.evaluation import psnr
from codec.generation import EMPTY, TokenModel, find_generator, load_generator
from codec.generation.checkpoint import attach_generators
from codec.media import read_image
from codec.models import Encoding, TokenCodec, load_as
from codec.types import Codes, Plane

SQUARE = 4  # positions a side
Fill = Callable[[Tensor], Tensor]


def coding(model: TokenCodec, pictures: Sequence[Path]) -> None:
    """A row for each prior."""
    media = [read_image(path) for path in pictures]
    coded = (model.encode(one.samples.expand(3, -1, -1)[None]) for one in media)
    tokens = sum(plane.codes.numel() for codes in coded for plane in codes.planes)
    print("| prior | bits a token | against learned | encode s | decode s |")
    print("|---|---|---|---|---|")
    bits: dict[str, float] = {}
    for name in model.priors():
        encoding = Encoding(prior=name)
        model.read_codes(io.BytesIO(model.compress(media[0], encoding)))
        begin = time.perf_counter()
        files = [model.compress(one, encoding) for one in media]
        middle = time.perf_counter()
        for data in files:
            model.read_codes(io.BytesIO(data))
        end = time.perf_counter()
        payloads = (
            part.bytes for data in files for part in describe(io.BytesIO(data)).sections if part.name == "codes"
        )
        bits[name] = 8 * sum(payloads) / tokens
        more = f"{100 * (bits[name] / bits['learned'] - 1):+.1f} %" if "learned" in bits else ""
        print(f"| {name} | {bits[name]:.3f} | {more} | {middle - begin:.1f} | {end - middle:.1f} |", flush=True)


def lengths(model: TokenCodec, generator: TokenModel, pictures: Sequence[Path]) -> None:
    """A row for each prior."""
    coded = [model.encode(read_image(path).samples.expand(3, -1, -1)[None]) for path in pictures]
    tokens = sum(plane.codes.numel() for codes in coded for plane in codes.planes)
    bits = {"learned": 0.0, "generator": 0.0}
    for codes in coded:
        planes = [plane.codes for plane in codes.planes]
        bits["learned"] += ideal_bits(model.priors()["learned"], [plane[0] for plane in planes])
        bits["generator"] += float(generator.code_length(torch.stack(planes, 1)).sum())
    print("| prior | bits a token | against learned |")
    print("|---|---|---|")
    for name, total in bits.items():
        print(f"| {name} | {total / tokens:.3f} | {100 * (total / bits['learned'] - 1):+.1f} % |")


def repair(model: TokenCodec, pictures: Sequence[Path], losses: Sequence[float]) -> None:
    """A row for each share and shape of what is lost."""
    assert model.fill is not None
    fills: dict[str, Fill] = {"zeros": _zeros(model), "nearest": nearest, "made": model.fill}
    print("| lost | whole | zeros | nearest | made | of the loss with zeros left |")
    print("|---|---|---|---|---|---|")
    for share in losses:
        for shape, side in ("codes", 1), ("squares", SQUARE):
            found = torch.tensor([list(_one(model, path, share / 100, side, fills)) for path in pictures]).mean(0)
            whole, zeros, _, made = found.tolist()
            values = " | ".join(f"{value:.2f}" for value in found.tolist())
            print(f"| {share:g} % of {shape} | {values} | {100 * (whole - made) / (whole - zeros):.0f} % |", flush=True)


def _one(model: TokenCodec, path: Path, share: float, side: int, fills: dict[str, Fill]) -> Iterator[float]:
    """PSNR of one picture: whole, and with each filling."""
    picture = read_image(path).samples.expand(3, -1, -1)
    codes = torch.stack([plane.codes for plane in model.encode(picture[None]).planes], 1)
    lost = lost_places((codes.shape[2], codes.shape[3]), share, side, seed=len(path.name) + codes.shape[3])
    yield _psnr(model, codes, picture)
    for fill in fills.values():
        yield _psnr(model, fill(codes.masked_fill(lost, EMPTY)), picture)


def lost_places(grid: tuple[int, int], share: float, side: int, *, seed: int) -> Tensor:
    """bool `grid`: squares of that side, until the share is reached."""
    rows, columns = (-(-size // side) for size in grid)
    random = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(rows * columns, generator=random)[: round(share * rows * columns)]
    cells = torch.zeros(rows * columns, dtype=torch.bool)
    cells[chosen] = True
    spread = cells.view(rows, columns).repeat_interleave(side, 0).repeat_interleave(side, 1)
    return spread[: grid[0], : grid[1]]


def nearest(codes: Tensor) -> Tensor:
    """Each lost code becomes the nearest that is left."""
    known = (codes[0, 0] != EMPTY).nonzero()
    places = torch.cartesian_prod(*(torch.arange(size) for size in codes.shape[2:]))
    closest = known[torch.cdist(places.float(), known.float()).argmin(1)]
    return codes[:, :, closest[:, 0], closest[:, 1]].view_as(codes)


def _zeros(model: TokenCodec) -> Fill:
    filling = model.quantizer.encode(torch.zeros(model.latent_dim))
    return lambda codes: torch.where(codes == EMPTY, filling[:, None, None], codes)


def _psnr(model: TokenCodec, codes: Tensor, picture: Tensor) -> float:
    planes = zip(codes.unbind(1), model.quantizer.codebook_sizes, strict=True)
    decoded = model.decode(Codes(tuple(Plane(plane, size) for plane, size in planes)))
    cut = (255 * decoded[0, :, : picture.shape[1], : picture.shape[2]]).round().to(torch.uint8)
    return psnr(cut, picture)


def main(words: Sequence[str] | None = None) -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=("coding", "lengths", "repair"))
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--generator")
    parser.add_argument("--losses", default="5,10,20")
    arguments = parser.parse_args(words)
    model = load_as(TokenCodec, arguments.model)
    repairs = arguments.what == "repair"
    found = find_generator(model.coding_hash("static").hex(), arguments.generator, masked=repairs, coder=not repairs)
    attach_generators(model, [found.folder])
    pictures = sorted(path for path in arguments.pictures.iterdir() if path.suffix in (".png", ".webp", ".jpg"))
    with torch.inference_mode():
        if arguments.what == "coding":
            coding(model, pictures)
        elif arguments.what == "lengths":
            lengths(model, load_generator(found), pictures)
        else:
            repair(model, pictures, [float(share) for share in arguments.losses.split(",")])


if __name__ == "__main__":
    main()
