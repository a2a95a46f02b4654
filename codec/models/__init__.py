"""Assemblies of encoder, quantizer, decoder and prior; tiling; checkpoints.

Names are loaded when first used, so that listing checkpoints does not import torch.
"""

from typing import TYPE_CHECKING

from codec.lazy import lazy_names

if TYPE_CHECKING:
    from codec.models.base import Codec, Encoding
    from codec.models.checkpoint import CheckpointInfo, find, list_checkpoints, load, load_as, save
    from codec.models.latent import LatentCodec
    from codec.models.sound import SoundCodec
    from codec.models.token import TokenCodec

__all__ = [
    "CheckpointInfo",
    "Codec",
    "Encoding",
    "LatentCodec",
    "SoundCodec",
    "TokenCodec",
    "find",
    "list_checkpoints",
    "load",
    "load_as",
    "save",
]

_HOMES = {
    "CheckpointInfo": "codec.models.checkpoint",
    "Codec": "codec.models.base",
    "Encoding": "codec.models.base",
    "LatentCodec": "codec.models.latent",
    "SoundCodec": "codec.models.sound",
    "TokenCodec": "codec.models.token",
    "find": "codec.models.checkpoint",
    "list_checkpoints": "codec.models.checkpoint",
    "load": "codec.models.checkpoint",
    "load_as": "codec.models.checkpoint",
    "save": "codec.models.checkpoint",
}

__getattr__ = lazy_names(__name__, _HOMES)
