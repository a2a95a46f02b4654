"""`codec generate`: pictures and sounds from a generative model of a tokenizer's codes."""

from pathlib import Path
from typing import TYPE_CHECKING

from codec.cli.jobs import Job, run_all
from codec.errors import UsageError
from codec.transfer import DEFAULT_FORMATS, decode_to, load_model

if TYPE_CHECKING:
    from codec.generation import JpegWords, Sampling

LMC = ".lmc"


def run(
    target: Path,
    *,
    model: str,
    generator: str | None,
    prompt: Path | None,
    keep: float | None,
    mask: Path | None,
    coarse: Path | None,
    label: int | None,
    size: tuple[int, int] | None,
    seconds: float | None,
    count: int,
    temperature: float,
    top_k: int | None,
    top_p: float,
    guidance: float,
    steps: int,
    seed: int,
    force: bool,
    device: str,
) -> None:
    """Write one file, or a folder of several."""
    from codec.generation import JpegWords, Sampling, find_generator, load_generator
    from codec.generation.files import file_of, tokens_of
    from codec.generation.generating import generate, picture_wish, sound_wish
    from codec.media.files import whole_file
    from codec.models import SoundCodec, VideoTokenCodec

    jobs = _jobs(target, count, force)
    sampling = Sampling(temperature, top_k, top_p, guidance, steps)
    words = JpegWords.named(model)
    if words is not None:
        options = ("--prompt", prompt), ("--size", size), ("--mask", mask), ("--coarse", coarse), ("--seconds", seconds)
        _refuse(*options, kind="codes of a tokenizer")
        _draw_bytes(jobs, words, generator, sampling, seed)
        return
    codec = tokens_of(load_model(model, device), model)
    if isinstance(codec, VideoTokenCodec):
        raise UsageError(
            f"{model} is a model of video, which is not drawn yet; see `codec models` for pictures and sound"
        )
    causal = mask is None and coarse is None and label is None
    drawn_by = load_generator(find_generator(codec.coding_hash("static").hex(), generator, causal=causal))
    if isinstance(codec, SoundCodec):
        _refuse(("--size", size), ("--mask", mask), ("--coarse", coarse), ("--keep", keep), kind="pictures")
        wish = sound_wish(codec, drawn_by, seconds=seconds, prompt=prompt, label=label)
    else:
        _refuse(("--seconds", seconds), kind="sound")
        part = 0.5 if keep is None else keep
        wish = picture_wish(codec, drawn_by, size=size, prompt=prompt, keep=part, mask=mask, coarse=coarse, label=label)
    records = generate(drawn_by, [wish] * count, sampling, seed=seed)
    numbered = dict(zip((job.target for job in jobs), records, strict=True))

    def work(job: Job) -> None:
        assert job.target is not None
        coded = file_of(codec, numbered[job.target])
        if job.target.suffix == LMC:
            with whole_file(job.target) as file:
                file.write(coded)
            return
        suffix = job.target.suffix.removeprefix(".") or DEFAULT_FORMATS[codec.kind]
        decode_to(coded, job.target, model=codec, format=suffix, device=device)

    run_all(jobs, work, "decoding")


def _draw_bytes(jobs: list[Job], words: "JpegWords", generator: str | None, sampling: "Sampling", seed: int) -> None:
    """Pictures from a model of the bytes of JPEG files."""
    import torch

    from codec.generation import EMPTY, find_generator, load_generator
    from codec.media import write_image
    from codec.types import Media

    model, random = load_generator(find_generator(words.coding_hash, generator)), torch.Generator().manual_seed(seed)

    def work(job: Job) -> None:
        assert job.target is not None
        given = torch.full((1, 1, 1, words.length), EMPTY)
        pixels = words.pixels(model.generate(given, sampling=sampling, random=random)[0])
        write_image(Media("image", pixels), job.target, job.target.suffix.removeprefix(".") or "png")

    run_all(jobs, work, "drawing")


def _jobs(target: Path, count: int, force: bool) -> list[Job]:
    """One file, or in a folder as many as are asked for."""
    numbered = [target.with_suffix("") / f"{i:04}{target.suffix}" for i in range(1, count + 1)]
    files = [target] if count == 1 else numbered
    taken = [file for file in files if file.exists()]
    if taken and not force:
        raise UsageError(f"{taken[0]} exists; use --force to replace it")
    return [Job(None, file, in_tree=count > 1) for file in files]


def _refuse(*options: tuple[str, object], kind: str) -> None:
    for name, value in options:
        if value is not None:
            raise UsageError(f"{name} is for {kind}, which this model does not make")
