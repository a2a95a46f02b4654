"""One picture's latent, analysed once and coded at any gain."""

import io
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from codec.container import Head
from codec.entropy import CodedLatent, EntropyModel, Known, Layout, RoundedLatent, StreamWriter, walk
from codec.entropy.hyper import REDUCTION
from codec.entropy.latent import OFFSET_UNIT
from codec.entropy.levels import FINEST
from codec.entropy.rounding import NOISE, Rounding
from codec.models.picture import image_fields, write_picture
from codec.models.roi import Region
from codec.models.tiling import Tile, tiles
from codec.types import Codes, Media, Plane


class LatentPrior(EntropyModel, Protocol):
    """An entropy model of the planes of a latent, which also knows what each quality means.

    Attributes:
        channels: of the latent.
        droppable_from: planes from here on may be missing.
        reductions: for each plane, positions of the latent a side for one of the plane.
        is_continuous: whether it knows more than one quality.
    """

    channels: int
    droppable_from: int
    reductions: tuple[int, ...]
    is_continuous: bool

    def layout(self, grid: tuple[int, ...], gain: int = 0) -> Layout:
        """The planes over `(rows, columns)` of the latent."""

    def __call__(self, n: Tensor, levels: Tensor, rounding: Rounding = NOISE) -> CodedLatent:
        """Bits and dequantised latents, differentiable."""

    def analyse(self, n: Tensor, gain: int, offsets: Tensor | None = None) -> list[Tensor]:
        """The planes of one chunk, continuous where they will be rounded."""

    def dequantise(self, layout: Layout, known: Known) -> Tensor:
        """Normalised latents of what has been coded."""

    def levels(self, layout: Layout, known: Known) -> Tensor:
        """The level of each position."""

    def step_sizes(self, levels: Tensor) -> Tensor:
        """One quantisation step in units of the normalised latent, `(B, channels, h, w)`."""

    def float_twins(self) -> frozenset[str]:
        """Names of floats that `thaw` makes from the integers."""

    def thaw(self) -> None:
        """Make the float networks from the integers."""


class LatentPicture:
    """Normalised latents of a whole picture.

    Args:
        prior: what codes them.
        latent: `(1, channels, rows, columns)`.
        chunk: side of a chunk in positions.
        price: of a bit when rounding, see `RoundedLatent`.
        region: where quality matters less.
    """

    def __init__(
        self, prior: LatentPrior, latent: Tensor, *, chunk: int, price: float, region: Region | None = None
    ) -> None:
        self.prior, self.latent, self.region = prior, latent, region
        self._chunk, self._price = chunk, price

    def with_latent(self, latent: Tensor) -> "LatentPicture":
        """The same picture with another latent."""
        return LatentPicture(self.prior, latent, chunk=self._chunk, price=self._price, region=self.region)

    def levels(self, gain: int) -> Tensor:
        """Level of each position `(1, 1, rows, columns)` at a gain."""
        rows, columns = self.latent.shape[-2:]
        if self.region is None:
            return torch.full((1, 1, rows, columns), gain / FINEST)
        head, offsets = self.region.at(gain)
        coarse = (head + OFFSET_UNIT * offsets).clamp(0, FINEST)[None, None] / FINEST
        return coarse.repeat_interleave(REDUCTION, 2).repeat_interleave(REDUCTION, 3)[..., :rows, :columns].float()

    def head_gain(self, gain: int) -> int:
        """What the file's head says at a gain."""
        return gain if self.region is None else self.region.at(gain)[0]

    def streams(self, gain: int) -> list[list[bytes]]:
        """For each chunk a coder stream for each plane."""
        written = []
        for tile in self._tiles():
            writer = StreamWriter(len(self.prior.codebook_sizes))
            self._walk(tile, gain, writer)
            written.append(writer.finish())
        return written

    def codes(self, gain: int) -> Codes:
        """All planes of the whole picture."""
        head, rows = self.head_gain(gain), []
        walked = [(tile, *self._walk(tile, gain)) for tile in self._tiles()]
        whole = self.prior.layout(tuple(self.latent.shape[-2:]), head)
        for p, grid in enumerate(whole.grids):
            plane = torch.empty(grid, dtype=torch.int64)
            for tile, layout, known in walked:
                place_chunk(plane, known.codes[p], tile, layout.grids[p], self.prior.reductions[p])
            rows.append(Plane(plane[None], 0))
        return Codes(tuple(rows), self.prior.droppable_from, head)

    def _tiles(self) -> list[Tile]:
        return list(tiles((self.latent.shape[-2], self.latent.shape[-1]), self._chunk))

    def _walk(self, tile: Tile, gain: int, *recorders: StreamWriter) -> tuple[Layout, Known]:
        """Round and code one chunk."""
        head, offsets = (gain, None) if self.region is None else self.region.at(gain)
        layout = self.prior.layout(tile.shape, head)
        if offsets is not None:
            offsets = chunk_part(offsets, tile, layout.grids[0], self.prior.reductions[0])
        planes = self.prior.analyse(self.latent[..., tile.rows, tile.columns], head, offsets)
        flat = [plane.reshape(-1).numpy().astype(np.float64) for plane in planes]
        return layout, walk(self.prior, layout, RoundedLatent(flat, self._price), *recorders)


def file_of(picture: LatentPicture, media: Media, gain: int, coding_hash: bytes, *, progressive: bool) -> bytes:
    """The bytes of a `.lmc` file at a gain; `progressive` puts coarse planes of all chunks first."""
    head = Head(
        fields=image_fields(media),
        coding_hash=coding_hash,
        alphabets=picture.prior.codebook_sizes,
        droppable_from=picture.prior.droppable_from,
        gain=picture.head_gain(gain) if picture.prior.is_continuous else None,
        chunk_major=not progressive,
    )
    sink = io.BytesIO()
    write_picture(media, head, picture.streams(gain), sink)
    return sink.getvalue()


def chunk_part(plane: Tensor, tile: Tile, grid: tuple[int, ...], reduction: int) -> Tensor:
    """The part of a plane `(…, rows, columns)` that a chunk has, whose own has `grid`.

    Args:
        reduction: positions of the latent a side for one of the plane.
    """
    top, left = tile.top // reduction, tile.left // reduction
    return plane[..., top : top + grid[-2], left : left + grid[-1]]


def place_chunk(plane: Tensor, codes: np.ndarray, tile: Tile, grid: tuple[int, ...], reduction: int) -> None:
    """Put a chunk's flat codes where they belong."""
    chunk_part(plane, tile, grid, reduction)[:] = torch.from_numpy(codes).reshape(grid)
