"""The coding part of a model as a hash: facts, classes and tensors that a decoder must share."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from typing import cast

from torch import Tensor, nn

from codec.quantizers.codebooks.base import STATISTICS


def digest(facts: Mapping[str, object], parts: Mapping[str, Iterable[tuple[str, Tensor]]]) -> bytes:
    """SHA-256 of facts that JSON can hold and of named tensors."""
    found = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for part, tensors in parts.items():
        for name, tensor in tensors:
            values = tensor.detach().cpu().contiguous().numpy()
            found.update(f"{part}.{name} {values.dtype.str} {values.shape}".encode())
            found.update(values.tobytes())
    return found.digest()


def module_classes(module: object) -> list[str]:
    """Names and classes of a module and all modules inside it: what its tensors do not tell."""
    return [f"{name} {type(part).__name__}" for name, part in cast(nn.Module, module).named_modules()]


def model_tensors(module: object) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers by name, those too that no checkpoint stores; without training statistics."""
    part = cast(nn.Module, module)
    for name, tensor in sorted({**dict(part.named_parameters()), **dict(part.named_buffers())}.items()):
        if name.rpartition(".")[2] not in STATISTICS:
            yield name, tensor
