"""`codec eval`: a folder of pictures, models and classical codecs, one table; on request whole curves and a plot."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from codec import api
from codec.cli.jobs import progress
from codec.errors import MediaError, UsageError

if TYPE_CHECKING:
    from codec.evaluation import Baseline, ImageResult, Measures, RateCurve


def run(
    folder: Path,
    *,
    models: list[str] | None,
    baselines: str,
    metrics: str,
    curves: bool,
    plot: Path | None,
    published: Path | None,
    json: Path | None,
    device: str,
    force: bool,
) -> None:
    """Measure every picture of a folder; a picture that fails stops the run, as a mean over the rest would mislead."""
    from codec.cli.measure import format_report, format_table, parse_baselines, split_names
    from codec.evaluation import choose_measures, measure_curve, plot_rate_distortion, report_curves, summarise, to_json

    drawn = _check_outputs(json, plot, published, force)
    files, classical = _pictures(folder), parse_baselines(baselines)
    measures = choose_measures(split_names(metrics))
    whole_curves = curves or plot is not None
    names = models or [api.DEFAULT_IMAGE_MODEL]
    rows = _measure(files, names, device, [] if whole_curves else classical, measures)
    print(format_table(summarise(rows)))
    report = None
    if whole_curves:
        measured = [measure_curve(codec, progress(files, codec.name), measures) for codec in classical]
        report = report_curves(measured, summarise(rows))
        print(f"\n{format_report(report)}")
    if json is not None:
        to_json(rows, json, report)
    if plot is not None and report is not None:
        title = f"{folder.resolve().name}: means over {len(files)} pictures"
        plot_rate_distortion(plot, report.curves, report.models, published=drawn, title=title)


def _check_outputs(json: Path | None, plot: Path | None, published: Path | None, force: bool) -> "Sequence[RateCurve]":
    """The published curves; whatever is wrong with the request is said before the first picture is measured."""
    from codec.evaluation import check_plot, read_published

    for file in (json, plot):
        if file is not None and file.exists() and not force:
            raise UsageError(f"{file} exists; use --force to replace it")
    if plot is not None:
        check_plot(plot)
    elif published is not None:
        raise UsageError("published curves are only drawn: add --plot FILE")
    return [] if published is None else read_published(published)


def _pictures(folder: Path) -> list[Path]:
    from codec.media import IMAGE_SUFFIXES

    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise MediaError(f"{folder} holds no picture")
    return files


def _measure(
    files: Sequence[Path], names: Sequence[str], device: str, classical: "Sequence[Baseline]", measures: "Measures"
) -> "list[ImageResult]":
    """Every model on every picture, and each classical codec at no fewer bytes than the first model's."""
    from codec.cli.measure import code_with_baselines, code_with_model
    from codec.evaluation import measure
    from codec.media import read_image

    codecs = [(name, api.load(name, device=device)) for name in names]
    rows = []
    for file in progress(files, "measuring"):
        media = read_image(file)
        coded = [code_with_model(name, codec, media) for name, codec in codecs]
        coded += code_with_baselines(classical, media, len(coded[0].data))
        rows += [measure(file.name, media.samples, one, measures) for one in coded]
    return rows
