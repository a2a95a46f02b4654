"""`codec encode`: pictures to `.lmc`."""

import json as jsonlib
import time
from typing import TYPE_CHECKING

from codec import api
from codec.cli.jobs import Job, plan, read_pipe, run_all, write_pipe
from codec.errors import UsageError

if TYPE_CHECKING:
    from codec.models.base import PriorName


def run(
    source: str,
    target: str | None,
    *,
    model: str | None,
    prior: "PriorName | None",
    quality: int | None,
    force: bool,
    device: str,
    json: bool,
) -> None:
    """Encode a file, a folder or stdin."""
    from codec.media import IMAGE_SUFFIXES

    jobs = plan(source, target, takes=IMAGE_SUFFIXES, suffix=".lmc", force=force)
    name = model or api.DEFAULT_IMAGE_MODEL
    if quality is not None:
        raise UsageError(f"model {name} has one fixed rate; --quality is for models with continuous quality")
    codec = api.load(name, device=device)
    rows = []

    def work(job: Job) -> None:
        begin = time.perf_counter()
        source = job.source if job.source is not None else read_pipe()
        data = api.encode(source, job.target, model=codec, prior=prior, force=force)
        if job.target is None:
            write_pipe(data)
        rows.append(
            {
                "input": str(job.source or "-"),
                "output": str(job.target or "-"),
                "bytes": len(data),
                "seconds": round(time.perf_counter() - begin, 4),
            }
        )

    try:
        run_all(jobs, work, "encoding")
    finally:
        if json and jobs[0].target is not None:
            print(jsonlib.dumps(rows, indent=2))
