"""From a wish to codes: what is given of a picture or a sound, what is to be drawn, and records that decode as any others."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from codec.container import AudioFields, ImageFields
from codec.errors import MediaError, UsageError
from codec.generation.conditions import Condition, coarse_vectors
from codec.generation.files import Still, record_of
from codec.generation.model import TokenModel
from codec.generation.patterns import EMPTY
from codec.generation.records import TokenRecord
from codec.generation.sampling import Sampling
from codec.media import read_image
from codec.media.kinds import NAMES, kind_of
from codec.models import SoundCodec, TokenCodec

DEFAULT_SIDE, DEFAULT_SECONDS = 256, 4.0
BATCH = 8  # drawn at once
Media = ImageFields | AudioFields


@dataclass(frozen=True)
class Wish:
    """What is to be made.

    Attributes:
        fields: size of the picture, or rate, channels and samples of the sound.
        given: int64 `(Q, rows, columns)`, `EMPTY` where codes are to be drawn.
        coarse: `(rows, columns, D)`, a coarse picture as the model takes it; None without.
        label: a class; None without.
    """

    fields: Media
    given: Tensor
    coarse: Tensor | None = None
    label: int | None = None


def generate(model: TokenModel, wishes: Sequence[Wish], sampling: Sampling, *, seed: int) -> list[TokenRecord]:
    """A record for each wish, numbered from 1; those of a batch are of one grid and told the same kinds of things."""
    try:
        model.conditions.check(_condition(wishes))
    except ValueError as error:
        raise UsageError(str(error)) from error
    random, records = torch.Generator().manual_seed(seed), list[TokenRecord]()
    for first in range(0, len(wishes), BATCH):
        part = wishes[first : first + BATCH]
        given = torch.stack([wish.given for wish in part])
        codes = model.generate(given, _condition(part), sampling, random=random)
        for grid, wish in zip(codes, part, strict=True):
            records.append(TokenRecord(f"{len(records) + 1:04}", grid.numpy().astype(np.int64), _facts(wish.fields)))
    return records


def picture_wish(
    codec: TokenCodec,
    model: TokenModel,
    *,
    size: tuple[int, int] | None = None,
    prompt: Path | None = None,
    keep: float = 0.5,
    mask: Path | None = None,
    coarse: Path | None = None,
    label: int | None = None,
) -> Wish:
    """A picture.

    Args:
        codec: whose codes they are.
        model: that draws them.
        size: width and height; that of the prompt or the coarse picture by default.
        prompt: a picture that is kept in part.
        keep: share of its rows, from the top, that is kept; with a mask all that is not white is.
        mask: a grey picture of its size: what is white is drawn anew.
        coarse: a picture that says roughly what is to be drawn.
        label: a class.
    """
    told = None if coarse is None else _read_codes(codec, coarse, len(codec.quantizer.codebook_sizes))
    start = None if prompt is None else _read_codes(codec, prompt, len(model.alphabets))
    source = start or told
    width, height = size or (_size(source) if source is not None else (DEFAULT_SIDE, DEFAULT_SIDE))
    fields = ImageFields(width, height, 3)
    grid = -(-height // codec.stride), -(-width // codec.stride)
    given = torch.full((len(model.alphabets), *grid), EMPTY)
    if start is not None:
        given = _kept(start, given, keep) if mask is None else _unmasked(codec, start, given, mask)
    elif mask is not None:
        raise UsageError("a mask needs a prompt, the picture of which it says what to keep")
    vectors = None
    if told is not None:
        whole = codec.quantizer.decode(torch.from_numpy(told.codes.astype("int64")).movedim(0, -1)).float()
        vectors = coarse_vectors(_fitted(whole, grid)[None], model.conditions.coarse_step)[0]
    return Wish(fields, given, vectors, label)


def sound_wish(
    codec: SoundCodec,
    model: TokenModel,
    *,
    seconds: float | None = None,
    prompt: Path | None = None,
    label: int | None = None,
) -> Wish:
    """A sound of so many seconds; a prompt comes first, whole, and is not counted in them."""
    samples, channels = round((seconds or DEFAULT_SECONDS) * codec.rate), 1
    before = torch.zeros(len(model.alphabets), 1, 0, dtype=torch.int64)
    if prompt is not None:
        record = _read_codes(codec, prompt, len(model.alphabets))
        before, channels = torch.from_numpy(record.codes.astype("int64")), record.media["channels"]
        samples += round(record.media["samples"] * codec.rate / record.media["rate_hz"])
    frames = max(1, codec.frames(samples) - before.shape[2])
    given = torch.cat([before, torch.full((len(model.alphabets), channels, frames), EMPTY)], 2)
    return Wish(AudioFields(codec.rate, channels, samples), given, label=label)


def _condition(wishes: Sequence[Wish]) -> Condition:
    labels = [wish.label for wish in wishes if wish.label is not None]
    coarse = [wish.coarse for wish in wishes if wish.coarse is not None]
    return Condition(torch.tensor(labels) if labels else None, torch.stack(coarse) if coarse else None)


def _read_codes(codec: Still, path: Path, planes: int) -> TokenRecord:
    """Codes of a file that must be of the codec's kind."""
    if not path.exists():
        raise MediaError(f"{path} does not exist")
    if path.suffix != ".lmc" and kind_of(path) != codec.kind:
        raise UsageError(f"{path} is no file of {NAMES[codec.kind]}, which this model makes")
    return record_of(codec, path, path.stem, planes)


def _kept(record: TokenRecord, given: Tensor, keep: float) -> Tensor:
    """The upper rows of a record."""
    codes = _fitted_codes(record, given)
    rows = round(keep * codes.shape[1])
    return torch.cat([codes[:, :rows], given[:, rows:]], 1)


def _unmasked(codec: TokenCodec, record: TokenRecord, given: Tensor, mask: Path) -> Tensor:
    """All codes of a record whose squares of pixels the mask does not touch."""
    painted = read_image(mask).samples[:1].float()
    if tuple(painted.shape[1:]) != (record.media["height"], record.media["width"]):
        raise UsageError(f"{mask} is {painted.shape[2]}x{painted.shape[1]}, the prompt {_size(record)}")
    touched = torch.nn.functional.max_pool2d(painted[None], codec.stride, ceil_mode=True)[0, 0] >= 128
    codes = _fitted_codes(record, given)
    return torch.where(touched, given, codes)


def _fitted_codes(record: TokenRecord, given: Tensor) -> Tensor:
    codes = torch.from_numpy(record.codes.astype("int64"))
    if codes.shape != given.shape:
        raise UsageError(
            f"the prompt has {codes.shape[1]}x{codes.shape[2]} codes, asked for are {tuple(given.shape[1:])}"
        )
    return codes


def _fitted(vectors: Tensor, grid: tuple[int, int]) -> Tensor:
    """`(rows, columns, D)` resized to another grid."""
    if tuple(vectors.shape[:2]) == grid:
        return vectors
    moved = torch.nn.functional.interpolate(vectors.movedim(-1, 0)[None], grid, mode="area")
    return moved[0].movedim(0, -1)


def _size(record: TokenRecord) -> tuple[int, int]:
    return record.media["width"], record.media["height"]


def _facts(fields: Media) -> dict[str, int]:
    if isinstance(fields, ImageFields):
        return {"width": fields.width, "height": fields.height, "channels": fields.channels}
    return {"rate_hz": fields.rate_hz, "channels": fields.channels, "samples": fields.samples}
