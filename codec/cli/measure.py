"""What the verbs that measure share: lists of names and qualities, classical codecs at a size, the layout of results."""

from collections.abc import Iterator, Sequence

from codec.errors import UsageError
from codec.evaluation import (
    BASELINES,
    USUAL_RATES,
    Baseline,
    CodecSummary,
    CodedImage,
    CurveReport,
    RateCurve,
    RatePoint,
)
from codec.types import Media

SCORES = (("psnr_db", "PSNR dB", 2), ("ms_ssim", "MS-SSIM", 4), ("effnet", "effnet", 4), ("lpips", "LPIPS", 4))
"""Columns of measures: attribute, heading, decimals."""


def split_names(names: str) -> list[str]:
    """The parts of a comma-separated list."""
    return [name.strip() for name in names.split(",") if name.strip()]


def parse_qualities(text: str) -> tuple[int, ...]:
    """Qualities 1 to 100 from a comma-separated list, in rising order."""
    parts = split_names(text)
    if not parts or not all(part.isdecimal() and 1 <= int(part) <= 100 for part in parts):
        raise UsageError(f"expected qualities 1 to 100 separated by commas, got {text!r}")
    return tuple(sorted({int(part) for part in parts}))


def parse_baselines(names: str) -> list[Baseline]:
    """Classical codecs from a comma-separated list, each of which is installed."""
    wanted = split_names(names)
    unknown = [name for name in wanted if name not in BASELINES]
    if unknown:
        raise UsageError(f"unknown baseline {', '.join(unknown)}: choose from {', '.join(BASELINES)}")
    for name in wanted:
        BASELINES[name].check_available()
    return [BASELINES[name] for name in wanted]


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
    head = f"{curve.name:20} {'quality':>7} {'bpp':>7}{_score_titles(curve.points)}"
    lines = (
        f"{'':20} {'-' if point.quality is None else point.quality:>7} {point.bits_per_pixel:7.3f}"
        f"{_scores(point, curve.points)}"
        for point in curve.points
    )
    return "\n".join((head, *lines))


def format_report(report: CurveReport) -> str:
    """The curves, their BD-rates, then what models of one rate gain at equal rate and spend at equal quality."""
    parts = [*map(_format_curve, (*report.curves, *report.model_curves)), _format_bd_rates(report)]
    return "\n\n".join([*parts, _format_gains(report)] if report.gains else parts)


def _format_bd_rates(report: CurveReport) -> str:
    width = max([18, *(len(row.test) for row in report.bd_rates)])
    usual = f"{USUAL_RATES[0]:g} to {USUAL_RATES[1]:g} bpp"
    lines = [f"{'':{width}} {'':10} {'all rates':>19} {usual:>19}"]
    lines.append(f"{'BD-rate':{width}} {'against':10} {'PSNR':>9} {'MS-SSIM':>9} {'PSNR':>9} {'MS-SSIM':>9}")
    for row in report.bd_rates:
        rates = row.bd_rate_psnr_percent, row.bd_rate_ms_ssim_percent, row.usual_psnr_percent, row.usual_ms_ssim_percent
        lines.append(f"{row.test:{width}} {row.anchor:10}" + "".join(f" {_percent(value):>9}" for value in rates))
    return "\n".join(lines)


def _format_gains(report: CurveReport) -> str:
    models, curves = [row.model for row in report.gains], [row.curve for row in report.gains]
    width, other = (max([least, *map(len, names)]) for least, names in ((18, models), (10, curves)))
    titles = f"{'at equal bits':>19} {'bits at equal':>19}"
    lines = [f"{'':{width}} {'':{other}} {titles}"]
    lines.append(f"{'model':{width}} {'against':{other}} {'PSNR':>9} {'MS-SSIM':>9} {'PSNR':>9} {'MS-SSIM':>9}")
    for row in report.gains:
        gains = (_decibels(value) for value in (row.psnr_gain_db, row.ms_ssim_gain_db))
        bits = (_percent(value) for value in (row.rate_psnr_percent, row.rate_ms_ssim_percent))
        lines.append(f"{row.model:{width}} {row.curve:{other}}" + "".join(f" {value:>9}" for value in (*gains, *bits)))
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
