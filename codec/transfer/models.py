"""Which model media need: by name or hash, ready to use, loaded once a process; the defaults for each kind of media."""

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from codec.errors import ModelNotFoundError, UsageError

if TYPE_CHECKING:
    from codec.models import Codec
    from codec.types import MediaKind

DEFAULT_IMAGE_MODEL, DEFAULT_SOUND_MODEL, DEFAULT_SPEECH_MODEL = "image-latent", "audio-24k", "audio-speech-16k"
DEFAULT_VIDEO_MODEL = "video-latent"
SPEECH_HZ = 16_000  # sound of no higher rate is taken for speech

Use = Literal["prior", "repair"]


def default_sound_model(rate_hz: int) -> str:
    """The model for sound of a rate where none is asked for: up to 16 kHz that of speech."""
    return DEFAULT_SPEECH_MODEL if rate_hz <= SPEECH_HZ else DEFAULT_SOUND_MODEL


def model_for(kind: "MediaKind", model: "str | Path | Codec", device: str, use: "Use | None" = None) -> "Codec":
    """A model, which must be one for this kind of media."""
    from codec.media.kinds import NAMES

    codec = load_model(model, device, use=use)
    if codec.kind != kind:
        raise UsageError(f"this model is for {NAMES[codec.kind]}, the input is not; see `codec models`")
    return codec


def load_model(wanted: "str | Path | Codec", device: str, *, use: "Use | None" = None) -> "Codec":
    """A checkpoint by name, folder or hash, ready to use, loaded once a process; a model as it is.

    Args:
        wanted: the name, folder or hash, or the model.
        device: `cpu`, `cuda` or `auto`.
        use: of a generative model of its codes, which then comes with it.
    """
    from codec.models import find

    if not isinstance(wanted, str | Path):
        return wanted
    try:
        folder, generators = find(wanted).folder, list[Path]()
    except ModelNotFoundError:
        from codec.generation.checkpoint import find_coder

        coder = find_coder(str(wanted))
        if coder is None:
            raise
        folder, generators = find(coder.coding_hash).folder, [coder.folder]
    if use is not None:
        generators.append(_generator_of(folder, use))
    return _load(folder, tuple(dict.fromkeys(generators)), pick_device(device))


def _generator_of(folder: Path, use: "Use") -> Path:
    """The folder of a generative model of the codes of a checkpoint."""
    from codec.generation.checkpoint import find_generator
    from codec.models import find

    info = find(folder)
    if "static" not in info.coding_hashes:
        raise UsageError(f"{info.name} has no tokens, so there is no generative model of them")
    return find_generator(info.coding_hashes["static"], masked=use == "repair", coder=use == "prior").folder


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
def _load(folder: Path, generators: tuple[Path, ...], device: str) -> "Codec":
    from codec.models.checkpoint import load as load_checkpoint

    codec = load_checkpoint(folder).to(device)
    if not generators:
        return codec
    from codec.generation.checkpoint import attach_generators

    return attach_generators(codec, generators)
