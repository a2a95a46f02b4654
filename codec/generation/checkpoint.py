"""Generative models on disk: `config.yaml`, `generator.safetensors` and `card.md`, found by the tokenizer whose codes they model."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from codec.errors import ModelMismatchError, ModelNotFoundError
from codec.generation.model import TokenModel
from codec.models.checkpoint import CARD, CONFIG, build, read_metadata, search_path
from codec.models.tokenizer import Tokenizer

FORMAT = "lmc-generator-1"
WEIGHTS = "generator.safetensors"


@dataclass(frozen=True)
class GeneratorInfo:
    """What a checkpoint says of itself.

    Attributes:
        name: of its folder.
        folder: where it is.
        tokenizer: name of the tokenizer whose codes it models.
        coding_hash: of that tokenizer's quantizer, in hex.
    """

    name: str
    folder: Path
    tokenizer: str
    coding_hash: str


def list_generators() -> list[GeneratorInfo]:
    """All on the search path; of two with one name the first counts."""
    found: dict[str, GeneratorInfo] = {}
    for folder in search_path():
        for weights in sorted(folder.glob(f"*/{WEIGHTS}")):
            found.setdefault(weights.parent.name, _info(weights.parent))
    return list(found.values())


def find_generator(coding_hash: str, wanted: str | Path | None = None) -> GeneratorInfo:
    """The generative model of a tokenizer's codes: of that name or folder, or else the first in the alphabet.

    Raises:
        ModelNotFoundError: there is none.
        ModelMismatchError: the one of that name models the codes of another tokenizer.
    """
    if wanted is not None and (Path(wanted) / WEIGHTS).is_file():
        known = [_info(Path(wanted).resolve())]
    else:
        known = [info for info in list_generators() if wanted is None or info.name == str(wanted)]
    fitting = [info for info in known if info.coding_hash == coding_hash]
    if fitting:
        return min(fitting, key=lambda info: info.name)
    if known and wanted is not None:
        raise ModelMismatchError(f"{known[0].name} models the codes of {known[0].tokenizer}, which are others")
    names = ", ".join(f"{info.name} (of {info.tokenizer})" for info in list_generators()) or "none"
    named = "" if wanted is None else f" {str(wanted)!r}"
    raise ModelNotFoundError(f"no generative model{named} of these codes; known: {names}")


def load_generator(info: GeneratorInfo) -> TokenModel:
    """Build it in eval mode on the CPU."""
    from omegaconf import OmegaConf
    from safetensors.torch import load_file

    config = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(info.folder / CONFIG)))
    model = build(config)
    state = {name: t.float() if t.is_floating_point() else t for name, t in load_file(info.folder / WEIGHTS).items()}
    model.load_state_dict(state)
    return cast(TokenModel, model.eval().requires_grad_(False))


def save_generator(
    folder: Path, model: nn.Module, config: dict[str, Any], card: str, tokenizer: Tokenizer[Any], name: str
) -> GeneratorInfo:
    """Write a checkpoint, matrices in half precision.

    Args:
        folder: to write.
        model: a `TokenModel`.
        config: its resolved config.
        card: text.
        tokenizer: whose codes it models.
        name: of the tokenizer.
    """
    from omegaconf import OmegaConf
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    state = {key: _narrow(tensor.detach().cpu()) for key, tensor in model.state_dict().items()}
    facts = {"format": FORMAT, "tokenizer": name, "coding_hash": tokenizer.coding_hash("static").hex()}
    save_file(state, folder / WEIGHTS, facts)
    (folder / WEIGHTS).chmod(0o644)
    OmegaConf.save(OmegaConf.create(config), folder / CONFIG)
    (folder / CARD).write_text(card)
    return _info(folder)


def _narrow(tensor: torch.Tensor) -> torch.Tensor:
    halved = tensor.half() if tensor.is_floating_point() and tensor.ndim > 1 else tensor
    return halved.contiguous()


def _info(folder: Path) -> GeneratorInfo:
    facts = read_metadata(folder / WEIGHTS, FORMAT)
    return GeneratorInfo(folder.name, folder, facts["tokenizer"], facts["coding_hash"])
