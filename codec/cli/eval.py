"""`codec eval`: a folder of pictures, models and classical codecs, one table."""

from pathlib import Path

from codec import api
from codec.cli.jobs import progress
from codec.cli.measure import baselines as parse_baselines
from codec.cli.measure import measure_baselines, measure_model
from codec.errors import MediaError, UsageError


def run(folder: Path, *, models: list[str] | None, baselines: str, json: Path | None, device: str, force: bool) -> None:
    """Measure every picture of a folder; a picture that fails stops the run, as a mean over the rest would mislead."""
    from codec.evaluation import format_table, summarise, to_json
    from codec.media import IMAGE_SUFFIXES, read_image

    if json is not None and json.exists() and not force:
        raise UsageError(f"{json} exists; use --force to replace it")
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise MediaError(f"{folder} holds no picture")
    classical = parse_baselines(baselines)
    names = models or [api.DEFAULT_IMAGE_MODEL]
    codecs = [(name, api.load(name, device=device)) for name in names]
    rows = []
    for file in progress(files, "measuring"):
        media = read_image(file)
        sizes = []
        for name, codec in codecs:
            result, _ = measure_model(name, codec, file.name, media)
            rows.append(result)
            sizes.append(result.bytes)
        rows.extend(result for result, _ in measure_baselines(classical, file.name, media, sizes[0]))
    print(format_table(summarise(rows)))
    if json is not None:
        to_json(rows, json)
