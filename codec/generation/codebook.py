"""What a generative model is started with and stored with: whose codes it models, and what they mean."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from codec.errors import UsageError
from codec.generation.jpeg import JpegWords
from codec.models import find, load
from codec.models.tokenizer import Tokenizer


@dataclass(frozen=True)
class CodeSource:
    """Whose codes are modelled.

    Attributes:
        name: of a tokenizer's checkpoint, or of `JpegWords`.
        coding_hash: in hex, by which generative models of these codes are found.
        alphabets: of the planes.
        tokenizer: the tokenizer; None of bytes.
    """

    name: str
    coding_hash: str
    alphabets: tuple[int, ...]
    tokenizer: Tokenizer[Any] | None = None

    @staticmethod
    def of(wanted: str | Path) -> "CodeSource":
        """Of a tokenizer's name or folder, or of `jpeg:SIDE:QUALITY:LENGTH`."""
        words = JpegWords.named(str(wanted))
        if words is not None:
            return CodeSource(words.name, words.coding_hash, words.alphabets)
        model = load(wanted)
        if not isinstance(model, Tokenizer):
            raise UsageError(f"{wanted} is a {type(model).__name__}, which has no tokens")
        sizes = tuple(model.prior.codebook_sizes)
        return CodeSource(find(wanted).name, model.coding_hash("static").hex(), sizes, cast("Tokenizer[Any]", model))

    def vectors(self) -> list[Tensor]:
        """What each code of each plane means, `(K, D)`; of bytes, bits."""
        if self.tokenizer is None:
            places = torch.arange(9)
            return [(torch.arange(size)[:, None] >> places & 1).float() for size in self.alphabets]
        return code_vectors(self.tokenizer)


def code_vectors(tokenizer: Tokenizer[Any]) -> list[Tensor]:
    """What each code of each plane means, `(K, D)`: its vector with code 0 in all other planes."""
    sizes = tokenizer.prior.codebook_sizes
    vectors = []
    for q, size in enumerate(sizes):
        codes = torch.zeros(size, len(sizes), dtype=torch.int64)
        codes[:, q] = torch.arange(size)
        vectors.append(tokenizer.quantizer.decode(codes).float())
    return vectors
