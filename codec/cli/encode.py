"""`codec encode`: pictures to `.lmc`."""

import json as jsonlib
import time
from pathlib import Path
from typing import TYPE_CHECKING

from codec import api
from codec.cli.jobs import Job, plan, read_pipe, run_all, write_pipe

if TYPE_CHECKING:
    from codec.models.base import PriorName


def run(
    source: str,
    target: str | None,
    *,
    model: str | None,
    prior: "PriorName | None",
    quality: int | None,
    target_size: int | None,
    target_bpp: float | None,
    target_psnr: float | None,
    roi: Path | None,
    effort: int,
    progressive: bool,
    force: bool,
    device: str,
    json: bool,
) -> None:
    """Encode a file, a folder or stdin."""
    from codec.media import IMAGE_SUFFIXES, read_image
    from codec.models import Encoding

    jobs = plan(source, target, takes=IMAGE_SUFFIXES, suffix=".lmc", force=force)
    encoding = Encoding(
        prior=prior,
        quality=quality,
        target_bytes=target_size,
        target_bpp=target_bpp,
        target_psnr=target_psnr,
        roi=None if roi is None else read_image(roi).samples.float().mean(0) / 255,
        effort=effort,
        progressive=progressive,
    )
    codec = api.load(model or api.DEFAULT_IMAGE_MODEL, device=device)
    rows = []

    def work(job: Job) -> None:
        begin = time.perf_counter()
        source = job.source if job.source is not None else read_pipe()
        data = api.encode(source, job.target, model=codec, encoding=encoding, force=force)
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
