"""Sound that libsndfile decodes: FLAC, Ogg Vorbis and Opus, MP3, AIFF, AU, CAF, W64, and WAVE of other than plain numbers."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import soundfile

from codec.media.sound import TAGS, Encoding, Samples, SoundFormat, SoundReader, no_samples
from codec.media.sound_damage import check_sound, mp3_count
from codec.media.sources import damaged

PIECE = 1 << 16  # samples; libsndfile seeks at every call
MAX_FRAMES = 1 << 48  # of a FLAC whose writer did not know the number, libsndfile says more, and fails at its end
FORMATS = ("WAV", "WAVEX", "W64", "RF64", "FLAC", "OGG", "MP3", "AIFF", "AU", "CAF")
ENCODINGS: dict[str, Encoding] = {
    "PCM_S8": "PCM_U8", "PCM_U8": "PCM_U8", "PCM_16": "PCM_16", "PCM_24": "PCM_24", "PCM_32": "PCM_32",
    "FLOAT": "FLOAT", "DOUBLE": "FLOAT", "ALAC_20": "PCM_24", "ALAC_24": "PCM_24", "ALAC_32": "PCM_32",
}  # fmt: skip
# Where each channel in the order of WAVE files stands in Ogg: Vorbis I specification, section 4.3.9; RFC 7845, section 5.1.1.2.
OGG_ORDER = {
    3: (0, 2, 1),
    5: (0, 2, 1, 3, 4),
    6: (0, 2, 1, 5, 3, 4),
    7: (0, 2, 1, 6, 5, 3, 4),
    8: (0, 2, 1, 7, 5, 6, 3, 4),
}


@contextmanager
def open_sndfile(file: BinaryIO, name: str) -> Iterator[SoundReader | None]:
    """A reader of an open file that seeks; None if libsndfile does not know its format."""
    check_sound(file, name)
    count = mp3_count(file)
    file.seek(0)
    try:
        sound = soundfile.SoundFile(file)
    except (soundfile.LibsndfileError, TypeError):  # TypeError: the name ends in .raw
        yield None
        return
    with sound:
        # without a count, the length of an MP3 is a guess from its first frames
        trusted = sound.format != "MP3" or (count is not None and count.has_frames)
        known = sound.format in FORMATS and sound.frames <= MAX_FRAMES
        yield _reader(sound, name, sound.frames if trusted else None) if known else None


def _reader(sound: soundfile.SoundFile, name: str, frames: int | None) -> SoundReader:
    found = sound.copy_metadata()
    tags = {tag: found[tag] for tag in TAGS if found.get(tag)}
    format = SoundFormat(sound.samplerate, sound.channels, ENCODINGS.get(sound.subtype, "PCM_16"), tags)
    if frames == 0:
        raise no_samples(name)
    order = OGG_ORDER.get(sound.channels) if sound.format == "OGG" else None

    def pieces(size: int) -> Iterator[Samples]:
        try:
            while len(piece := sound.read(max(size, PIECE), dtype="float32", always_2d=True)):
                yield piece if order is None else piece[:, order]
        except soundfile.LibsndfileError as error:
            raise damaged(name, error.error_string) from error

    return SoundReader(format, frames, name, pieces)
