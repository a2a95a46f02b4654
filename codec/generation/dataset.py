"""Stored tokens as sequences for training: mapped into memory, ordered by a pattern, with explicit word numbers."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import Dataset

from codec.errors import BitstreamError, MediaError
from codec.generation.patterns import Flatten, Pattern, deinterleave, interleave
from codec.generation.records import TokenRecord, TokenSource
from codec.generation.shards import Shard, open_shard, shards_in
from codec.generation.vocabulary import Vocabulary


@dataclass(frozen=True)
class TokenSequence:
    """One record as a model reads it.

    Attributes:
        words: int64 `(steps, rows)`.
        grid: of each plane of codes.
        key: of the record.
        label: likewise.
        caption: likewise.
    """

    words: Tensor
    grid: tuple[int, ...]
    key: str
    label: int | None
    caption: str | None


class TokenDataset(Dataset[TokenSequence]):
    """The records of a folder of shards, or of several that one model made.

    Args:
        folders: as `codec tokenize` writes them, or single shards.
        pattern: order of the codes.
        planes: only so many first planes of each record; all if None.
        vocabulary: numbers of words; by default a range for each plane behind `pad`, `begin` and `end`.

    Attributes:
        source: the model that made the codes.
    """

    def __init__(
        self,
        folders: str | Path | Sequence[str | Path],
        *,
        pattern: Pattern | None = None,
        planes: int | None = None,
        vocabulary: Vocabulary | None = None,
    ) -> None:
        paths = [Path(folder) for folder in ([folders] if isinstance(folders, str | Path) else folders)]
        self._shards: list[Shard] = []
        for folder in paths:
            found = [folder] if folder.is_file() else list(shards_in(folder))
            if not found:
                raise MediaError(f"{folder} holds no shards of tokens")
            for path in found:
                shard = open_shard(path)
                if self._shards:
                    self._shards[0].source.require(shard.source, str(path))
                self._shards.append(shard)
        self._ends = list(accumulate(len(shard) for shard in self._shards))
        self.source: TokenSource = self._shards[0].source
        count = len(self.source.alphabets)
        if planes is not None and not 1 <= planes <= count:
            raise ValueError(f"records have {count} planes, {planes} are none of them")
        self.planes = planes if planes is not None else count
        self.pattern = pattern if pattern is not None else Flatten()
        self.vocabulary = vocabulary or Vocabulary(self.source.alphabets[: self.planes])
        if self.vocabulary.alphabets != self.source.alphabets[: self.planes]:
            raise ValueError(f"the vocabulary is of {self.vocabulary.alphabets}, the codes of {self.source.alphabets}")

    def __len__(self) -> int:
        return self._ends[-1]

    def record(self, i: int) -> TokenRecord:
        """Record i as it is stored."""
        if not -len(self) <= i < len(self):
            raise IndexError(f"record {i} of {len(self)}")
        i %= len(self)
        shard = bisect_right(self._ends, i)
        return self._shards[shard][i - (self._ends[shard - 1] if shard else 0)]

    def __getitem__(self, i: int) -> TokenSequence:
        """Record i as a sequence."""
        record = self.record(i)
        codes = torch.from_numpy(record.codes[: self.planes].astype("int64"))
        if not all(int(plane.max()) < size for plane, size in zip(codes, self.vocabulary.alphabets, strict=True)):
            raise BitstreamError("there are codes beyond their alphabets: the shard is damaged", record.key)
        grid = tuple(codes.shape[1:])
        placed = self.pattern.places([grid] * self.planes)
        words = self.vocabulary.words(interleave(list(codes[:, None]), self.pattern)[0], placed.planes)
        return TokenSequence(words, grid, record.key, record.label, record.caption)

    def codes(self, words: Tensor, grid: tuple[int, ...]) -> Tensor:
        """Words `(steps, rows)` back to codes `(planes, *grid)`; a word that is no code where one is expected is an error."""
        grids = [grid] * self.planes
        codes = self.vocabulary.codes(words, self.pattern.places(grids).planes)
        return torch.cat(deinterleave(codes[None], grids, self.pattern))
