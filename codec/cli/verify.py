"""`codec verify`: checksums always, the codes too where the model is at hand."""

import io
import json as jsonlib

from codec import api
from codec.cli.jobs import PIPE, read_pipe
from codec.container import Reader
from codec.errors import ModelNotFoundError


def run(source: str, *, device: str, json: bool) -> None:
    """Verify one file; damage ends with exit code 4."""
    data = read_pipe() if source == PIPE else api.read_bytes(source)
    reader = Reader(io.BytesIO(data))
    sections = sum(1 for _ in reader)
    try:
        model = api.load(reader.head.coding_hash.hex(), device=device)
    except ModelNotFoundError:
        checked = "checksums only, its model is not at hand"
    else:
        model.read_codes(io.BytesIO(data))
        checked = "checksums and codes"
    if json:
        print(jsonlib.dumps({"input": source, "sections": sections, "checked": checked, "whole": True}))
    else:
        print(f"{source}: whole ({checked}, {sections} sections)")
