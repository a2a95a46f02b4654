"""Measure picture models: Kodak beside classical codecs at many rates, BD-rates, bits per token, codebook usage.

    python tools/benchmark_images.py --data MEDIA [--model NAME]... [--qualities 1,10,25,40,55,70,85,100]
        [--baselines jpeg,webp,avif,jpeg2000,jxl] [--metrics psnr,ms_ssim] [--json FILE] [--usage]
        [--plot FILE.png] [--published FILE.json] [--pictures N]

MEDIA holds `kodak/*.png`, and for --usage also `images-train.tar` and `images-val.tar`. A model of continuous rate is measured at
each of the qualities, through real files. Where a tokenizer has a learned prior, its files are measured with it, and once more
with its static tables. BD-rates are against JPEG, see `codec/evaluation/curves.py`: of every curve measured and every published one.
"""

import argparse
import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from codec import api
from codec.cli.measure import format_report, format_table, parse_baselines, parse_qualities, split_names
from codec.entropy import ideal_bits
from codec.evaluation import (
    CURVE_QUALITIES,
    CodebookUsage,
    CurveReport,
    ImageResult,
    Measures,
    RateCurve,
    choose_measures,
    code_with_model,
    is_continuous,
    measure,
    measure_curve,
    measure_model_curve,
    plot_rate_distortion,
    read_published,
    report_curves,
    summarise,
)
from codec.media import read_image
from codec.models import TokenCodec, load
from codec.models.base import Encoding
from codec.training.export import count_picture_codes
from codec.training.pack import open_pack

# Of a file of published curves, those that a plot can hold beside the measured ones.
DRAWN = (
    "vtm",
    "compressai-bmshj2018-hyperprior_mse_cuda",
    "compressai-mbt2018-mean_mse_cuda",
    "compressai-cheng2020-anchor_mse_cuda",
    "paper-elic2022_mse",
)


@dataclass
class TokenBits:
    """Bits for each token of a model over all pictures, headers left out.

    Attributes:
        nominal: `log2` of the codebook's size, the mean over the codes at a position.
        order_0: entropy of the tokens counted here, which no table can know beforehand.
        priors: by the model's integer tables, for each of its priors.
        beyond_ideal_bytes: what the files hold beyond these, by prior: mean and maximum.
    """

    model: str
    tokens: int
    nominal: float
    order_0: float
    priors: dict[str, float]
    beyond_ideal_bytes: dict[str, tuple[float, float]]


def measure_model(
    model: TokenCodec, name: str, pictures: Sequence[Path], measures: Measures
) -> tuple[list[ImageResult], TokenBits]:
    """A row for each picture and prior, and where the bits go."""
    sizes, rows = model.quantizer.codebook_sizes, []
    usages = [CodebookUsage(size) for size in sizes]
    bits: dict[str, list[float]] = {prior: [] for prior in model.priors()}
    excess: dict[str, list[float]] = {prior: [] for prior in model.priors()}
    best = list(bits)[-1]
    model.decompress(model.compress(read_image(pictures[0])))
    for path in pictures:
        media = read_image(path)
        planes = [plane.codes[0] for plane in model.encode(media.samples[None]).planes]
        for usage, plane in zip(usages, planes, strict=True):
            usage.update(plane)
        for prior, entropy_model in model.priors().items():
            label = name if prior == best else f"{name}, {prior}"
            coded = code_with_model(label, model, media, Encoding(prior=prior))
            bits[prior].append(ideal_bits(entropy_model, planes))
            excess[prior].append(len(coded.data) - bits[prior][-1] / 8)
            rows.append(measure(path.name, media.samples, coded, measures))
    tokens = sum(usage.tokens for usage in usages)
    token_bits = TokenBits(
        model=name,
        tokens=tokens,
        nominal=statistics.fmean(math.log2(size) for size in sizes),
        order_0=statistics.fmean(usage.entropy_bits for usage in usages),
        priors={prior: sum(found) / tokens for prior, found in bits.items()},
        beyond_ideal_bytes={prior: (statistics.fmean(found), max(found)) for prior, found in excess.items()},
    )
    return rows, token_bits


def measure_usage(model: TokenCodec, data: Path, cache: Path) -> dict[str, float]:
    """Codes hit at least once over train and val, whole pictures, each token counted once."""
    usage = CodebookUsage(model.quantizer.codebook_sizes[0])
    for pack in ("images-train.tar", "images-val.tar"):
        usage.counts += count_picture_codes(model, open_pack(str(data / pack), cache))[0]
    return {
        "codes": usage.alphabet,
        "tokens": usage.tokens,
        "tokens_per_code": usage.tokens / usage.alphabet,
        "usage": usage.usage,
        "perplexity": usage.perplexity,
        "order_0_bits": usage.entropy_bits,
    }


def format_token_bits(found: Sequence[TokenBits]) -> str:
    """A model and prior a line."""
    lines = [f"{'bits per token':28} {'nominal':>8} {'order 0':>8} {'prior':>8} {'beyond, bytes a file':>21}"]
    for row in found:
        for prior, bits in row.priors.items():
            mean, most = row.beyond_ideal_bytes[prior]
            label = f"{row.model}, {prior}"
            beyond = f"{mean:.1f} (at most {most:.1f})"
            lines.append(f"{label:28} {row.nominal:8.3f} {row.order_0:8.3f} {bits:8.3f} {beyond:>21}")
    return "\n".join(lines)


def parse_arguments() -> argparse.Namespace:
    """What the first lines of this file say."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", dest="models", action="append")
    parser.add_argument("--qualities", default=",".join(map(str, CURVE_QUALITIES)), help="%(default)s")
    parser.add_argument(
        "--baselines", default="jpeg,webp,avif,jpeg2000,jxl", help="also avif_slow, which takes 15 minutes"
    )
    parser.add_argument("--metrics", default="psnr,ms_ssim")
    parser.add_argument("--pictures", type=int, help="only the first so many of Kodak")
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--published", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--usage", action="store_true")
    parser.add_argument("--cache", type=Path, default=Path("runs/cache"))
    return parser.parse_args()


def main() -> None:
    """Print the tables."""
    arguments = parse_arguments()
    pictures = sorted((arguments.data / "kodak").glob("*.png"))[: arguments.pictures]
    measures, classical = choose_measures(split_names(arguments.metrics)), parse_baselines(arguments.baselines)
    qualities = parse_qualities(arguments.qualities)
    published = read_published(arguments.published) if arguments.published else []
    rows: list[ImageResult] = []
    token_bits, usage, model_curves = [], {}, []
    for name in arguments.models or [api.DEFAULT_IMAGE_MODEL]:
        model = load(name)
        if is_continuous(model):
            model_curves.append(measure_model_curve(name, model, pictures, qualities, measures))
            continue
        if not isinstance(model, TokenCodec):
            raise SystemExit(f"{name} is neither a tokenizer nor of continuous quality; measure it with `codec eval`")
        measured, bits = measure_model(model, name, pictures, measures)
        rows += measured
        token_bits.append(bits)
        if arguments.usage:
            usage[name] = measure_usage(model, arguments.data, arguments.cache)
    means = summarise(rows)
    curves = [measure_curve(codec, pictures, measures) for codec in classical]
    report = report_curves(curves, means, model_curves=model_curves, published=published)
    tables = [format_table(means), format_token_bits(token_bits)] if rows else []
    print(*tables, format_report(report), sep="\n\n")
    if usage:
        print(f"\n{json.dumps(usage, indent=2)}")
    if arguments.json:
        content = {"means": [asdict(row) for row in means], "token_bits": [asdict(row) for row in token_bits]}
        arguments.json.write_text(json.dumps(content | {"curves": asdict(report), "usage": usage}, indent=2) + "\n")
    if arguments.plot:
        drawn = read_published(arguments.published, DRAWN) if arguments.published else []
        draw(arguments.plot, report, drawn, len(pictures))


def draw(target: Path, report: CurveReport, published: Sequence[RateCurve], pictures: int) -> None:
    """Everything over the rate."""
    title = f"Kodak: means over {pictures} pictures"
    continuous = report.model_curves
    plot_rate_distortion(
        target, report.curves, report.models, model_curves=continuous, published=published, title=title
    )


if __name__ == "__main__":
    main()
