"""Measure the shipped picture model: Kodak against classical codecs, codebook usage, distance from the ideal code length.

    python tools/benchmark_images.py --data MEDIA [--model image-tokens-f8] [--json FILE] [--usage]

MEDIA holds `kodak/*.png`, and for --usage also `images-train.tar` and `images-val.tar`.
"""

import argparse
import json
import statistics
from itertools import pairwise
from pathlib import Path

import torch

from codec import api
from codec.cli.measure import code_with_model, format_table
from codec.entropy import ideal_bits
from codec.evaluation import BASELINES, ImageResult, measure, summarise
from codec.media import read_image
from codec.models import TokenCodec, load
from codec.training.export import count_codes
from codec.training.pack import open_pack

JPEG_QUALITIES, WEBP_QUALITIES, AVIF_QUALITIES = (
    (3, 4, 5, 7, 10, 13, 16),
    (0, 1, 3, 6, 10, 15),
    (18, 22, 26, 30, 34, 40),
)


def measure_kodak(model: TokenCodec, name: str, pictures: list[Path]) -> tuple[list[ImageResult], list[float]]:
    """The model's rows, and for each picture the bytes beyond its ideal code length as (bytes, ideal bytes) excess."""
    rows, excess = [], []
    model.decompress(model.compress(read_image(pictures[0])))
    for path in pictures:
        media = read_image(path)
        coded = code_with_model(name, model, media)
        planes = [plane.codes[0] for plane in model.encode(media.samples[None]).planes]
        excess.append(len(coded.data) - ideal_bits(model.prior, planes) / 8)
        rows.append(measure(path.name, media.samples, coded))
    return rows, excess


def measure_curve(name: str, qualities: tuple[int, ...], pictures: list[Path]) -> list[tuple[float, float, float]]:
    """Mean bits per pixel, PSNR and MS-SSIM of a classical codec at fixed qualities."""
    codec, points = BASELINES[name], []
    for quality in qualities:
        rows = []
        for path in pictures:
            samples = read_image(path).samples
            rows.append(measure(path.name, samples, codec.code(samples, quality)))
        means = (
            statistics.fmean(getattr(row, key) for row in rows) for key in ("bits_per_pixel", "psnr_db", "ms_ssim")
        )
        points.append(tuple(means))
    return sorted(points)  # type: ignore[arg-type]


def interpolate(points: list[tuple[float, float, float]], bits_per_pixel: float, column: int) -> float:
    """Linear between the neighbouring points of a curve; below its first point there is no such file."""
    for low, high in pairwise(points):
        if low[0] <= bits_per_pixel <= high[0]:
            share = (bits_per_pixel - low[0]) / (high[0] - low[0])
            return low[column] + share * (high[column] - low[column])
    return float("nan")


def measure_usage(model: TokenCodec, data: Path, cache: Path) -> dict[str, float]:
    """Codes hit at least once over train and val, whole pictures, each token counted once."""
    totals = [torch.zeros(size, dtype=torch.int64) for size in model.quantizer.codebook_sizes]
    for pack in ("images-train.tar", "images-val.tar"):
        for total, count in zip(totals, count_codes(model, open_pack(str(data / pack), cache)), strict=True):
            total += count
    counts = totals[0].double()
    share = counts / counts.sum()
    entropy = float(-(share * share.clamp_min(1e-300).log2()).sum())
    return {
        "codes": len(counts),
        "tokens": int(counts.sum()),
        "tokens_per_code": float(counts.sum() / len(counts)),
        "usage": float((counts > 0).double().mean()),
        "perplexity": 2**entropy,
        "order_0_bits": entropy,
    }


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default=api.DEFAULT_IMAGE_MODEL)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--usage", action="store_true")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    arguments = parser.parse_args()
    model, pictures = load(arguments.model), sorted((arguments.data / "kodak").glob("*.png"))
    rows, excess = measure_kodak(model, arguments.model, pictures)
    print(format_table(summarise(rows)))
    rate = statistics.fmean(row.bits_per_pixel for row in rows)
    report: dict[str, object] = {"bits_per_pixel": rate, "psnr_db": statistics.fmean(row.psnr_db for row in rows)}
    report["ms_ssim"] = statistics.fmean(row.ms_ssim or 0.0 for row in rows)
    for name, qualities in (("jpeg", JPEG_QUALITIES), ("webp", WEBP_QUALITIES), ("avif", AVIF_QUALITIES)):
        points = measure_curve(name, qualities, pictures)
        report[name] = {
            "psnr_db": interpolate(points, rate, 1),
            "ms_ssim": interpolate(points, rate, 2),
            "curve": points,
        }
    size = statistics.fmean(row.bytes for row in rows)
    report["beyond_ideal_bytes"] = {"mean": statistics.fmean(excess), "max": max(excess), "mean_file": size}
    if arguments.usage:
        report["usage"] = measure_usage(model, arguments.data, arguments.cache)
    print(json.dumps(report, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
