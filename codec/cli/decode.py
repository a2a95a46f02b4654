"""`codec decode`: `.lmc` to pictures."""

import io
import json as jsonlib
import time
from pathlib import Path

from codec import api
from codec.cli.jobs import Job, plan, read_pipe, run_all, write_pipe


def run(
    source: str,
    target: str | None,
    *,
    model: str | None,
    format: str | None,
    partial: bool,
    force: bool,
    device: str,
    json: bool,
) -> None:
    """Decode a file, a folder or stdin."""
    suffix = f".{format}" if format else ".png"
    jobs = plan(source, target, takes=frozenset({".lmc"}), suffix=suffix, force=force)
    rows = []

    def work(job: Job) -> None:
        begin = time.perf_counter()
        chosen = format or (None if job.target is not None and job.target.suffix else "png")
        data: Path | bytes = job.source if job.source is not None else read_pipe()
        media = api.decode(data, job.target, model=model, force=force, partial=partial, format=chosen, device=device)
        if job.target is None:
            from codec.media import write_image

            sink = io.BytesIO()
            write_image(media, sink, chosen or "png")
            write_pipe(sink.getvalue())
        height, width = media.space
        rows.append(
            {
                "input": str(job.source or "-"),
                "output": str(job.target or "-"),
                "width": width,
                "height": height,
                "seconds": round(time.perf_counter() - begin, 4),
            }
        )

    try:
        run_all(jobs, work, "decoding")
    finally:
        if json and jobs[0].target is not None:
            print(jsonlib.dumps(rows, indent=2))
