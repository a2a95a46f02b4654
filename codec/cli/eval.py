"""`codec eval`: a folder of pictures, models and classical codecs, one table; on request whole curves and a plot."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from codec import api
from codec.cli.jobs import progress
from codec.errors import MediaError, UsageError

if TYPE_CHECKING:
    from codec.evaluation import Baseline, CurveReport, ImageResult, Measures, RateCurve
    from codec.models import Codec
    from codec.models.base import Encoding

    Entry = tuple[str, Codec, Encoding]


@dataclass(frozen=True)
class Work:
    """What to measure.

    Attributes:
        models: by name.
        qualities: asked of models with continuous quality; empty for the usual ones.
        whole: curves, and not a table at one size.
    """

    files: "Sequence[Path]"
    models: "Mapping[str, Codec]"
    classical: "Sequence[Baseline]"
    measures: "Measures"
    qualities: Sequence[int]
    whole: bool


def run(
    folder: Path,
    *,
    models: list[str] | None,
    baselines: str,
    metrics: str,
    qualities: str | None,
    curves: bool,
    plot: Path | None,
    published: Path | None,
    json: Path | None,
    device: str,
    force: bool,
) -> None:
    """Measure every picture of a folder; a picture that fails stops the run, as a mean over the rest would mislead."""
    from codec.cli.measure import format_report, format_table, parse_baselines, parse_qualities, split_names
    from codec.evaluation import choose_measures, plot_rate_distortion, summarise, to_json

    whole = curves or plot is not None
    known = _check_outputs(json, plot, published, whole, force)
    work = Work(
        files=_pictures(folder),
        classical=parse_baselines(baselines),
        measures=choose_measures(split_names(metrics)),
        qualities=() if qualities is None else parse_qualities(qualities),
        models={name: api.load(name, device=device) for name in models or [api.DEFAULT_IMAGE_MODEL]},
        whole=whole,
    )
    rows, report = _measure(work), None
    if rows:
        print(format_table(summarise(rows)))
    if whole:
        report = _measure_curves(work, rows, known)
        print(f"\n{format_report(report)}")
    if json is not None:
        to_json(rows, json, report)
    if plot is not None and report is not None:
        title = f"{folder.resolve().name}: means over {len(work.files)} pictures"
        curved = report.model_curves
        plot_rate_distortion(plot, report.curves, report.models, model_curves=curved, published=known, title=title)


def _check_outputs(
    json: Path | None, plot: Path | None, published: Path | None, whole: bool, force: bool
) -> "Sequence[RateCurve]":
    """The published curves; whatever is wrong with the request is said before the first picture is measured."""
    from codec.evaluation import check_plot, read_published

    for file in (json, plot):
        if file is not None and file.exists() and not force:
            raise UsageError(f"{file} exists; use --force to replace it")
    if plot is not None:
        check_plot(plot)
    if published is not None and not whole:
        raise UsageError("published curves are only compared with curves: add --curves or --plot FILE")
    return [] if published is None else read_published(published)


def _pictures(folder: Path) -> list[Path]:
    from codec.media import IMAGE_SUFFIXES

    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise MediaError(f"{folder} holds no picture")
    return files


def _measure(work: Work) -> "list[ImageResult]":
    """Every entry on every picture, and without curves each classical codec at no fewer bytes than the first of them."""
    from codec.cli.measure import code_with_baselines
    from codec.evaluation import code_with_model, measure
    from codec.media import read_image

    entries, rows = list(_entries(work)), []
    for file in progress(work.files, "measuring") if entries else ():
        media = read_image(file)
        coded = [code_with_model(name, codec, media, encoding) for name, codec, encoding in entries]
        if not work.whole:
            coded += code_with_baselines(work.classical, media, len(coded[0].data))
        rows += [measure(file.name, media.samples, one, work.measures) for one in coded]
    return rows


def _entries(work: Work) -> "Iterator[Entry]":
    """What becomes a row of the table: models of one rate, and without curves others at each quality in turn."""
    from codec.evaluation import is_continuous
    from codec.models.base import PLAIN, Encoding

    if work.qualities and not any(map(is_continuous, work.models.values())):
        raise UsageError(f"{' and '.join(work.models)} have one fixed rate; --qualities is for continuous quality")
    for name, codec in work.models.items():
        if not is_continuous(codec) or not (work.qualities or work.whole):
            yield name, codec, PLAIN
        elif not work.whole:
            yield from ((f"{name}, {quality}", codec, Encoding(quality=quality)) for quality in work.qualities)


def _measure_curves(work: Work, rows: "Sequence[ImageResult]", published: "Sequence[RateCurve]") -> "CurveReport":
    """Classical codecs and models with continuous quality at many rates."""
    from codec.evaluation import (
        CURVE_QUALITIES,
        is_continuous,
        measure_curve,
        measure_model_curve,
        report_curves,
        summarise,
    )

    qualities = work.qualities or CURVE_QUALITIES
    model_curves = [
        measure_model_curve(name, codec, progress(work.files, name), qualities, work.measures)
        for name, codec in work.models.items()
        if is_continuous(codec)
    ]
    curves = [measure_curve(codec, progress(work.files, codec.name), work.measures) for codec in work.classical]
    return report_curves(curves, summarise(rows), model_curves=model_curves, published=published)
