"""A raster model as an entropy model: the same network in integers, asked for a slanted front of positions at a time."""

from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from codec.entropy import Known, Layout, Step, batch_bits, percent_more
from codec.entropy.exact import divide
from codec.entropy.exact_raster import ExactRasterTransformer
from codec.entropy.exact_transformer import GAIN_BITS, STREAM_BITS, ExactFeedForward, exact_norm, exact_sum
from codec.entropy.neighbour import as_frames
from codec.generation.exact_words import ExactTable, ExactWords
from codec.generation.raster import FinerPlane, RasterModel
from codec.generation.words import TableWords


class RasterPrior(nn.Module):
    """A trained `RasterModel` that codes tokens front by front, at each position plane by plane; its conditions are not told.

    Args:
        model: trained; its words are `TableWords`.
    """

    def __init__(self, model: RasterModel) -> None:
        super().__init__()
        self.codebook_sizes, self._float_length = model.alphabets, model.code_length
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

    def layout(self, grid: tuple[int, ...]) -> Layout:
        """Every plane has the same grid."""
        return Layout((grid,) * len(self.codebook_sizes))

    def bits(self, planes: Sequence[Tensor]) -> Tensor:
        """Code length of int64 planes `(B, *grid)`, summed, by the integers; it is trained as a generative model."""
        return batch_bits(self, planes)

    @torch.no_grad()
    def freeze(self, planes: Sequence[Tensor]) -> float:
        """The integers are made with the object; returns their cost on planes `(B, *grid)` in percent."""
        frames = torch.stack([as_frames(plane, batched=True) for plane in planes], 1)
        return percent_more(float(self.bits(planes)), float(self._float_length(frames).sum()))

    def steps(self, layout: Layout, known: Known) -> Iterator[Step]:
        """Front by front; frames of several rows are rows of one grid."""
        if len(set(layout.grids)) > 1:
            raise ValueError(f"all planes need the same grid, got {layout.grids}")
        frames, rows, columns = as_frames(torch.empty(layout.grids[0], dtype=torch.int8), batched=False).shape
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

    @property
    def _words(self) -> list[ExactWords]:
        return [cast(ExactWords, words) for words in self.words]
