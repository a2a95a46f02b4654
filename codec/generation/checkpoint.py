"""Generative models on disk: `config.yaml`, `generator.safetensors` and `card.md`, found by the tokenizer whose codes they model."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn

from codec.entropy import EntropyModel
from codec.errors import ModelMismatchError, ModelNotFoundError
from codec.generation.codebook import CodeSource, code_vectors
from codec.generation.masked import MaskedModel
from codec.generation.masked_prior import MaskedPrior
from codec.generation.model import TokenModel
from codec.generation.raster import RasterModel
from codec.generation.raster_prior import RasterPrior
from codec.generation.repair import Repair
from codec.models import Codec
from codec.models.checkpoint import (
    CARD,
    CONFIG,
    build,
    card_summary,
    precedence,
    read_metadata,
    search_path,
    version_of,
)
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
        masked: it sees what is known on all sides, so that it can fill gaps.
        coder_hash: what files name that are coded with it; None if it cannot code.
        bytes: of the weights.
        summary: first line of the card.
    """

    name: str
    folder: Path
    tokenizer: str
    coding_hash: str
    masked: bool
    coder_hash: str | None
    bytes: int
    summary: str


def list_generators() -> list[GeneratorInfo]:
    """All on the search path; of two with one name the first counts."""
    found: dict[str, GeneratorInfo] = {}
    for folder in search_path():
        for weights in sorted(folder.glob(f"*/{WEIGHTS}")):
            found.setdefault(weights.parent.name, _info(weights.parent))
    return list(found.values())


def find_generator(
    coding_hash: str,
    wanted: str | Path | None = None,
    *,
    masked: bool = False,
    coder: bool = False,
    causal: bool = False,
) -> GeneratorInfo:
    """The generative model of a tokenizer's codes: of that name or folder, else the one with the shortest name; its newest version.

    For a coder, and where `causal` says so, models that see only what comes before have precedence over masked ones, which need more bits.

    Args:
        coding_hash: of the tokenizer, in hex.
        wanted: name or folder.
        masked: only one that can fill gaps.
        coder: only one that can code.
        causal: rather one that sees only what comes before, if there is one.

    Raises:
        ModelNotFoundError: there is none.
        ModelMismatchError: the one of that name models the codes of another tokenizer.
    """
    if wanted is not None and (Path(wanted) / WEIGHTS).is_file():
        known = [_info(Path(wanted).resolve())]
    else:
        known = [info for info in list_generators() if wanted is None or version_of(info.name, str(wanted))]
    of_it = (info for info in known if info.coding_hash == coding_hash)
    fitting = [info for info in of_it if (info.masked or not masked) and (info.coder_hash or not coder)]
    if fitting:
        return min(fitting, key=lambda info: ((coder or causal) and info.masked, *precedence(info.name)))
    if known and wanted is not None:
        raise ModelMismatchError(f"{known[0].name} models the codes of {known[0].tokenizer}, which are others")
    names = ", ".join(f"{info.name} (of {info.tokenizer})" for info in list_generators()) or "none"
    named = "" if wanted is None else f" {str(wanted)!r}"
    raise ModelNotFoundError(f"no generative model{named} of these codes; known: {names}")


def find_coder(start: str) -> GeneratorInfo | None:
    """The generative model with which files were coded that name a hash of this start, if it is at hand."""
    found = (info for info in list_generators() if info.coder_hash is not None and info.coder_hash.startswith(start))
    return next(found, None) if len(start) >= 8 else None


def coder_of(model: TokenModel) -> EntropyModel | None:
    """The same model in integers, as it codes; None if it is of a family that cannot."""
    if isinstance(model, MaskedModel):
        return MaskedPrior(model)
    return RasterPrior(model) if isinstance(model, RasterModel) else None


def attach_generators(codec: Codec, folders: Iterable[Path]) -> Codec:
    """Let a tokenizer code with the first of these generative models that models all planes, and fill gaps with the first masked one.

    Raises:
        ModelNotFoundError: a checkpoint is not what it says.
    """
    tokenizer, models = cast(Tokenizer[Any], codec), [(info, load_generator(info)) for info in map(_info, folders)]
    coder = next((pair for pair in models if pair[0].coder_hash is not None), None)
    mender = next((model for info, model in models if info.masked), None)
    prior = None if coder is None else coder_of(coder[1])
    tokenizer.attach(prior, None if mender is None else Repair(cast(MaskedModel, mender), code_vectors(tokenizer)))
    if coder is not None and tokenizer.coding_hash("generator").hex() != coder[0].coder_hash:
        raise ModelNotFoundError(f"checkpoint {coder[0].folder} is damaged: its integers do not match its hash")
    return codec


def load_generator(info: GeneratorInfo) -> TokenModel:
    """Build it in eval mode on the CPU."""
    return read_generator(info.folder)


def read_generator(folder: Path) -> TokenModel:
    """The same from its folder."""
    from omegaconf import OmegaConf
    from safetensors.torch import load_file

    config = cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(folder / CONFIG)))
    return cast(TokenModel, _filled(config, load_file(folder / WEIGHTS)))


def save_generator(
    folder: Path, model: nn.Module, config: dict[str, Any], card: str, source: CodeSource
) -> GeneratorInfo:
    """Write a checkpoint, matrices in half precision.

    Args:
        folder: to write.
        model: a `TokenModel`.
        config: its resolved config.
        card: text.
        source: whose codes it models; its tokenizer is then one that can code with the model.
    """
    from omegaconf import OmegaConf
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    state = {key: _narrow(tensor.detach().cpu()) for key, tensor in model.state_dict().items()}
    facts = {"format": FORMAT, "tokenizer": source.name, "coding_hash": source.coding_hash}
    facts["masked"] = str(isinstance(model, MaskedModel))
    can_code = isinstance(model, MaskedModel | RasterModel) and model.alphabets == source.alphabets
    if can_code and source.tokenizer is not None:
        facts["coder_hash"] = _coder_hash(config, state, source.tokenizer)
    save_file(state, folder / WEIGHTS, facts)
    (folder / WEIGHTS).chmod(0o644)
    OmegaConf.save(OmegaConf.create(config), folder / CONFIG)
    (folder / CARD).write_text(card)
    return _info(folder)


def _filled(config: dict[str, Any], state: dict[str, torch.Tensor]) -> nn.Module:
    model = build(config)
    model.load_state_dict({name: t.float() if t.is_floating_point() else t for name, t in state.items()})
    return model.eval().requires_grad_(False)


def _coder_hash(config: dict[str, Any], state: dict[str, torch.Tensor], tokenizer: Tokenizer[Any]) -> str:
    """Of files that are coded with the model as it is stored."""
    tokenizer.attach(coder_of(cast(TokenModel, _filled(config, state))))
    return tokenizer.coding_hash("generator").hex()


def _narrow(tensor: torch.Tensor) -> torch.Tensor:
    halved = tensor.half() if tensor.is_floating_point() and tensor.ndim > 1 else tensor
    return halved.contiguous()


def _info(folder: Path) -> GeneratorInfo:
    facts = read_metadata(folder / WEIGHTS, FORMAT)
    return GeneratorInfo(
        folder.name,
        folder,
        facts["tokenizer"],
        facts["coding_hash"],
        facts["masked"] == "True",
        facts.get("coder_hash"),
        (folder / WEIGHTS).stat().st_size,
        card_summary(folder),
    )
