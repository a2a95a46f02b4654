"""Measure what a model of continuous rate promises beside its curve: its bits, its targets, its seconds, its planes, its regions.

    python tools/benchmark_latent.py --data MEDIA [--model image-latent] [--parts bits,targets,seconds,planes,region]
        [--pictures N] [--threads 2] [--runs 5] [--json FILE]

MEDIA holds `kodak/*.png`. The curve itself and BD-rates are in `benchmark_images.py`. The parts:

bits      bytes of whole files beyond the code length by the integer tables, and beyond what training takes the bits for
targets   how far the files are from sizes, rates and decibels that were asked for
seconds   encode and decode of the first picture, warm, and their parts; the shortest of several runs each
planes    files cut after each plane that may be missing: rate and PSNR
region    a quarter of the picture in the middle marked: PSNR inside and outside, beside the same quality everywhere
"""

import argparse
import io
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

import torch
from benchmark_speed import latent_decode, latent_encode
from torch import Tensor

from codec.cli.measure import split_names
from codec.container import truncate
from codec.entropy import CodeLength, GivenCodes, walk
from codec.entropy.rounding import Priced
from codec.evaluation import psnr
from codec.media import read_image
from codec.models import LatentCodec, load
from codec.models.base import Encoding
from codec.models.latent_picture import chunk_part
from codec.models.rate import gain_of
from codec.models.tiling import tiles
from codec.types import Media

QUALITIES = (10, 50, 90)
TARGETS = (
    *(Encoding(target_bytes=size) for size in (10_000, 40_000)),
    *(Encoding(target_bpp=rate) for rate in (0.2, 0.5, 1.0)),
    *(Encoding(target_psnr=decibels) for decibels in (30.0, 34.0, 36.0)),
)
PARTS = ("bits", "targets", "seconds", "planes", "region")


@dataclass(frozen=True)
class Excess:
    """What files of one quality hold beyond an estimate: the mean over the pictures, and the worst of them."""

    quality: int
    estimate: str
    file_bytes: float
    mean_bytes: float
    worst_bytes: float
    mean_percent: float
    worst_percent: float


@dataclass(frozen=True)
class Hit:
    """How far files are from one target, in percent of a size or rate, or in decibels: mean and largest distance.

    Attributes:
        above: files larger than asked for.
        out_of_reach: pictures whose best quality is below the target; not counted in the rest.
    """

    target: str
    unit: str
    mean: float
    worst: float
    above: int
    out_of_reach: int
    encode_seconds: float


@dataclass(frozen=True)
class Seconds:
    """One way of one picture and its parts; what is left of the total is container and copying."""

    way: str
    quality: int
    bytes: int
    total: float
    transform: float
    entropy: float
    entropy_share_percent: float


@dataclass(frozen=True)
class Cut:
    """Files with so many planes, means over the pictures."""

    planes: int
    bits_per_pixel: float
    psnr_db: float


@dataclass(frozen=True)
class RegionGain:
    """Files of one quality with and without a region of interest, means over the pictures."""

    asked: str
    quality: int
    bits_per_pixel: float
    inside_psnr_db: float
    outside_psnr_db: float


Row = Excess | Hit | Seconds | Cut | RegionGain


def measure_bits(model: LatentCodec, pictures: Sequence[Media]) -> Iterator[Excess]:
    """Whole files against two estimates of their bits."""
    for quality in QUALITIES:
        found: dict[str, list[tuple[int, float]]] = {"integer tables": [], "float networks": []}
        for media in pictures:
            data = model.compress(media, Encoding(quality=quality))
            found["integer tables"].append((len(data), table_bits(model, data) / 8))
            found["float networks"].append((len(data), float_bits(model, media, quality) / 8))
        for name, pairs in found.items():
            excess = [size - estimate for size, estimate in pairs]
            percent = [100 * (size / estimate - 1) for size, estimate in pairs]
            mean_size = fmean(size for size, _ in pairs)
            yield Excess(quality, name, mean_size, fmean(excess), max(excess), fmean(percent), max(percent))


def table_bits(model: LatentCodec, data: bytes) -> float:
    """-log2 of each symbol's share in its integer table, summed; without coder, container and checksums."""
    codes, length = model.read_codes(io.BytesIO(data)), CodeLength()
    rows, columns = codes.planes[-1].codes.shape[-2:]
    for tile in tiles((rows, columns), model.chunk):
        layout = model.prior.layout(tile.shape, codes.gain or 0)
        parts = zip(codes.planes, layout.grids, model.prior.reductions, strict=True)
        planes = [chunk_part(plane.codes[0], tile, grid, step).flatten().numpy() for plane, grid, step in parts]
        walk(model.prior, layout, GivenCodes(planes), length)
    return length.bits


@torch.inference_mode()
def float_bits(model: LatentCodec, media: Media, quality: int) -> float:
    """What training takes the bits for, latents rounded as in files."""
    latent = model.analyse(pixels_of(media))
    level = gain_of(quality) / gain_of(100)
    levels = torch.full((1, 1, *latent.shape[2:]), level)
    return float(model.prior(latent, levels, Priced(model.price)).bits)


def measure_targets(model: LatentCodec, pictures: Sequence[Media]) -> Iterator[Hit]:
    """Every target on every picture that can have it."""
    best = [model.compress(media, Encoding(quality=100)) for media in pictures]
    for encoding in TARGETS:
        errors, seconds = [], []
        for media, finest in zip(pictures, best, strict=True):
            if distance(model, media, finest, encoding) < 0:
                continue
            begin = time.perf_counter()
            data = model.compress(media, encoding)
            seconds.append(time.perf_counter() - begin)
            errors.append(distance(model, media, data, encoding))
        unit = "%" if encoding.target_psnr is None else "dB"
        above = sum(error > 0 for error in errors) if unit == "%" else 0
        sizes = [abs(error) for error in errors]
        out_of_reach = len(pictures) - len(errors)
        yield Hit(title(encoding), unit, fmean(sizes), max(sizes), above, out_of_reach, fmean(seconds))


def distance(model: LatentCodec, media: Media, data: bytes, encoding: Encoding) -> float:
    """Signed distance of a file from its target, in percent or decibels."""
    if encoding.target_psnr is not None:
        return psnr(media.samples, model.decompress(data).samples) - encoding.target_psnr
    target = encoding.target_bytes
    if target is None:
        assert encoding.target_bpp is not None
        return 100 * (8 * len(data) / area_of(media) / encoding.target_bpp - 1)
    return 100 * (len(data) / target - 1)


def title(encoding: Encoding) -> str:
    """The one target that is given."""
    targets = {"bytes": encoding.target_bytes, "bpp": encoding.target_bpp, "dB": encoding.target_psnr}
    return " ".join(f"{value:g} {unit}" for unit, value in targets.items() if value is not None)


@torch.inference_mode()
def measure_seconds(model: LatentCodec, pictures: Sequence[Media], runs: int) -> Iterator[Seconds]:
    """The first picture at a few qualities."""
    for quality in QUALITIES:
        data = model.compress(pictures[0], Encoding(quality=quality))
        ways = {
            "encode": latent_encode(model, pictures[0], quality, runs),
            "decode": latent_decode(model, data, runs),
        }
        for way, found in ways.items():
            share = 100 * found["entropy"] / found["total"]
            yield Seconds(way, quality, len(data), **found, entropy_share_percent=share)


def measure_planes(model: LatentCodec, pictures: Sequence[Media]) -> Iterator[Cut]:
    """One progressive file a picture, cut after each plane from the first that may be missing."""
    files = [model.compress(media, Encoding(quality=QUALITIES[-1], progressive=True)) for media in pictures]
    for planes in range(model.prior.droppable_from, len(model.prior.codebook_sizes) + 1):
        rates, qualities = [], []
        for media, data in zip(pictures, files, strict=True):
            sink = io.BytesIO()
            truncate(io.BytesIO(data), sink, planes)
            decoded = model.decompress(sink.getvalue(), partial=True)
            rates.append(8 * len(sink.getvalue()) / area_of(media))
            qualities.append(psnr(media.samples, decoded.samples))
        yield Cut(planes, fmean(rates), fmean(qualities))


def measure_region(model: LatentCodec, pictures: Sequence[Media]) -> Iterator[RegionGain]:
    """The middle of the picture, half as high and half as wide, at one quality, and the whole picture at two."""
    quality, coarser = QUALITIES[1], QUALITIES[0]
    asked = {"everywhere": (quality, False), "in the middle": (quality, True), "nowhere": (coarser, False)}
    for name, (chosen, marked) in asked.items():
        found = [measure_marked(model, media, chosen, marked) for media in pictures]
        yield RegionGain(name, chosen, *(fmean(column) for column in zip(*found, strict=True)))


def measure_marked(model: LatentCodec, media: Media, quality: int, marked: bool) -> tuple[float, float, float]:
    """Bits per pixel, and PSNR in the middle and of the frame around it."""
    height, width = media.samples.shape[1:]
    inside = torch.zeros(height, width, dtype=torch.bool)
    inside[height // 4 : height - height // 4, width // 4 : width - width // 4] = True
    data = model.compress(media, Encoding(quality=quality, roi=inside.float() if marked else None))
    decoded = model.decompress(data).samples
    parts = (psnr(media.samples[:, where][:, None], decoded[:, where][:, None]) for where in (inside, ~inside))
    return 8 * len(data) / area_of(media), *parts  # type: ignore[return-value]


def pixels_of(media: Media) -> Tensor:
    """What the codec's own methods take: `(1, 3, H, W)`."""
    return media.samples.expand(3, -1, -1)[None]


def area_of(media: Media) -> int:
    """Pixels."""
    height, width = media.space
    return height * width


def format_rows(rows: Sequence[Row]) -> str:
    """Aligned columns named by the attributes, a row a line."""
    plain = [{name: f"{v:.3f}" if isinstance(v, float) else str(v) for name, v in asdict(row).items()} for row in rows]
    widths = {name: max(len(name), *(len(row[name]) for row in plain)) for name in plain[0]}
    head = "  ".join(f"{name:>{width}}" for name, width in widths.items())
    return "\n".join([head, *("  ".join(f"{row[name]:>{width}}" for name, width in widths.items()) for row in plain)])


def parse_arguments() -> argparse.Namespace:
    """What the first lines of this file say."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="image-latent")
    parser.add_argument("--parts", default=",".join(PARTS), help="%(default)s")
    parser.add_argument("--pictures", type=int, help="only the first so many of Kodak")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def main() -> None:
    """Print a table a part."""
    arguments = parse_arguments()
    torch.set_num_threads(arguments.threads)
    model = load(arguments.model)
    if not isinstance(model, LatentCodec):
        raise SystemExit(f"{arguments.model} has one fixed rate")
    files = sorted((arguments.data / "kodak").glob("*.png"))[: arguments.pictures]
    pictures = [read_image(file) for file in files]
    measures: dict[str, Callable[[], Iterator[Row]]] = {
        "bits": lambda: measure_bits(model, pictures),
        "targets": lambda: measure_targets(model, pictures),
        "seconds": lambda: measure_seconds(model, pictures, arguments.runs),
        "planes": lambda: measure_planes(model, pictures),
        "region": lambda: measure_region(model, pictures),
    }
    results = {}
    for part in split_names(arguments.parts):
        rows = list(measures[part]())
        results[part] = [asdict(row) for row in rows]
        print(f"{part}, {len(pictures)} pictures\n{format_rows(rows)}\n", flush=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
