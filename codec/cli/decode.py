"""`codec decode`: `.lmc` to pictures, sound and video."""

import json as jsonlib
import sys
import time
from pathlib import Path

from codec.cli.jobs import Job, plan, run_all
from codec.transfer import DEFAULT_FORMATS, decode_to


def run(
    source: str,
    target: str | None,
    *,
    model: str | None,
    format: str | None,
    start: float | None,
    duration: float | None,
    partial: bool,
    conceal: bool,
    force: bool,
    device: str,
    json: bool,
) -> None:
    """Decode a file, a folder or stdin."""
    from codec.models.sound_reading import Excerpt

    jobs = plan(source, target, takes=frozenset({".lmc"}), suffix=lambda file: _suffix(file, format), force=force)
    excerpt = None if start is None and duration is None else Excerpt(start or 0.0, duration)
    rows = []

    def work(job: Job) -> None:
        begin = time.perf_counter()
        sizes = decode_to(
            job.source if job.source is not None else sys.stdin.buffer,
            job.target if job.target is not None else sys.stdout.buffer,
            model=model,
            partial=partial,
            conceal=conceal,
            format=format,
            excerpt=excerpt,
            device=device,
        )
        rows.append(
            {
                "input": str(job.source or "-"),
                "output": str(job.target or "-"),
                **sizes,
                "seconds": round(time.perf_counter() - begin, 4),
            }
        )

    try:
        run_all(jobs, work, "decoding")
    finally:
        if json and jobs[0].target is not None:
            print(jsonlib.dumps(rows, indent=2))


def _suffix(file: Path, format: str | None) -> str:
    """Of what a file becomes: as asked for, else by the kind of media that its head names; decoding says what is wrong with it."""
    from codec.container.byte_reader import ByteReader
    from codec.container.head import read_head
    from codec.errors import BitstreamError

    if format is not None:
        return f".{format}"
    try:
        with file.open("rb") as stream:
            kind = read_head(ByteReader(stream)).kind
    except (OSError, BitstreamError):
        kind = "image"
    return f".{DEFAULT_FORMATS.get(kind, 'png')}"
