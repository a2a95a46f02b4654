"""A raster model as an entropy model: the same network in integers, asked for a slanted front of positions at a time."""

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn

from codec.entropy import Known, Layout, Step
from codec.entropy.exact import divide
from codec.entropy.exact_raster import ExactRasterTransformer
from codec.entropy.exact_transformer import GAIN_BITS, STREAM_BITS, ExactFeedForward, exact_norm, exact_sum
from codec.generation.exact_words import ExactTable
from codec.generation.raster import FinerPlane, RasterModel
from codec.generation.word_prior import WordPrior, frames_of
from codec.generation.words import TableWords


class RasterPrior(WordPrior):
    """A trained `RasterModel` that codes tokens front by front, at each position plane by plane; its conditions are not told.

    Args:
        model: trained; its words are `TableWords`.
    """

    def __init__(self, model: RasterModel) -> None:
        super().__init__(model)
        self.trunk = ExactRasterTransformer(model.trunk)
        self.words = nn.ModuleList(
            ExactTable(cast(TableWords, words), plane) for plane, words in enumerate(model.words)
        )
        finer = [cast(FinerPlane, plane) for plane in model.finer]
        self.finer = nn.ModuleList(ExactFeedForward(plane.feed, plane.norm.weight) for plane in finer)
        with torch.no_grad():
            untold, gain = model.conditions.untold().double().cpu(), model.trunk.norm.weight.double().cpu()
            begin = model.begin.double().cpu()
        for name, value, bits in (
            ("begin", begin, STREAM_BITS),
            ("untold", untold, STREAM_BITS),
            ("gain", gain, GAIN_BITS),
        ):
            self.register_buffer(name, torch.round(value * (1 << bits)), persistent=False)

    def steps(self, layout: Layout, known: Known) -> Iterator[Step]:
        """Front by front; frames of several rows are rows of one grid."""
        frames, rows, columns = frames_of(layout)
        grid = frames * rows, columns + 1
        seen, entered = self.trunk.nothing_seen(grid), self.get_buffer("begin").repeat(grid[0], 1)
        for front in self.trunk.fronts(grid):
            inside = front.columns < columns
            told = entered[front.rows] + self.get_buffer("untold") * inside[:, None]
            hidden = divide(self.trunk(told, front, seen)[inside] * self.get_buffer("gain"), GAIN_BITS)
            if not len(hidden):
                continue
            where, coarser = (front.rows * columns + front.columns)[inside].numpy(), torch.zeros_like(hidden)
            for plane, words in enumerate(self._words):
                yield from words.steps(self._at(plane, hidden, coarser), where, known)
                coarser = coarser + words.embed(words.coded(where, known))
            entered[front.rows[inside]] = coarser

    def _at(self, plane: int, hidden: Tensor, coarser: Tensor) -> Tensor:
        if plane == 0:
            return hidden
        return exact_sum(hidden, self.finer[plane - 1](exact_norm(hidden + coarser)))
