"""Files to tensors with what is needed to write them back, and tensors to files.

Names are loaded when first used: sound needs no Pillow, a picture no library of sound.
"""

from typing import TYPE_CHECKING

from codec.lazy import lazy_names

if TYPE_CHECKING:
    from codec.media.audio import AUDIO_SUFFIXES, open_pipe, open_sound, read_sound, write_sound
    from codec.media.image import IMAGE_SUFFIXES, read_image, write_image
    from codec.media.kinds import kind_of
    from codec.media.sound import SoundFormat, SoundReader
    from codec.media.sound_writing import sound_writer

__all__ = [
    "AUDIO_SUFFIXES",
    "IMAGE_SUFFIXES",
    "SoundFormat",
    "SoundReader",
    "kind_of",
    "open_pipe",
    "open_sound",
    "read_image",
    "read_sound",
    "sound_writer",
    "write_image",
    "write_sound",
]

_HOMES = {
    "AUDIO_SUFFIXES": "codec.media.audio",
    "IMAGE_SUFFIXES": "codec.media.image",
    "SoundFormat": "codec.media.sound",
    "SoundReader": "codec.media.sound",
    "kind_of": "codec.media.kinds",
    "open_pipe": "codec.media.audio",
    "open_sound": "codec.media.audio",
    "read_image": "codec.media.image",
    "read_sound": "codec.media.audio",
    "sound_writer": "codec.media.sound_writing",
    "write_image": "codec.media.image",
    "write_sound": "codec.media.audio",
}

__getattr__ = lazy_names(__name__, _HOMES)
