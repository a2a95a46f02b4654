"""`codec tokenize`: pictures, sounds, videos or `.lmc` files to shards of tokens."""

import json as jsonlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from codec.cli.jobs import progress
from codec.errors import CodecError, MediaError, UsageError
from codec.transfer.models import default_sound_model, pick_device

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Protocol

    from codec.generation import ShardFormat
    from codec.generation.tokenizing import Recipe, ShardResult, ShardTask

    class Engine(Protocol):
        def __call__(
            self, tasks: "Sequence[ShardTask]", recipe: "Recipe", *, workers: int
        ) -> "Iterator[ShardResult]": ...


DEFAULT_PICTURE_TOKENS, DEFAULT_VIDEO_TOKENS = "image-tokens-f16", "video-tokens"


def run(
    source: Path,
    target: Path,
    *,
    model: str | None,
    format: "ShardFormat",
    planes: int | None,
    shard_size: int,
    workers: int,
    engine: str,
    force: bool,
    device: str,
    json: bool,
) -> None:
    """Write the shards that are not there yet; a file that cannot be read is reported and the rest goes on."""
    from codec.generation.files import LMC
    from codec.generation.tokenizing import Recipe, left_to_do, plan_shards
    from codec.media.kinds import SUFFIXES, kind_of

    if not source.exists():
        raise MediaError(f"{source} does not exist")
    takes = frozenset({LMC}).union(*SUFFIXES.values())
    files = _files(source, takes)
    first = files[0]
    chosen = model or (_named_by(first) if first.suffix == LMC else _default(first))
    if model is None:  # mixed folders need a choice
        kinds = {"lmc" if file.suffix == LMC else kind_of(file) for file in files}
        if len(kinds) > 1:
            raise UsageError(f"{source} holds files of several kinds ({', '.join(sorted(kinds))}); choose one --model")
    elif Path(model).is_dir():
        chosen = str(Path(model).resolve())
    recipe = Recipe(chosen, format, planes, pick_device(device))
    tasks = plan_shards(files, source if source.is_dir() else source.parent, target, recipe, shard_size)
    todo = left_to_do(tasks, recipe, force=force)
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MediaError(f"cannot make folder {target}: {error.strerror}") from error
    failures: list[CodecError] = []
    results = []
    done = _engine(engine)(todo, recipe, workers=workers)
    for _ in progress(todo, "tokenizing"):
        result = next(done)
        results.append(result)
        for text, code in result.failures:
            print(f"codec: {text}", file=sys.stderr)
            failures.append(_failure(text, code))
    if json:
        rows = [{"shard": str(one.target), "records": one.records, "failures": len(one.failures)} for one in results]
        print(jsonlib.dumps({"model": chosen, "shards": len(tasks), "written": rows}, indent=2))
    if failures:
        raise _failure(f"{len(failures)} of {len(files)} files failed, the first: {failures[0]}", failures[0].exit_code)


def _engine(name: str) -> "Engine":
    from codec.generation.ray_engine import tokenise_with_ray
    from codec.generation.tokenizing import tokenise_all

    return {"local": tokenise_all, "ray": tokenise_with_ray}[name]


def _files(source: Path, takes: frozenset[str]) -> list[Path]:
    """The files to work on, in order."""
    if source.is_file():
        return [source]
    files = sorted(file for file in source.rglob("*") if file.is_file() and file.suffix.lower() in takes)
    if not files:
        raise MediaError(f"{source} holds no file to work on (looked for {', '.join(sorted(takes))})")
    return files


def _default(file: Path) -> str:
    """The tokenizer for media like this."""
    from codec.media import open_sound
    from codec.media.kinds import kind_of

    kind = kind_of(file)
    if kind == "image":
        return DEFAULT_PICTURE_TOKENS
    if kind == "video":
        raise UsageError(
            f"{file} is video, of which shards cannot hold tokens yet; take pictures, sounds or .lmc files"
        )
    with open_sound(file) as sound:
        return default_sound_model(sound.format.rate)


def _named_by(file: Path) -> str:
    """The model that wrote a `.lmc` file."""
    from codec.generation.files import head_of
    from codec.models import find

    return find(head_of(file).coding_hash.hex()).name


def _failure(text: str, code: int) -> CodecError:
    failure = CodecError(text)
    failure.exit_code = code
    return failure
