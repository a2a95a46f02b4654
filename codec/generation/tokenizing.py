"""A folder of files to shards of tokens: planned before any work, by several processes, going on where it was stopped."""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import torch

from codec.coding import crc32c
from codec.errors import CodecError, UsageError
from codec.generation.files import Tokens, records_of, source_of, tokens_of
from codec.generation.shards import ShardFormat, open_shard, shard_path, shards_in, write_shard
from codec.models import load


@dataclass(frozen=True)
class Recipe:
    """What is the same for all shards of a data set.

    Attributes:
        model: name or folder of the checkpoint.
        format: of the shards.
        planes: how many first planes are kept; all if None.
        device: where the networks run.
    """

    model: str
    format: ShardFormat
    planes: int | None = None
    device: str = "cpu"


@dataclass(frozen=True)
class ShardTask:
    """One shard that is to be written.

    Attributes:
        target: its file.
        files: what goes into it, with the keys of their records.
    """

    target: Path
    files: tuple[tuple[Path, str], ...]

    @property
    def inputs(self) -> int:
        """CRC-32C of the keys, by which a shard is known to be this one."""
        return crc32c(json.dumps([key for _, key in self.files]).encode())


@dataclass(frozen=True)
class ShardResult:
    """What became of a shard.

    Attributes:
        target: its file, which is not there if no input could be read.
        records: how many it has.
        failures: texts and exit codes of the inputs that are not in it.
    """

    target: Path
    records: int
    failures: tuple[tuple[str, int], ...] = ()


def plan_shards(files: Sequence[Path], root: Path, folder: Path, recipe: Recipe, size: int) -> list[ShardTask]:
    """Split files, in their order, into shards of `size`.

    Raises:
        UsageError: two files would have one key, or the folder has shards of another format.
    """
    keyed = [(file, file.relative_to(root).with_suffix("").as_posix()) for file in files]
    seen: dict[str, Path] = {}
    for file, key in keyed:
        if seen.setdefault(key, file) != file:
            raise UsageError(f"{seen[key]} and {file} would both be {key}")
    parts = [tuple(keyed[first : first + size]) for first in range(0, len(keyed), size)]
    tasks = [ShardTask(shard_path(folder, i, recipe.format), part) for i, part in enumerate(parts)]
    strangers = set(shards_in(folder)) - {task.target for task in tasks}
    if strangers:
        raise UsageError(f"{min(strangers)} is there and no shard of this task; choose an empty folder")
    return tasks


def left_to_do(tasks: Sequence[ShardTask], recipe: Recipe, *, force: bool) -> list[ShardTask]:
    """The tasks whose shard is not there yet.

    Raises:
        UsageError: a shard is there that is of other files.
        ModelMismatchError: or of another model.
    """
    if force:
        return list(tasks)
    left, source = [], source_of(*_model(recipe), recipe.planes)
    for task in tasks:
        if not task.target.exists():
            left.append(task)
            continue
        shard = open_shard(task.target)
        source.require(shard.source, str(task.target))
        if shard.inputs != task.inputs:
            raise UsageError(f"{task.target} is a shard of other files; use --force to replace it, or another folder")
    return left


def tokenise_all(tasks: Sequence[ShardTask], recipe: Recipe, *, workers: int) -> Iterator[ShardResult]:
    """Write shards by so many processes, each with its share of the cores; results come in the order of the tasks."""
    if workers == 1 or len(tasks) < 2:
        yield from (tokenise_shard(task, recipe) for task in tasks)
        return
    threads = max(1, torch.get_num_threads() // workers)
    with ProcessPoolExecutor(workers, get_context("spawn"), torch.set_num_threads, (threads,)) as pool:
        yield from pool.map(tokenise_shard, tasks, [recipe] * len(tasks))


def tokenise_shard(task: ShardTask, recipe: Recipe) -> ShardResult:
    """Write one shard of what can be read."""
    codec, name = _model(recipe)
    source = source_of(codec, name, recipe.planes)
    records, failures = [], []
    for file, key in task.files:
        try:
            found = list(records_of(codec, file, key, len(source.alphabets)))
            for record in found:
                record.check(source)
            records += found
        except CodecError as error:
            failures.append((str(error), error.exit_code))
    if records:
        write_shard(task.target, recipe.format, source, task.inputs, records)
    return ShardResult(task.target, len(records), tuple(failures))


def _model(recipe: Recipe) -> tuple[Tokens, str]:
    return _loaded(recipe.model, recipe.device), Path(recipe.model).name


@cache
def _loaded(model: str, device: str) -> Tokens:
    """The model, loaded once a process."""
    return tokens_of(load(model).to(device), model)
