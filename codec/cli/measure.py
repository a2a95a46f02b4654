"""Measure codecs on pictures: a model through its real file, a classical codec at no fewer bytes; lay out the results."""

import time
from collections.abc import Iterator, Sequence

from codec.errors import UsageError
from codec.evaluation import (
    BASELINES,
    Baseline,
    CodecSummary,
    CodedImage,
    CurveReport,
    RateCurve,
    RatePoint,
)
from codec.models import Codec
from codec.models.base import PriorName
from codec.types import Media

SCORES = (("psnr_db", "PSNR dB", 2), ("ms_ssim", "MS-SSIM", 4), ("effnet", "effnet", 4), ("lpips", "LPIPS", 4))
"""Columns of measures: attribute, heading, decimals."""


def split_names(names: str) -> list[str]:
    """The parts of a comma-separated list."""
    return [name.strip() for name in names.split(",") if name.strip()]


def parse_baselines(names: str) -> list[Baseline]:
    """Classical codecs from a comma-separated list, each of which is installed."""
    wanted = split_names(names)
    unknown = [name for name in wanted if name not in BASELINES]
    if unknown:
        raise UsageError(f"unknown baseline {', '.join(unknown)}: choose from {', '.join(BASELINES)}")
    for name in wanted:
        BASELINES[name].check_available()
    return [BASELINES[name] for name in wanted]


def code_with_model(name: str, codec: Codec, media: Media, prior: PriorName | None = None) -> CodedImage:
    """Encode to the bytes of a file, decode from them, with the wall time of each."""
    begin = time.perf_counter()
    data = codec.compress(media, prior=prior)
    middle = time.perf_counter()
    decoded = codec.decompress(data).samples
    return CodedImage(name, None, data, decoded, middle - begin, time.perf_counter() - middle)


def code_with_baselines(classical: Sequence[Baseline], media: Media, target_bytes: int) -> Iterator[CodedImage]:
    """Each classical codec at the smallest quality that spends at least `target_bytes`."""
    for codec in classical:
        yield codec.at_size(media.samples, target_bytes)


def format_table(means: Sequence[CodecSummary]) -> str:
    """Aligned columns, a codec a line."""
    width = max([18, *(len(row.codec) for row in means)])
    head = f"{'codec':{width}} {'bytes':>9} {'bpp':>7}{_score_titles(means)} {'enc s':>7} {'dec s':>7}"
    lines = (
        f"{row.codec:{width}} {row.bytes:9.0f} {row.bits_per_pixel:7.3f}{_scores(row, means)}"
        f" {row.encode_seconds:7.3f} {row.decode_seconds:7.3f}"
        for row in means
    )
    return "\n".join((head, *lines))


def _format_curve(curve: RateCurve) -> str:
    head = f"{curve.name:28} {'bpp':>7}{_score_titles(curve.points)}"
    lines = (f"{'':28} {point.bits_per_pixel:7.3f}{_scores(point, curve.points)}" for point in curve.points)
    return "\n".join((head, *lines))


def format_report(report: CurveReport) -> str:
    """The curves, their BD-rates, then what models gain at equal rate and spend at equal quality."""
    return "\n\n".join([*map(_format_curve, report.curves), _format_bd_rates(report), _format_gains(report)])


def _format_bd_rates(report: CurveReport) -> str:
    lines = [f"{'BD-rate':18} {'against':10} {'PSNR':>9} {'MS-SSIM':>9}"]
    for row in report.bd_rates:
        psnr, similarity = (_percent(value) for value in (row.bd_rate_psnr_percent, row.bd_rate_ms_ssim_percent))
        lines.append(f"{row.test:18} {row.anchor:10} {psnr:>9} {similarity:>9}")
    return "\n".join(lines)


def _format_gains(report: CurveReport) -> str:
    width = max([18, *(len(name) for name, _ in report.models)])
    titles = f"{'at equal bits':>19} {'bits at equal':>19}"
    lines = [f"{'':{width}} {'':10} {titles}"]
    lines.append(f"{'model':{width}} {'against':10} {'PSNR':>9} {'MS-SSIM':>9} {'PSNR':>9} {'MS-SSIM':>9}")
    for row in report.gains:
        gains = (_decibels(value) for value in (row.psnr_gain_db, row.ms_ssim_gain_db))
        bits = (_percent(value) for value in (row.rate_psnr_percent, row.rate_ms_ssim_percent))
        lines.append(f"{row.model:{width}} {row.curve:10}" + "".join(f" {value:>9}" for value in (*gains, *bits)))
    return "\n".join(lines)


def _score_titles(rows: Sequence[CodecSummary] | Sequence[RatePoint]) -> str:
    return "".join(f" {title:>8}" for name, title, _ in SCORES if _measured(rows, name))


def _scores(row: CodecSummary | RatePoint, rows: Sequence[CodecSummary] | Sequence[RatePoint]) -> str:
    """The measures of a row that any of the rows has."""
    shown = ((getattr(row, name), decimals) for name, _, decimals in SCORES if _measured(rows, name))
    return "".join(f" {'-' if value is None else f'{value:.{decimals}f}':>8}" for value, decimals in shown)


def _measured(rows: Sequence[CodecSummary] | Sequence[RatePoint], name: str) -> bool:
    return any(getattr(row, name) is not None for row in rows)


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:+.1f} %"


def _decibels(value: float | None) -> str:
    return "-" if value is None else f"{value:+.2f} dB"
