"""`codec models`: the checkpoints at hand, read without loading one."""

import json as jsonlib

from codec.models.checkpoint import list_checkpoints, search_path


def run(*, json: bool) -> None:
    """Print a line a model."""
    found = list_checkpoints()
    if json:
        rows = [
            {
                "name": info.name,
                "coding_hashes": info.coding_hashes,
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
            print(f"{info.name:24} {best[:16]}  {info.bytes / 1e6:5.1f} MB  {info.summary}")
