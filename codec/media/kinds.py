"""Which kind of media a file is, by its name or its first bytes; whether it is sound only a reader can tell."""

from pathlib import Path
from typing import TYPE_CHECKING

from codec.media.audio import AUDIO_SUFFIXES
from codec.media.image import IMAGE_SUFFIXES
from codec.media.sources import Source

if TYPE_CHECKING:
    from codec.types import MediaKind

SUFFIXES: "dict[MediaKind, frozenset[str]]" = {"image": IMAGE_SUFFIXES, "audio": AUDIO_SUFFIXES}
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


def kind_of(source: Source, start: bytes | None = None) -> "MediaKind":
    """`audio` or `image`: by the suffix of a path if that is known, else by the first bytes.

    Args:
        source: a file's path, its bytes, or a stream whose first bytes are given.
        start: those.
    """
    if isinstance(source, str | Path):
        suffix = Path(source).suffix.lower()
        for kind, suffixes in SUFFIXES.items():
            if suffix in suffixes:
                return kind
        start = _first_bytes(Path(source)) if start is None else start
    elif isinstance(source, bytes):
        start = source[:SNIFFED]
    return "audio" if start is not None and _is_sound(start) else "image"


def _is_sound(start: bytes) -> bool:
    wave = start[:4] == b"RIFF" and start[8:12] in (b"WAVE", b"")
    aiff = start[:4] == b"FORM" and start[8:11] == b"AIF"
    mpeg = start[4:8] == b"ftyp" and start[8:11] in (b"M4A", b"M4B")
    return wave or aiff or mpeg or start.startswith(_MAGICS)


def _first_bytes(path: Path) -> bytes:
    """None of a file that cannot be read: whoever reads it then says why."""
    try:
        with path.open("rb") as file:
            return file.read(SNIFFED)
    except OSError:
        return b""
