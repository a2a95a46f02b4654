"""`codec models`: the checkpoints at hand, generative models too, read without loading one; or the quantizers that a config can name."""

import json as jsonlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from codec.errors import UsageError
from codec.generation.checkpoint import GeneratorInfo, list_generators
from codec.models.checkpoint import CheckpointInfo, list_checkpoints, search_path, sharing

QUANTIZER_CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "model"
QUANTIZER_KINDS = ("quantizer", "grid_quantizer")


def run(*, json: bool, quantizers: bool) -> None:
    """Print a line a model, or a quantizer."""
    found = [] if quantizers else list_checkpoints()
    makers = [] if quantizers else list_generators()
    rows = list(quantizer_rows()) if quantizers else [*_model_rows(found), *_generator_rows(makers)]
    if json:
        print(jsonlib.dumps(rows, indent=2))
    elif quantizers:
        for row in rows:
            print(f"{row['config']:38} {row['summary']}")
    else:
        _print_models(found)
        _print_generators(makers)


def _model_rows(found: Sequence[CheckpointInfo]) -> list[dict[str, object]]:
    """What is known of each checkpoint, for programs."""
    return [
        {
            "name": info.name,
            "kind": "codec",
            "coding_hashes": info.coding_hashes,
            "shares_files_with": [other.name for other in sharing(info, found)],
            "bytes": info.bytes,
            "folder": str(info.folder),
            "summary": info.summary,
        }
        for info in found
    ]


def _generator_rows(found: Sequence[GeneratorInfo]) -> list[dict[str, object]]:
    """The same of each generative model; those with a `coder_hash` are `--prior generator`, masked ones fill gaps."""
    return [
        {
            "name": info.name,
            "kind": "generator",
            "tokenizer": info.tokenizer,
            "tokenizer_hash": info.coding_hash,
            "coder_hash": info.coder_hash,
            "masked": info.masked,
            "bytes": info.bytes,
            "folder": str(info.folder),
            "summary": info.summary,
        }
        for info in found
    ]


def quantizer_rows() -> Iterator[dict[str, object]]:
    """Each quantizer's config and the first line of its comment.

    Raises:
        UsageError: the configs are not there, as in an installed package.
    """
    if not QUANTIZER_CONFIGS.is_dir():
        raise UsageError(f"quantizers are listed from a checkout of the repository; {QUANTIZER_CONFIGS} is not there")
    for kind in QUANTIZER_KINDS:
        for path in sorted((QUANTIZER_CONFIGS / kind).glob("*.yaml")):
            yield {"config": f"model/{kind}={path.stem}", "summary": _first_comment(path)}


def _first_comment(path: Path) -> str:
    first = path.read_text().partition("\n")[0]
    return first.removeprefix("#").strip()


def _print_models(found: Sequence[CheckpointInfo]) -> None:
    if not found:
        print(f"no models in {', '.join(str(folder) for folder in search_path())}; set CODEC_CHECKPOINTS")
    for info in found:
        best = list(info.coding_hashes.values())[-1]
        print(f"{info.name:24} {best[:16]}  {info.bytes / 1e6:5.1f} MB  {info.summary}{_shared(info, found)}")


def _print_generators(found: Sequence[GeneratorInfo]) -> None:
    for info in found:
        print(
            f"{info.name:24} {(info.coder_hash or '')[:16]:16}  {info.bytes / 1e6:5.1f} MB  {info.summary} [of {info.tokenizer}]"
        )


def _shared(info: CheckpointInfo, found: Sequence[CheckpointInfo]) -> str:
    """A remark on models that decode the same files; `codec decode --model NAME` chooses among them."""
    names = ", ".join(other.name for other in sharing(info, found))
    return f" [same files as {names}]" if names else ""
