"""Assemblies of encoder, quantizer, decoder and prior; tiling; checkpoints.

Names are loaded when first used, so that listing checkpoints does not import torch.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codec.models.base import Codec
    from codec.models.checkpoint import CheckpointInfo, find, list_checkpoints, load, save
    from codec.models.token import TokenCodec

_HOMES = {
    "CheckpointInfo": "checkpoint",
    "Codec": "base",
    "TokenCodec": "token",
    "find": "checkpoint",
    "list_checkpoints": "checkpoint",
    "load": "checkpoint",
    "save": "checkpoint",
}

__all__ = ["CheckpointInfo", "Codec", "TokenCodec", "find", "list_checkpoints", "load", "save"]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(importlib.import_module(f"codec.models.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
