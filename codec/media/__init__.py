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
    from codec.media.video import VIDEO_SUFFIXES, VideoFormat, VideoFrame, VideoReader, open_video
    from codec.media.video_writing import VIDEO_WRITABLE, VideoWriter, video_writer

__all__ = [
    "AUDIO_SUFFIXES",
    "IMAGE_SUFFIXES",
    "VIDEO_SUFFIXES",
    "VIDEO_WRITABLE",
    "SoundFormat",
    "SoundReader",
    "VideoFormat",
    "VideoFrame",
    "VideoReader",
    "VideoWriter",
    "kind_of",
    "open_pipe",
    "open_sound",
    "open_video",
    "read_image",
    "read_sound",
    "sound_writer",
    "video_writer",
    "write_image",
    "write_sound",
]

_HOMES = {
    "AUDIO_SUFFIXES": "codec.media.audio",
    "IMAGE_SUFFIXES": "codec.media.image",
    "VIDEO_SUFFIXES": "codec.media.video",
    "VIDEO_WRITABLE": "codec.media.video_writing",
    "SoundFormat": "codec.media.sound",
    "SoundReader": "codec.media.sound",
    "VideoFormat": "codec.media.video",
    "VideoFrame": "codec.media.video",
    "VideoReader": "codec.media.video",
    "VideoWriter": "codec.media.video_writing",
    "kind_of": "codec.media.kinds",
    "open_pipe": "codec.media.audio",
    "open_sound": "codec.media.audio",
    "open_video": "codec.media.video",
    "read_image": "codec.media.image",
    "read_sound": "codec.media.audio",
    "sound_writer": "codec.media.sound_writing",
    "video_writer": "codec.media.video_writing",
    "write_image": "codec.media.image",
    "write_sound": "codec.media.audio",
}

__getattr__ = lazy_names(__name__, _HOMES)
