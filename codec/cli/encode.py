"""`codec encode`: pictures, sound and video to `.lmc`."""

import json as jsonlib
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from codec.cli.jobs import Job, plan, run_all
from codec.transfer import encode_to, load_model

if TYPE_CHECKING:
    from codec.media import SoundFormat
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
    bitrate: float | None,
    packet: float | None,
    raw: "SoundFormat | None",
    roi: Path | None,
    effort: int,
    progressive: bool,
    force: bool,
    device: str,
    json: bool,
) -> None:
    """Encode a file, a folder or stdin."""
    from codec.media import read_image
    from codec.media.files import whole_file
    from codec.media.kinds import SUFFIXES
    from codec.models import Encoding

    codec = None if model is None else load_model(model, device, use="prior" if prior == "generator" else None)
    takes = frozenset().union(*SUFFIXES.values()) if codec is None else SUFFIXES[codec.kind]
    jobs = plan(source, target, takes=takes, suffix=".lmc", force=force)
    encoding = Encoding(
        prior=prior,
        quality=quality,
        target_bytes=target_size,
        target_bpp=target_bpp,
        target_psnr=target_psnr,
        roi=None if roi is None else read_image(roi).samples.float().mean(0) / 255,
        effort=effort,
        progressive=progressive,
        bitrate=None if bitrate is None else 1000 * bitrate,
        packet_ms=packet,
    )
    rows = []

    def work(job: Job) -> None:
        begin = time.perf_counter()
        source = job.source if job.source is not None else sys.stdin.buffer
        if job.target is None:
            encode_to(source, sys.stdout.buffer, model=codec, encoding=encoding, raw=raw, device=device)
            return
        with whole_file(job.target) as file:
            encode_to(source, file, model=codec, encoding=encoding, raw=raw, device=device)
        rows.append(
            {
                "input": str(job.source or "-"),
                "output": str(job.target),
                "bytes": job.target.stat().st_size,
                "seconds": round(time.perf_counter() - begin, 4),
            }
        )

    try:
        run_all(jobs, work, "encoding")
    finally:
        if json and jobs[0].target is not None:
            print(jsonlib.dumps(rows, indent=2))
