"""Learned media codecs: pictures, sound and video to discrete codes, codes to small files, and back.

Names are loaded when first used, so that `codec info` and `import codec` stay quick.
"""

import os
from typing import TYPE_CHECKING

from codec.errors import CodecError
from codec.lazy import lazy_names

if TYPE_CHECKING:
    from codec.api import decode, encode, load, probe
    from codec.models import Codec, Encoding
    from codec.types import Codes, Media

__all__ = ["Codec", "CodecError", "Codes", "Encoding", "Media", "decode", "encode", "load", "probe"]

# Torch's idle threads otherwise spin for milliseconds, on cores that compiled loops of the entropy models want. Read when torch is
# first imported; whoever sets it keeps it.
os.environ.setdefault("GOMP_SPINCOUNT", "20000")

_HOMES = {
    "Codec": "codec.models",
    "Codes": "codec.types",
    "Encoding": "codec.models",
    "Media": "codec.types",
    "decode": "codec.api",
    "encode": "codec.api",
    "load": "codec.api",
    "probe": "codec.api",
}

__getattr__ = lazy_names(__name__, _HOMES)
