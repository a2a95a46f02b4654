"""Learned media codecs: pictures, sound and video to discrete codes, codes to small files, and back.

Names are loaded when first used, so that `codec info` and `import codec` stay quick.
"""

import importlib
from typing import TYPE_CHECKING

from codec.errors import CodecError

if TYPE_CHECKING:
    from codec.api import decode, encode, load, probe
    from codec.models import Codec
    from codec.types import Codes, Media

__all__ = ["Codec", "CodecError", "Codes", "Media", "decode", "encode", "load", "probe"]

_HOMES = {
    "Codec": ("codec.models", "Codec"),
    "Codes": ("codec.types", "Codes"),
    "Media": ("codec.types", "Media"),
    "decode": ("codec.api", "decode"),
    "encode": ("codec.api", "encode"),
    "load": ("codec.api", "load"),
    "probe": ("codec.api", "probe"),
}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        module, attribute = _HOMES[name]
        return getattr(importlib.import_module(module), attribute)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
