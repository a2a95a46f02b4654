"""`codec detokenize`: shards of tokens to pictures, sounds or `.lmc` files."""

from pathlib import Path

from codec.cli.jobs import Job, run_all
from codec.errors import ModelMismatchError, UsageError
from codec.transfer import DEFAULT_FORMATS, decode_to, load_model

LMC = "lmc"


def run(source: Path, target: Path, *, model: str | None, format: str | None, force: bool, device: str) -> None:
    """Write a file for each record, under its key."""
    from codec.generation import TokenDataset
    from codec.generation.files import file_of, source_of, tokens_of
    from codec.media.files import whole_file

    data = TokenDataset(source)
    made_by, count = data.source, len(data)
    codec = tokens_of(load_model(model or made_by.coding_hash[:16], device), model or made_by.model)
    if source_of(codec, made_by.model).coding_hash != made_by.coding_hash:
        raise ModelMismatchError(
            f"{source} holds codes of {made_by.model} ({made_by.coding_hash[:16]}), not of {model}"
        )
    suffix = format or DEFAULT_FORMATS[codec.kind]
    jobs = [Job(None, target / f"{data.record(i).key}.{suffix}", in_tree=True) for i in range(count)]
    numbers = {job.target: i for i, job in enumerate(jobs)}
    if len(numbers) < count:
        raise UsageError(f"{source} holds several records of one key")
    taken = [job.target for job in jobs if job.target is not None and job.target.exists()]
    if taken and not force:
        raise UsageError(f"{taken[0]} exists; use --force to replace it")

    def work(job: Job) -> None:
        assert job.target is not None
        coded = file_of(codec, data.record(numbers[job.target]))
        if suffix != LMC:
            decode_to(coded, job.target, model=codec, format=suffix, device=device)
            return
        with whole_file(job.target) as file:
            file.write(coded)

    run_all(jobs, work, "decoding")
