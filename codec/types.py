"""What crosses the borders between rooms: media samples and integer codes, each checking itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

MediaKind = Literal["image", "audio", "video"]

_SPACE_DIMS: dict[str, int] = {"image": 2, "audio": 1, "video": 3}


@dataclass(frozen=True)
class Media:
    """Samples of one file with what is needed to write it back.

    Attributes:
        kind: the modality.
        samples: `(C, *space)`; uint8 or uint16 for images, `(1 or 3, H, W)`, full scale 255 or 65535; float32 for sound, `(C, N)`,
            full scale 1.
        metadata: named byte strings kept beside the samples: `alpha` (a PNG file), `icc`, `exif` of a picture; `encoding` (of
            the samples in the file: `PCM_16`, `PCM_24`, `FLOAT`, …) and `tags` (UTF-8 JSON) of a sound.
        rate: samples a second of a sound; 0 for all else.
    """

    kind: MediaKind
    samples: Tensor
    metadata: Mapping[str, bytes] = field(default_factory=dict)
    rate: int = 0

    def __post_init__(self) -> None:
        expected = 1 + _SPACE_DIMS[self.kind]
        if self.samples.ndim != expected:
            raise ValueError(f"{self.kind} samples need {expected} axes (C, *space), got {tuple(self.samples.shape)}")
        if 0 in self.samples.shape:
            raise ValueError(f"{self.kind} samples are empty: {tuple(self.samples.shape)}")
        if (self.kind == "audio") != (self.rate > 0) or self.rate < 0:
            raise ValueError(f"sound needs a rate above 0 and nothing else has one, got {self.rate} for {self.kind}")
        if self.kind == "audio" and self.samples.dtype != torch.float32:
            raise ValueError(f"sound is float32, got {self.samples.dtype}")

    @property
    def space(self) -> tuple[int, ...]:
        """Size without the channel axis: `(H, W)` for an image."""
        return tuple(self.samples.shape[1:])


@dataclass(frozen=True)
class Plane:
    """One grid of integers.

    Attributes:
        codes: int64 `(B, *grid)`, each in `[0, alphabet)`; a plane of an unbounded integer latent has `alphabet` 0.
        alphabet: number of different codes, 0 where any integer may occur.
    """

    codes: Tensor
    alphabet: int

    def __post_init__(self) -> None:
        if self.codes.dtype != torch.int64:
            raise ValueError(f"codes must be int64, got {self.codes.dtype}")
        if self.alphabet and self.codes.numel():
            low, high = int(self.codes.min()), int(self.codes.max())
            if low < 0 or high >= self.alphabet:
                raise ValueError(f"codes must lie in [0, {self.alphabet}), got {low}..{high}")


@dataclass(frozen=True)
class Codes:
    """The border between lossy and lossless: an ordered list of planes, coarse to fine.

    Attributes:
        planes: every plane has the same batch size.
        droppable_from: planes from this index on may be missing and then decode to their expected value.
        gain: index of the quality, for models of continuous rate.
    """

    planes: tuple[Plane, ...]
    droppable_from: int | None = None
    gain: int | None = None

    def __post_init__(self) -> None:
        if not self.planes:
            raise ValueError("codes need at least one plane")
        batches = {plane.codes.shape[0] for plane in self.planes}
        if len(batches) != 1:
            raise ValueError(f"planes disagree on the batch size: {sorted(batches)}")

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the first plane of a picture."""
        rows, columns = self.planes[0].codes.shape[1:]
        return rows, columns

    @property
    def alphabets(self) -> tuple[int, ...]:
        """Alphabet of each plane."""
        return tuple(plane.alphabet for plane in self.planes)
