"""`codec eval`: a folder of pictures, models and classical codecs, one table."""

from pathlib import Path

from codec import api
from codec.cli.jobs import progress
from codec.errors import MediaError, UsageError


def run(folder: Path, *, models: list[str] | None, baselines: str, json: Path | None, device: str, force: bool) -> None:
    """Measure every picture of a folder; a picture that fails stops the run, as a mean over the rest would mislead."""
    from codec.cli.measure import code_with_baselines, code_with_model, format_table, parse_baselines
    from codec.evaluation import measure, summarise, to_json
    from codec.media import IMAGE_SUFFIXES, read_image

    if json is not None and json.exists() and not force:
        raise UsageError(f"{json} exists; use --force to replace it")
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES)
    if not files:
        raise MediaError(f"{folder} holds no picture")
    classical = parse_baselines(baselines)
    codecs = [(name, api.load(name, device=device)) for name in models or [api.DEFAULT_IMAGE_MODEL]]
    rows = []
    for file in progress(files, "measuring"):
        media = read_image(file)
        coded = [code_with_model(name, codec, media) for name, codec in codecs]
        coded += code_with_baselines(classical, media, len(coded[0].data))
        rows += [measure(file.name, media.samples, one) for one in coded]
    print(format_table(summarise(rows)))
    if json is not None:
        to_json(rows, json)
