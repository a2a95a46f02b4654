"""`codec truncate`: the first planes of a `.lmc` file as a smaller file."""

import io
from pathlib import Path

from codec import api
from codec.cli.jobs import PIPE, read_pipe, write_pipe
from codec.container.describe import truncate
from codec.errors import UsageError


def run(source: str, target: str, *, planes: int, force: bool) -> None:
    """Copy one file with its first planes only; no model is needed."""
    if target != PIPE and Path(target).exists() and not force:
        raise UsageError(f"{target} exists; use --force to replace it")
    sink = io.BytesIO()
    truncate(io.BytesIO(read_pipe() if source == PIPE else api.read_bytes(source)), sink, planes)
    if target == PIPE:
        write_pipe(sink.getvalue())
        return
    from codec.media.files import whole_file

    with whole_file(Path(target)) as file:
        file.write(sink.getvalue())
