"""`codec models`: the checkpoints at hand, read without loading one."""

import json as jsonlib
from collections.abc import Sequence

from codec.models.checkpoint import CheckpointInfo, list_checkpoints, search_path, sharing


def run(*, json: bool) -> None:
    """Print a line a model."""
    found = list_checkpoints()
    if json:
        rows = [
            {
                "name": info.name,
                "coding_hashes": info.coding_hashes,
                "shares_files_with": [other.name for other in sharing(info, found)],
                "bytes": info.bytes,
                "folder": str(info.folder),
                "summary": info.summary,
            }
            for info in found
        ]
        print(jsonlib.dumps(rows, indent=2))
    elif not found:
        print(f"no models in {', '.join(str(folder) for folder in search_path())}; set CODEC_CHECKPOINTS")
    else:
        for info in found:
            best = list(info.coding_hashes.values())[-1]
            print(f"{info.name:24} {best[:16]}  {info.bytes / 1e6:5.1f} MB  {info.summary}{_shared(info, found)}")


def _shared(info: CheckpointInfo, found: Sequence[CheckpointInfo]) -> str:
    """A remark on models that decode the same files; `codec decode --model NAME` chooses among them."""
    names = ", ".join(other.name for other in sharing(info, found))
    return f" [same files as {names}]" if names else ""
