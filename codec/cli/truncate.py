"""`codec truncate`: the first planes of a `.lmc` file as a smaller file."""

import io
from pathlib import Path
from typing import TYPE_CHECKING, cast

from codec import api
from codec.cli.jobs import PIPE, read_pipe, write_pipe
from codec.container import AudioFields, Reader
from codec.container.describe import truncate
from codec.errors import UsageError

if TYPE_CHECKING:
    from codec.models import SoundCodec


def run(source: str, target: str, *, planes: int, force: bool) -> None:
    """Copy one file with its first planes only; of a picture no model is needed."""
    if target != PIPE and Path(target).exists() and not force:
        raise UsageError(f"{target} exists; use --force to replace it")
    file, sink = io.BytesIO(read_pipe() if source == PIPE else api.read_bytes(source)), io.BytesIO()
    head = Reader(file).head
    file.seek(0)
    if isinstance(head.fields, AudioFields):  # all planes of a packet are one stream
        cast("SoundCodec", api.load(head.coding_hash.hex())).truncate(file, sink, planes)
    else:
        truncate(file, sink, planes)
    if target == PIPE:
        write_pipe(sink.getvalue())
        return
    from codec.media.files import whole_file

    with whole_file(Path(target)) as file_out:
        file_out.write(sink.getvalue())
