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
    from codec.models.video_frame import InterCodec
    from codec.models.video_latent import VideoLatentCodec
    from codec.models.video_rate import Structure
    from codec.models.video_tokens import VideoTokenCodec

__all__ = [
    "CheckpointInfo",
    "Codec",
    "Encoding",
    "InterCodec",
    "LatentCodec",
    "SoundCodec",
    "Structure",
    "TokenCodec",
    "VideoLatentCodec",
    "VideoTokenCodec",
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
    "InterCodec": "codec.models.video_frame",
    "LatentCodec": "codec.models.latent",
    "SoundCodec": "codec.models.sound",
    "Structure": "codec.models.video_rate",
    "TokenCodec": "codec.models.token",
    "VideoLatentCodec": "codec.models.video_latent",
    "VideoTokenCodec": "codec.models.video_tokens",
    "find": "codec.models.checkpoint",
    "list_checkpoints": "codec.models.checkpoint",
    "load": "codec.models.checkpoint",
    "load_as": "codec.models.checkpoint",
    "save": "codec.models.checkpoint",
}

__getattr__ = lazy_names(__name__, _HOMES)
