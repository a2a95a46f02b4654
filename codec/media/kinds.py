"""Which kind of media a file is, by its name or its first bytes, and of a container by what is in it."""

from pathlib import Path
from typing import TYPE_CHECKING

from codec.media.audio import AUDIO_SUFFIXES
from codec.media.image import IMAGE_SUFFIXES
from codec.media.sources import Source
from codec.media.video import VIDEO_SUFFIXES

if TYPE_CHECKING:
    from codec.types import MediaKind

SUFFIXES: "dict[MediaKind, frozenset[str]]" = {
    "image": IMAGE_SUFFIXES,
    "audio": AUDIO_SUFFIXES,
    "video": VIDEO_SUFFIXES,
}
"""Suffixes of the files of each kind that a folder walk takes."""

NAMES: "dict[MediaKind, str]" = {"image": "pictures", "audio": "sound", "video": "video"}
SNIFFED = 12  # first bytes that are looked at
_MAGICS = (
    b"RIFX",
    b"RF64",
    b"fLaC",
    b"OggS",
    b"ID3",
    b"\xff\xfb",
    b"\xff\xf3",
    b"\xff\xf2",
    b"\xff\xf1",
    b".snd",
    b"caff",
    b"riff",
)
_VIDEO_MAGICS = (b"YUV4MPEG2 ", b"\x1a\x45\xdf\xa3", b"FLV\x01", b"\0\0\x01\xba", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11")
# Of files that are built like MP4: AVIF, HEIC, raw photographs.
_STILL_BRANDS = (b"avif", b"avis", b"hei", b"hev", b"mif1", b"msf1", b"crx ")
_OLD_QUICKTIME = (b"moov", b"mdat", b"wide")


def kind_of(source: Source, start: bytes | None = None) -> "MediaKind":
    """`audio`, `video` or `image`: by the suffix of a path if that is known, else by the first bytes.

    What looks like video is opened if it is a file or bytes: it is `audio` if it holds sound and no moving pictures, of which a
    cover is none.

    Args:
        source: a file's path, its bytes, or a stream whose first bytes are given.
        start: those.
    """
    kind = _guess(source, start)
    if kind == "video" and (isinstance(source, bytes) or (isinstance(source, str | Path) and Path(source).is_file())):
        from codec.media.av_video import only_sound  # here: most files need no FFmpeg

        return "audio" if only_sound(source) else "video"
    return kind


def _guess(source: Source, start: bytes | None) -> "MediaKind":
    if isinstance(source, str | Path):
        suffix = Path(source).suffix.lower()
        for kind, suffixes in SUFFIXES.items():
            if suffix in suffixes:
                return kind
        start = _first_bytes(Path(source)) if start is None else start
    elif isinstance(source, bytes):
        start = source[:SNIFFED]
    if start is None:
        return "image"
    return "audio" if _is_sound(start) else "video" if _is_video(start) else "image"


def _is_sound(start: bytes) -> bool:
    wave = start[:4] == b"RIFF" and start[8:12] in (b"WAVE", b"")
    aiff = start[:4] == b"FORM" and start[8:11] == b"AIF"
    mpeg = start[4:8] == b"ftyp" and start[8:11] in (b"M4A", b"M4B")
    return wave or aiff or mpeg or start.startswith(_MAGICS)


def _is_video(start: bytes) -> bool:
    """Or a container that may hold sound alone."""
    avi = start[:4] == b"RIFF" and start[8:12] == b"AVI "
    mpeg = start[4:8] == b"ftyp" and not start[8:12].startswith(_STILL_BRANDS)
    return avi or mpeg or start[4:8] in _OLD_QUICKTIME or start.startswith(_VIDEO_MAGICS)


def _first_bytes(path: Path) -> bytes:
    """None of a file that cannot be read: whoever reads it then says why."""
    try:
        with path.open("rb") as file:
            return file.read(SNIFFED)
    except OSError:
        return b""
