"""Shards written by a Ray cluster, for where one machine is not enough: the same tasks, the same shards; needs `ray[data]`.

Every machine has to see the files, the folder of the shards and the checkpoint under the same paths, as on a shared file system.
"""

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from codec.errors import UsageError
from codec.generation.tokenizing import Recipe, ShardResult, ShardTask, tokenise_shard


def tokenise_with_ray(tasks: Sequence[ShardTask], recipe: Recipe, *, workers: int) -> Iterator[ShardResult]:
    """Write shards in so many processes of one core each; results come as they are done.

    The cluster is the one that `RAY_ADDRESS` names, or else one of this machine, which ends with the work.
    """
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise UsageError("--engine ray needs Ray: pip install 'codec[cluster]'") from error
    started = not ray.is_initialized()
    if started:
        ray.init(logging_level=logging.ERROR, log_to_driver=False, include_dashboard=False)
    try:
        ray.data.DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        rows = [_row(task, recipe) for task in tasks]
        queue = ray.data.from_items(rows, override_num_blocks=len(rows))
        written = queue.map(_write, concurrency=min(workers, len(rows)), num_cpus=1)
        for row in written.iter_rows():
            failures = tuple((str(text), int(code)) for text, code in json.loads(row["failures"]))
            yield ShardResult(Path(row["target"]), int(row["records"]), failures)
    finally:
        if started:
            ray.shutdown()


def _row(task: ShardTask, recipe: Recipe) -> dict[str, str]:
    """A task in texts, which every machine reads alike."""
    files = [(str(file), key) for file, key in task.files]
    return {"target": str(task.target), "files": json.dumps(files), "recipe": json.dumps(asdict(recipe))}


def _write(row: dict[str, Any]) -> dict[str, Any]:
    """In a process of the cluster, which keeps the model from one shard to the next."""
    torch.set_num_threads(1)
    files = tuple((Path(file), str(key)) for file, key in json.loads(row["files"]))
    result = tokenise_shard(ShardTask(Path(row["target"]), files), Recipe(**json.loads(row["recipe"])))
    return {"target": str(result.target), "records": result.records, "failures": json.dumps(result.failures)}
