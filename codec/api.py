"""The suite in four functions: `load` a model, `encode` and `decode` media, `probe` a file.

Every failure is a `codec.CodecError`.
"""

import io
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from codec.container import FileDescription, Reader, describe
from codec.errors import MediaError, UsageError

if TYPE_CHECKING:
    from codec.models import Codec
    from codec.models.base import Encoding
    from codec.types import Media

DEFAULT_IMAGE_MODEL = "image-latent"

Source = str | Path | bytes


def load(name: str | Path = DEFAULT_IMAGE_MODEL, *, device: str = "cpu") -> "Codec":
    """A checkpoint by name, folder or hash, ready to use; loaded once a process."""
    from codec.models import find

    return _load(find(name).folder, pick_device(device))


def encode(
    source: Source,
    target: str | Path | None = None,
    *,
    model: "str | Path | Codec | None" = None,
    encoding: "Encoding | None" = None,
    force: bool = False,
    device: str = "cpu",
) -> bytes:
    """A picture to `.lmc` bytes.

    Args:
        source: path of a picture, or its bytes.
        target: where to write the file too; it appears whole or not at all.
        model: name, folder, hash or a loaded model; the default model if not given.
        encoding: quality or target, region of interest, effort, prior; see `codec.Encoding`.
        force: replace an existing target.
        device: `cpu`, `cuda` or `auto`.
    """
    from codec.media import read_image
    from codec.models.base import PLAIN

    _refuse_existing(target, force)
    codec = _model(model, device)
    data = codec.compress(read_image(source, bits=16), encoding if encoding is not None else PLAIN)
    _write(data, target)
    return data


def decode(
    source: Source,
    target: str | Path | None = None,
    *,
    model: "str | Path | Codec | None" = None,
    force: bool = False,
    partial: bool = False,
    format: str | None = None,
    device: str = "cpu",
) -> "Media":
    """`.lmc` bytes to a picture.

    Args:
        source: path of a `.lmc` file, or its bytes.
        target: where to write the picture too; its suffix chooses the format unless `format` does.
        model: the model to use instead of finding the one that the file names.
        force: replace an existing target.
        partial: give what is whole of a damaged file instead of refusing it.
        format: `png`, `jpeg`, `webp`, …
        device: `cpu`, `cuda` or `auto`.
    """
    from codec.media import write_image

    _refuse_existing(target, force)
    data = read_bytes(source)
    codec = _model(model if model is not None else Reader(io.BytesIO(data)).head.coding_hash.hex(), device)
    media = codec.decompress(data, partial=partial)
    if target is not None:
        write_image(media, Path(target), format)
    return media


def probe(source: Source) -> FileDescription:
    """What a `.lmc` file says of itself; needs no model and does not import torch."""
    return describe(io.BytesIO(read_bytes(source)))


def read_bytes(source: Source) -> bytes:
    """The bytes of a path, or the bytes themselves."""
    if isinstance(source, bytes):
        return source
    try:
        return Path(source).read_bytes()
    except OSError as error:
        raise MediaError(f"cannot read {source}: {error.strerror}") from error


def pick_device(device: str) -> str:
    """`auto` means CUDA where there is one, else the CPU; asking for what is not there is an error."""
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("no CUDA device is available; use --device cpu or auto")
    if device not in ("cpu", "cuda"):
        raise UsageError(f"unknown device {device!r}: use auto, cpu or cuda")
    return device


@lru_cache(maxsize=4)
def _load(folder: Path, device: str) -> "Codec":
    from codec.models.checkpoint import load as load_checkpoint

    return load_checkpoint(folder).to(device)


def _model(model: "str | Path | Codec | None", device: str) -> "Codec":
    if model is None or isinstance(model, str | Path):
        return load(model or DEFAULT_IMAGE_MODEL, device=device)
    return model


def _refuse_existing(target: str | Path | None, force: bool) -> None:
    if target is not None and not force and Path(target).exists():
        raise UsageError(f"{target} exists; use --force (force=True) to replace it")


def _write(data: bytes, target: str | Path | None) -> None:
    if target is not None:
        from codec.media.files import whole_file

        with whole_file(Path(target)) as file:
            file.write(data)
