"""`codec demo`: the bundled photographs and speech through the shipped models, beside JPEG, WebP and AVIF, and Opus."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from codec import api
from codec.cli.jobs import progress
from codec.errors import UsageError
from codec.transfer import default_sound_model

if TYPE_CHECKING:
    from codec.evaluation import ImageResult

SOUND_KBPS, OPUS_KBPS = (3.0, 1.5), (6.0, 9.0)
SAMPLES = Path(__file__).resolve().parents[2] / "docs" / "samples"


def run(target: Path, *, device: str) -> None:
    """Write `.lmc` files, decoded pictures and sounds, and comparisons to a folder; print the tables."""
    pictures, sounds = sorted(SAMPLES.glob("*.png")), sorted(SAMPLES.glob("*.flac"))
    if not pictures or not sounds:
        raise UsageError(f"the demo needs a checkout of the repository; no pictures or no sounds in {SAMPLES}")
    target.mkdir(parents=True, exist_ok=True)
    _code_pictures(pictures, target, device)
    print()
    _code_sounds(sounds, target, device)
    print(f"\nfiles, side-by-side pictures and decoded sounds are in {target}/")


def _code_pictures(pictures: Sequence[Path], target: Path, device: str) -> None:
    from codec.cli.measure import code_with_baselines, format_table, parse_baselines
    from codec.evaluation import code_with_model, measure, side_by_side, summarise
    from codec.media import read_image, write_image

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
    print(f"means over {len(pictures)} pictures")


def _code_sounds(sounds: Sequence[Path], target: Path, device: str) -> None:
    from codec.cli.measure_sound import format_sounds
    from codec.evaluation import SOUND_BASELINES, code_with_sound_model, measure_sound, summarise_sounds
    from codec.media import read_sound, write_sound
    from codec.types import Media

    for sound in sounds:
        media = read_sound(sound)
        model = default_sound_model(media.rate)
        codec = api.load(model, device=device)
        coded = [code_with_sound_model(model, codec, media, kbps) for kbps in (None, *SOUND_KBPS)]
        coded += [SOUND_BASELINES["opus"].code(media, kbps) for kbps in OPUS_KBPS]
        for one in coded:
            write_sound(Media("audio", one.decoded, rate=media.rate), target / f"{sound.stem} {one.name}.wav")
        (target / f"{sound.stem}.lmc").write_bytes(coded[0].data)
        print(f"{sound.name}:")
        print(format_sounds(summarise_sounds([measure_sound(sound.name, "sound", media, one) for one in coded])))
    print("opinions of speech (PESQ, STOI) are in docs/benchmarks.md")


def _label(result: "ImageResult") -> str:
    return f"{result.codec}: {result.bytes} bytes, {result.psnr_db:.2f} dB"
