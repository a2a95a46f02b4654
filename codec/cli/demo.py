"""`codec demo`: the bundled photographs through the shipped model, beside JPEG, WebP and AVIF."""

from pathlib import Path
from typing import TYPE_CHECKING

from codec import api
from codec.cli.jobs import progress
from codec.errors import UsageError

if TYPE_CHECKING:
    from codec.evaluation import ImageResult

SAMPLES = Path(__file__).resolve().parents[2] / "docs" / "samples"


def run(target: Path, *, device: str) -> None:
    """Write `.lmc` files, decoded pictures and a comparison to a folder; print the table."""
    from codec.cli.measure import code_with_baselines, format_table, parse_baselines
    from codec.evaluation import code_with_model, measure, side_by_side, summarise
    from codec.media import read_image, write_image

    pictures = sorted(SAMPLES.glob("*.png"))
    if not pictures:
        raise UsageError(f"the demo needs a checkout of the repository; no pictures in {SAMPLES}")
    target.mkdir(parents=True, exist_ok=True)
    codec = api.load(api.DEFAULT_IMAGE_MODEL, device=device)
    codec.decompress(
        codec.compress(read_image(pictures[0]))
    )  # the first call compiles; the table shows what comes after
    classical = parse_baselines("jpeg,webp,avif")
    rows = []
    for picture in progress(pictures, "demo"):
        file, media = target / f"{picture.stem}.lmc", read_image(picture)
        api.encode(picture, file, model=codec, force=True)
        write_image(api.decode(file, model=codec), target / picture.name)
        coded = [code_with_model(api.DEFAULT_IMAGE_MODEL, codec, media)]
        coded += code_with_baselines(classical, media, file.stat().st_size)
        results = [measure(picture.name, media.samples, one) for one in coded]
        labels = [_label(result) for result in results]
        panels = [("original", media.samples), *zip(labels, (one.decoded for one in coded), strict=True)]
        side_by_side(panels).save(target / f"{picture.stem}_side_by_side.png")
        rows += results
    print(format_table(summarise(rows)))
    print(f"\nmeans over {len(pictures)} pictures; files and side-by-side pictures are in {target}/")


def _label(result: "ImageResult") -> str:
    return f"{result.codec}: {result.bytes} bytes, {result.psnr_db:.2f} dB"
