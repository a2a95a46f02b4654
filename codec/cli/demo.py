"""`codec demo`: the bundled photographs through the shipped model, beside JPEG, WebP and AVIF."""

from pathlib import Path

from codec import api
from codec.cli.jobs import progress
from codec.cli.measure import baselines, measure_baselines, measure_model
from codec.errors import UsageError

SAMPLES = Path(__file__).resolve().parents[2] / "docs" / "samples"


def run(target: Path, *, device: str) -> None:
    """Write `.lmc` files, decoded pictures and a comparison to a folder; print the table."""
    from codec.evaluation import format_table, side_by_side, summarise
    from codec.media import read_image, write_image

    pictures = sorted(SAMPLES.glob("*.png"))
    if not pictures:
        raise UsageError(f"the demo needs a checkout of the repository; no pictures in {SAMPLES}")
    target.mkdir(parents=True, exist_ok=True)
    codec = api.load(api.DEFAULT_IMAGE_MODEL, device=device)
    codec.compress(read_image(pictures[0]))  # the first call compiles and warms up; the table shows the rest
    classical = baselines("jpeg,webp,avif")
    rows = []
    for picture in progress(pictures, "demo"):
        file = target / f"{picture.stem}.lmc"
        api.encode(picture, file, model=codec, force=True)
        write_image(api.decode(file, model=codec), target / picture.name)
        media = read_image(picture)
        result, decoded = measure_model(api.DEFAULT_IMAGE_MODEL, codec, picture.name, media)
        panels = [("original", media.samples), (_label(result.codec, result.bytes, result.psnr_db), decoded)]
        rows.append(result)
        for result, decoded in measure_baselines(classical, picture.name, media, file.stat().st_size):
            rows.append(result)
            panels.append((_label(result.codec, result.bytes, result.psnr_db), decoded))
        side_by_side(panels).save(target / f"{picture.stem}_side_by_side.png")
    print(format_table(summarise(rows)))
    print(f"\nfiles and side-by-side pictures: {target}/")


def _label(name: str, size_bytes: int, psnr_db: float) -> str:
    return f"{name}: {size_bytes} bytes, {psnr_db:.2f} dB"
