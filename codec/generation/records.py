"""Codes of one picture, sound or film as a record of a data set, and what has to be known of the model that made them."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from codec.errors import BitstreamError, ModelMismatchError
from codec.types import MediaKind


@dataclass(frozen=True)
class TokenSource:
    """What made the codes of a shard; codes of two sources are different words.

    Attributes:
        model: name of the checkpoint.
        coding_hash: SHA-256 of its geometry, quantizer and static tables, in hex.
        kind: of the media.
        alphabets: of the codes of a position, coarse to fine.
    """

    model: str
    coding_hash: str
    kind: MediaKind
    alphabets: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest unsigned integers, little-endian, that hold every code."""
        return np.min_scalar_type(max(self.alphabets) - 1).newbyteorder("<")

    def require(self, other: "TokenSource", place: str) -> None:
        """Refuse codes that another model made.

        Raises:
            ModelMismatchError: with both models and `place`, where the others are.
        """
        if (self.coding_hash, self.alphabets) != (other.coding_hash, other.alphabets):
            raise ModelMismatchError(
                f"{place} holds codes of {other.model} ({other.coding_hash[:16]}), not of {self.model} ({self.coding_hash[:16]})"
            )

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> "TokenSource":
        """The way back; `KeyError` or `TypeError` if something is missing."""
        return TokenSource(
            str(values["model"]), str(values["coding_hash"]), values["kind"], tuple(int(a) for a in values["alphabets"])
        )


@dataclass(frozen=True)
class TokenRecord:
    """Codes of one file.

    Attributes:
        key: its path in its folder, without suffix.
        codes: integers `(Q, *grid)`, coarse to fine: `(Q, rows, columns)` of a picture, `(Q, channels, frames)` of a sound.
        media: what is needed to give the file back: `width` and `height`; `rate`, `channels` and `samples`.
        label: its class, where one was given.
        caption: a text about it, likewise.
    """

    key: str
    codes: NDArray[Any]
    media: Mapping[str, int] = field(default_factory=dict)
    label: int | None = None
    caption: str | None = None

    def check(self, source: TokenSource) -> None:
        """Refuse codes that the source cannot have made.

        Raises:
            BitstreamError: as many planes as alphabets, and every code within its own, are expected.
        """
        if len(self.codes) != len(source.alphabets) or self.codes.ndim < 2:
            raise BitstreamError(f"expected {len(source.alphabets)} planes, got {self.codes.shape}", self.key)
        flat = self.codes.reshape(len(self.codes), -1)
        if not flat.shape[1]:
            raise BitstreamError("there are no codes", self.key)
        for plane, (row, alphabet) in enumerate(zip(flat, source.alphabets, strict=True)):
            low, high = int(row.min()), int(row.max())
            if low < 0 or high >= alphabet:
                raise BitstreamError(f"codes {low}..{high} of plane {plane} leave [0, {alphabet})", self.key)

    def facts(self) -> dict[str, Any]:
        """All but the codes, as plain values; what is not there is left out."""
        facts = {"key": self.key, "shape": list(self.codes.shape), "media": dict(self.media)}
        named = {"label": self.label, "caption": self.caption}
        return facts | {name: value for name, value in named.items() if value is not None}

    @staticmethod
    def from_facts(facts: Mapping[str, Any], codes: NDArray[Any]) -> "TokenRecord":
        """The way back, with the codes `(n,)`."""
        shape = tuple(int(size) for size in facts["shape"])
        if math.prod(shape) != codes.size:
            raise BitstreamError(f"{codes.size} codes do not fill {shape}", str(facts["key"]))
        media = {str(name): int(value) for name, value in facts["media"].items()}
        return TokenRecord(str(facts["key"]), codes.reshape(shape), media, facts.get("label"), facts.get("caption"))
