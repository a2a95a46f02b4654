"""Files, folders and pipes: what is read, what is written, and what happens when one of many fails."""

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from codec.errors import CodecError, MediaError, UsageError

PIPE = "-"
T = TypeVar("T")


@dataclass(frozen=True)
class Job:
    """One input and the output it makes; None is the pipe.

    Attributes:
        source: file to read.
        target: file to write.
        in_tree: part of a folder, whose output folders are made as needed.
    """

    source: Path | None
    target: Path | None
    in_tree: bool = False


def plan(
    source: str, target: str | None, *, takes: frozenset[str], suffix: str | Callable[[Path], str], force: bool
) -> list[Job]:
    """What to read and write; refuses before any work what would overwrite or collide.

    Args:
        source: file, folder or `-`.
        target: file, folder, `-` or None for beside the source.
        takes: suffixes that a folder walk picks up.
        suffix: of the outputs in a folder, and where no target is given; one for all, or that of each input.
        force: existing outputs may be replaced.
    """
    suffix_of = suffix if callable(suffix) else lambda _: suffix
    if source == PIPE:
        jobs = [Job(None, None if target in (None, PIPE) else Path(str(target)))]
    elif Path(source).is_dir():
        jobs = _plan_folder(Path(source), target, takes, suffix_of)
    elif not Path(source).exists():
        raise MediaError(f"{source} does not exist")
    else:
        jobs = [Job(Path(source), _plan_file(Path(source), target, suffix_of))]
    _refuse_overwriting(jobs, force)
    if jobs[0].target is None and sys.stdout.isatty():
        raise UsageError("refusing to write a binary file to the terminal; name an output or redirect")
    return jobs


def run_all(jobs: Sequence[Job], work: Callable[[Job], None], label: str) -> None:
    """Run every job; one failing file of a folder is reported and the rest goes on, then its code is the exit code."""
    if len(jobs) == 1:
        _run(jobs[0], work)
        return
    failures: list[CodecError] = []
    for job in progress(jobs, label):
        try:
            _run(job, work)
        except CodecError as error:
            print(f"codec: {error}", file=sys.stderr)
            failures.append(error)
    if failures:
        first = failures[0]
        summary = CodecError(f"{len(failures)} of {len(jobs)} files failed, the first: {first}")
        summary.exit_code = first.exit_code
        raise summary


def progress(items: Sequence[T], label: str) -> Iterable[T]:
    """A bar on stderr where someone is watching."""
    if not sys.stderr.isatty():
        return items
    from rich.console import Console
    from rich.progress import track

    return track(items, label, console=Console(stderr=True), transient=True)


def read_pipe() -> bytes:
    """All of stdin."""
    return sys.stdin.buffer.read()


def write_pipe(data: bytes) -> None:
    """To stdout, in pieces, so that a reader can start."""
    for first in range(0, len(data), 1 << 16):
        sys.stdout.buffer.write(data[first : first + (1 << 16)])
        sys.stdout.buffer.flush()


def _run(job: Job, work: Callable[[Job], None]) -> None:
    if job.in_tree and job.target is not None:
        try:
            job.target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MediaError(f"cannot make folder {job.target.parent}: {error.strerror}") from error
    work(job)


def _plan_file(source: Path, target: str | None, suffix: Callable[[Path], str]) -> Path | None:
    if target == PIPE:
        return None
    if target is not None and not Path(target).is_dir():
        return Path(target)
    beside = source.with_suffix(suffix(source))
    return beside if target is None else Path(target) / beside.name


def _plan_folder(source: Path, target: str | None, takes: frozenset[str], suffix: Callable[[Path], str]) -> list[Job]:
    if target == PIPE:
        raise UsageError("a folder cannot be written to stdout; name an output folder")
    root = Path(target) if target is not None else source
    if root.exists() and not root.is_dir():
        raise UsageError(f"{source} is a folder, so the output must be one too, but {root} is a file")
    files = sorted(file for file in source.rglob("*") if file.is_file() and file.suffix.lower() in takes)
    if not files:
        raise MediaError(f"{source} holds no file to work on (looked for {', '.join(sorted(takes))})")
    return [Job(file, (root / file.relative_to(source)).with_suffix(suffix(file)), in_tree=True) for file in files]


def _refuse_overwriting(jobs: Sequence[Job], force: bool) -> None:
    writers: dict[Path, Path | None] = {}
    for job in jobs:
        if job.target is None:
            continue
        if job.target in writers:
            raise UsageError(f"{writers[job.target]} and {job.source} would both be written to {job.target}")
        if job.source is not None and job.target.resolve() == job.source.resolve():
            raise UsageError(f"{job.target} is the input itself")
        if job.target.exists() and not force:
            raise UsageError(f"{job.target} exists; use --force to replace it")
        writers[job.target] = job.source
