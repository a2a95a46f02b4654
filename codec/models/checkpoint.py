"""Checkpoints: a folder with `config.yaml`, `model.safetensors` and `card.md`; opening one runs no code from it."""

import importlib
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from codec.errors import ModelNotFoundError, UsageError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from codec.models.base import Codec

Model = TypeVar("Model")

FORMAT = "lmc-checkpoint-1"
WEIGHTS, CONFIG, CARD = "model.safetensors", "config.yaml", "card.md"
HASH_KEY = "coding_hash"  # of the static prior in the weights' metadata; those of others have their name before it


@dataclass(frozen=True)
class CheckpointInfo:
    """What a checkpoint says of itself, read without loading the model.

    Attributes:
        coding_hashes: of each prior's name, the hash that files written with it carry; the best prior comes last.
        bytes: of the weights.
        summary: first line of the card.
    """

    name: str
    folder: Path
    coding_hashes: dict[str, str]
    bytes: int
    summary: str


def search_path() -> list[Path]:
    """Folders that hold checkpoints: `$CODEC_CHECKPOINTS` (several separated as in PATH), then the repository's."""
    listed = os.environ.get("CODEC_CHECKPOINTS", "")
    folders = [Path(entry) for entry in listed.split(os.pathsep) if entry]
    return [*folders, Path(__file__).resolve().parents[2] / "checkpoints"]


def list_checkpoints() -> list[CheckpointInfo]:
    """All checkpoints on the search path; of two with one name the first counts."""
    found: dict[str, CheckpointInfo] = {}
    for folder in search_path():
        for weights in sorted(folder.glob(f"*/{WEIGHTS}")):
            found.setdefault(weights.parent.name, read_info(weights.parent))
    return list(found.values())


def read_info(folder: Path) -> CheckpointInfo:
    """Name, hash and size of one checkpoint folder."""
    weights = folder / WEIGHTS
    metadata = read_metadata(weights)
    hashes = {
        key.removesuffix(HASH_KEY).rstrip("_") or "static": text
        for key, text in metadata.items()
        if key.endswith(HASH_KEY)
    }
    return CheckpointInfo(folder.name, folder, hashes, weights.stat().st_size, card_summary(folder))


def card_summary(folder: Path) -> str:
    """First line of a checkpoint's card; empty without one."""
    card = folder / CARD
    lines = card.read_text().splitlines() if card.is_file() else []
    return next((line for line in lines if line and not line.startswith("#")), "")


def find(wanted: str | Path) -> CheckpointInfo:
    """The checkpoint of a name, a folder, or the first 8 or more hex digits of a coding hash.

    A short name means its newest version: of `NAME`, `NAME-2` and `NAME-3` the last. Of several that share a hash, as
    they differ only in what is not coded, the one with the shortest name is meant, of equally short ones the first in
    the alphabet, and of its versions the newest; see `sharing`.
    """
    if (Path(wanted) / WEIGHTS).is_file():
        return read_info(Path(wanted).resolve())
    known = list_checkpoints()
    versions = {version_of(info.name, str(wanted)): info for info in known if version_of(info.name, str(wanted))}
    if versions:
        return versions[max(versions)]
    if len(str(wanted)) >= 8:
        holders = [info for info in known if any(text.startswith(str(wanted)) for text in info.coding_hashes.values())]
        if holders:
            return min(holders, key=lambda info: precedence(info.name))
    names = ", ".join(info.name for info in known) or "none"
    raise ModelNotFoundError(f"no model {str(wanted)!r}; known models: {names} (more folders: set CODEC_CHECKPOINTS)")


def sharing(info: CheckpointInfo, known: Sequence[CheckpointInfo]) -> list[CheckpointInfo]:
    """Other checkpoints that decode some of the same files, in the order in which `find` prefers them."""
    hashes = set(info.coding_hashes.values())
    others = (other for other in known if other.name != info.name and hashes & set(other.coding_hashes.values()))
    return sorted(others, key=lambda info: precedence(info.name))


def load(wanted: str | Path) -> "Codec":
    """Build a checkpoint's model in eval mode on the CPU, and check that its coding part is what its file says."""
    from omegaconf import OmegaConf
    from safetensors.torch import load_file

    from codec.nn import channels_last

    info = find(wanted)
    config = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(info.folder / CONFIG)))
    model = cast("Codec", build(config))
    _fill(model, {name: _widen(tensor) for name, tensor in load_file(info.folder / WEIGHTS).items()})
    model = cast("Codec", channels_last(cast("nn.Module", model).eval().requires_grad_(False)))
    model.seal()
    if _hashes(model) != info.coding_hashes:
        raise ModelNotFoundError(f"checkpoint {info.folder} is damaged: its coding part does not match its hash")
    return model


def load_as(kind: type[Model], wanted: str | Path) -> Model:
    """The same, of a checkpoint that must hold a model of this kind."""
    model = load(wanted)
    if not isinstance(model, kind):
        raise UsageError(f"{wanted} is a {type(model).__name__}, a {kind.__name__} is needed")
    return model


def save(folder: Path, model: "Codec", config: dict[str, Any], card: str) -> CheckpointInfo:
    """Write a checkpoint: matrices in half precision, codewords in eight bits where that loses nothing, vectors and integers as they are.

    What only training needs stays behind: the float twin of a learned prior, and sums that follow from codewords and hits.
    """
    import torch
    from omegaconf import OmegaConf
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    twins = model.float_twins()
    state = {
        name: _narrow(name, t) for name, t in model.state_dict().items() if name not in twins and not _is_sum(name)
    }
    stored = cast("Codec", build(config))
    _fill(stored, {name: _widen(tensor) for name, tensor in state.items()})
    with torch.inference_mode():
        hashes = {
            HASH_KEY if name == "static" else f"{name}_{HASH_KEY}": text for name, text in _hashes(stored).items()
        }
    save_file(state, folder / WEIGHTS, {"format": FORMAT, **hashes})
    (folder / WEIGHTS).chmod(0o644)
    OmegaConf.save(OmegaConf.create(config), folder / CONFIG)
    (folder / CARD).write_text(card)
    return read_info(folder)


def _fill(model: "Codec", state: dict[str, "Tensor"]) -> None:
    """Load weights; float twins, which are not shipped, become NaN, unless the model can make them from the integers."""
    twins = model.float_twins()
    for name, tensor in model.state_dict().items():
        if name not in state and name in twins:
            state[name] = tensor.new_full(tensor.shape, float("nan"))
        elif name not in state and _is_sum(name):
            before = name.rpartition(".")[0]
            state[name] = state[f"{before}.rows"] * state[f"{before}.hits"][:, None]
    model.load_state_dict(state)
    model.thaw()


def _is_sum(name: str) -> bool:
    return name.endswith(".codebook.sums")


def build(config: dict[str, Any]) -> "nn.Module":
    """Instantiate a model's config, innermost parts first; not by Hydra, whose import takes 0.1 s and which calls more than classes."""
    return cast("nn.Module", _make(config))


def _hashes(model: "Codec") -> dict[str, str]:
    return {name: model.coding_hash(name).hex() for name in model.coded_with()}


def _make(node: object) -> Any:
    """The object that a node describes, or the node itself where it names no target."""
    if isinstance(node, list):
        return [_make(value) for value in node]
    if not isinstance(node, dict):
        return node
    arguments = {name: _make(value) for name, value in node.items() if name != "_target_"}
    return _target(str(node["_target_"]))(**arguments) if "_target_" in node else arguments


def _target(target: str) -> type:
    """The class of that path: one that a `codec` package exports, or a `torch.nn` module class."""
    package, _, name = target.rpartition(".")
    from torch import nn

    if package == "torch.nn":
        exported = getattr(nn, name, None)
    elif re.fullmatch(r"codec(\.[a-z_]+)?", package):
        module = importlib.import_module(package)
        exported = getattr(module, name, None) if name in getattr(module, "__all__", ()) else None
    else:
        exported = None
    if not isinstance(exported, type):
        raise ModelNotFoundError(
            f"refused target {target!r}: only classes exported by codec packages or torch.nn may be built"
        )
    return exported


def precedence(name: str) -> tuple[int, str, int]:
    """Sorts the shortest name first, then the alphabet, then the newest version."""
    base = re.sub(r"-\d+$", "", name)
    return len(base), base, -version_of(name, base)


def version_of(name: str, wanted: str) -> int:
    """Which version of `wanted` a folder name is; 0 if it is another model."""
    match = re.fullmatch(re.escape(wanted) + r"(?:-(\d+))?", name)
    return int(match[1] or 1) if match else 0


def read_metadata(weights: Path, expected: str = FORMAT) -> dict[str, str]:
    """The text metadata in the header of a safetensors file of that format."""
    with weights.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > 100_000_000:
            raise ModelNotFoundError(f"{weights} is not a safetensors file")
        try:
            metadata = json.loads(file.read(length)).get("__metadata__", {})
        except (UnicodeDecodeError, json.JSONDecodeError):
            metadata = {}
    if metadata.get("format") != expected:
        raise ModelNotFoundError(f"{weights} is not a checkpoint of this suite (format {expected})")
    return cast(dict[str, str], metadata)


def _narrow(name: str, tensor: "Tensor") -> "Tensor":
    """Matrices in half precision, hits of codes in bfloat16; codewords that were rounded to eight bits keep to them."""
    if name.endswith(".codebook.hits"):
        return tensor.bfloat16()
    if not tensor.is_floating_point() or tensor.ndim < 2:
        return tensor.contiguous()
    eight = in_eight_bits(tensor)
    rounded = name.endswith(".rows") and bool((eight.float() == tensor).all())
    return eight if rounded else tensor.half().contiguous()


def in_eight_bits(tensor: "Tensor") -> "Tensor":
    """A float tensor in the nearest numbers of 8 bits, four of them exponent (OCP E4M3): beyond 2^-6 to 448 they lose precision."""
    import torch

    return tensor.contiguous().to(torch.float8_e4m3fn)


def _widen(tensor: "Tensor") -> "Tensor":
    return tensor.float() if tensor.is_floating_point() else tensor
