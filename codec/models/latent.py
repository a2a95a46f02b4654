"""LatentCodec: analysis, a latent prior with its hyper-latent and contexts, synthesis; one model for every rate.

pixels ─analysis─► latent ─amplitude of the quality, rounding─► codes ─prior─► bytes
pixels ◄─synthesis─ latent ◄────────────── means + codes ◄───── codes ◄─prior─ bytes
"""

import io
from collections.abc import Callable, Iterator
from functools import cache
from typing import BinaryIO, Protocol, TypeVar

import torch
from torch import Tensor, nn

from codec.container import Head
from codec.container.head import HASH_BYTES
from codec.entropy import CodedStreams, EntropyModel, GivenCodes, Known, Layout, walk
from codec.entropy.hyper import REDUCTION
from codec.errors import BitstreamError, UsageError
from codec.models.base import PLAIN, Encoding, PriorName
from codec.models.hashing import digest, model_tensors, module_classes
from codec.models.latent_picture import LatentPicture, LatentPrior, chunk_part, file_of, place_chunk
from codec.models.picture import PictureReader, assemble
from codec.models.rate import choose_gain, gain_of
from codec.models.refine import refine
from codec.models.roi import region_of
from codec.models.tiling import Tile, tiles
from codec.types import Codes, Media, MediaKind, Plane

FULL_SCALE = {torch.uint8: 255, torch.uint16: 65535}
T = TypeVar("T")
WINDOW_PIXELS = 768  # side of what a transform computes at once


class Analysis(Protocol):
    """Pixels to normalised latents: `stride` pixels a position, a receptive field of `halo` positions each way, None: all."""

    stride: int
    halo: int | None

    def __call__(self, x: Tensor) -> Tensor:
        """`(B, 3, H, W)` in [0, 1] to `(B, latent_dim, H / stride, W / stride)`."""


class Synthesis(Protocol):
    """The way back."""

    stride: int
    halo: int | None

    def __call__(self, n: Tensor, levels: Tensor) -> Tensor:
        """Latents and levels `(B, 1, h, w)` in [0, 1] to pixels about [0, 1]."""


class LatentCodec(nn.Module):
    """Continuous-rate codec for pictures.

    A picture is always cut into the same windows, so its codes do not depend on how it arrives, and memory is bounded.

    Args:
        analysis: pixels to normalised latents.
        prior: their entropy model, which also holds the amplitudes of each quality.
        synthesis: normalised latents and quality levels to pixels.
        latent_dim: stated once, checked against the prior.
        chunk: side in latent positions of the square that one section of the file holds; contexts end there.
        price: how much nearer, in steps, a symbol farther from its mean must be for each bit that it costs more.
        coarsest: lambda of quality 1: bits a pixel that a squared error of 1, in 8-bit samples, is worth.
        finest: lambda of quality 100; between the ends it is interpolated in its logarithm.
    """

    kind: MediaKind = "image"

    def __init__(
        self,
        analysis: Analysis,
        prior: LatentPrior,
        synthesis: Synthesis,
        *,
        latent_dim: int,
        chunk: int = 128,
        price: float = 0.05,
        coarsest: float = 0.0008,
        finest: float = 0.12,
    ) -> None:
        super().__init__()
        if prior.channels != latent_dim:
            raise ValueError(f"latent_dim is {latent_dim} but the prior is for {prior.channels} channels")
        if analysis.stride != synthesis.stride:
            raise ValueError(f"the analysis' stride is {analysis.stride} but the synthesis' is {synthesis.stride}")
        self.analysis, self.prior, self.synthesis = analysis, prior, synthesis
        self.latent_dim, self.stride, self.chunk, self.price = latent_dim, analysis.stride, chunk, price
        self.coarsest, self.finest = coarsest, finest
        self._sealed: bytes | None = None

    @torch.inference_mode()
    def analyse(self, x: Tensor) -> Tensor:
        """Pixels `(1, 3, H, W)`, float in [0, 1], uint8 or uint16, to normalised latents `(1, latent_dim, h, w)`."""
        if x.ndim != 4 or x.shape[:2] != (1, 3):
            raise ValueError(f"expected pixels (1, 3, H, W), got {tuple(x.shape)}")
        grid = (-(-x.shape[-2] // self.stride), -(-x.shape[-1] // self.stride))
        latent = torch.empty(1, self.latent_dim, *grid)
        for tile, around in windows(grid, self.stride, self.analysis.halo):
            pixels = unit_scale(_cut(x, around.scaled(self.stride)).to(self._device))
            found = self.analysis(pixels.contiguous(memory_format=torch.channels_last))
            inner = tile.within(around)
            latent[..., tile.rows, tile.columns] = found[..., inner.rows, inner.columns].cpu()
        return latent

    def picture(self, x: Tensor, encoding: Encoding = PLAIN) -> LatentPicture:
        """Pixels `(1, 3, H, W)`, analysed and ready to be coded at any gain."""
        size = (x.shape[-2], x.shape[-1])
        region = None if encoding.roi is None else region_of(encoding.roi, size, REDUCTION * self.stride)
        return LatentPicture(self.prior, self.analyse(x), chunk=self.chunk, price=self.price, region=region)

    def encode(self, x: Tensor, quality: int | None = None) -> Codes:
        """Pixels `(1, 3, H, W)` to codes at a quality of 1 to 100."""
        return self.picture(x).codes(gain_of(quality))

    def decode(self, codes: Codes) -> Tensor:
        """Codes to pixels `(1, 3, h * stride, w * stride)`, float in [0, 1]; the caller crops to the true size."""
        _, rows, columns = codes.planes[-1].codes.shape[1:]
        latent, levels = torch.empty(1, self.latent_dim, rows, columns), torch.empty(1, 1, rows, columns)
        for tile in tiles((rows, columns), self.chunk):
            layout = self.prior.layout(tile.shape, codes.gain or 0)
            parts = zip(codes.planes, layout.grids, self.prior.reductions, strict=True)
            planes = [
                chunk_part(plane.codes[0], tile, grid, reduction).flatten().numpy() for plane, grid, reduction in parts
            ]
            self._place(latent, levels, tile, layout, walk(self.prior, layout, GivenCodes(planes)))
        return self.synthesise(latent, levels)

    def synthesise(self, latent: Tensor, levels: Tensor) -> Tensor:
        """Dequantised latents `(1, latent_dim, h, w)` and levels `(1, 1, h, w)` to pixels `(1, 3, h * stride, w * stride)`."""
        rows, columns = latent.shape[-2:]
        pixels = torch.empty(1, 3, rows * self.stride, columns * self.stride)
        for _, tile, block in self._decoded_tiles(latent, levels):
            pixels[0, :, tile.rows, tile.columns] = block
        return pixels

    def compress(self, media: Media, encoding: Encoding = PLAIN) -> bytes:
        """A picture to the bytes of a `.lmc` file."""
        encoding.check_picture()
        if encoding.prior not in (None, "learned"):
            raise UsageError(f"this model has no {encoding.prior} prior, only its own")
        if not self.prior.is_continuous:
            encoding.check_fixed_rate()
        x = media.samples.expand(3, -1, -1)[None]
        picture = self.picture(x, encoding)
        file_at = self._writer(picture, media, encoding.progressive)
        gain = choose_gain(encoding, media, file_at, self.decompress)
        if encoding.effort:
            file_at = self._writer(self.refined(picture, x, gain, encoding.effort), media, encoding.progressive)
            gain = choose_gain(encoding, media, file_at, self.decompress)
        return file_at(gain)

    def refined(self, picture: LatentPicture, x: Tensor, gain: int, steps: int) -> LatentPicture:
        """The picture with a latent that gradient steps have made better for pixels `(1, 3, H, W)` at a gain."""
        levels, latent = picture.levels(gain), picture.latent.clone()
        for tile in tiles((latent.shape[-2], latent.shape[-1]), WINDOW_PIXELS // self.stride):
            pixels = unit_scale(_cut(x, tile.scaled(self.stride)).to(self._device))
            part, level = (whole[..., tile.rows, tile.columns].to(self._device) for whole in (latent, levels))
            latent[..., tile.rows, tile.columns] = refine(self, pixels, part, level, steps).cpu()
        return picture.with_latent(latent)

    def distortion_price(self, levels: Tensor) -> Tensor:
        """Bits a pixel that a squared error of 1, in 8-bit samples, is worth at each level: lambda of the training."""
        return self.coarsest * (self.finest / self.coarsest) ** levels

    def _writer(self, picture: LatentPicture, media: Media, progressive: bool) -> Callable[[int], bytes]:
        """The file at a gain, written once for each."""
        coding_hash = self.coding_hash()[:HASH_BYTES]
        return cache(lambda gain: file_of(picture, media, gain, coding_hash, progressive=progressive))

    def decompress(self, data: bytes, *, partial: bool = False) -> Media:
        """The bytes of a `.lmc` file to a picture; with `partial` planes and chunks that are missing or damaged are guessed."""
        reader, latent, levels = self._read(io.BytesIO(data), partial)
        return assemble(reader, self._decoded_tiles(latent, levels))

    def read_codes(self, source: BinaryIO, *, partial: bool = False) -> Codes:
        """Only the lossless half of `decompress`, checked; where a damaged file lost a plane or a chunk there are zeros."""
        reader, chunks = self._read_chunks(source, partial, lambda layout, known: (layout, known))
        whole = self.prior.layout(reader.grid, reader.head.gain or 0)
        planes = [torch.zeros(1, *grid, dtype=torch.int64) for grid in whole.grids]
        for index, (layout, known) in chunks.items():
            for plane, codes, grid, reduction in zip(
                planes, known.codes, layout.grids, self.prior.reductions, strict=True
            ):
                place_chunk(plane[0], codes, reader.chunks[index], grid, reduction)
        return Codes(tuple(Plane(plane, 0) for plane in planes), self.prior.droppable_from, reader.head.gain)

    def priors(self) -> dict[PriorName, EntropyModel]:
        """The one entropy model."""
        return {"learned": self.prior}

    def coded_with(self) -> dict[PriorName, EntropyModel]:
        """The same."""
        return self.priors()

    def coding_hash(self, prior: PriorName = "learned") -> bytes:
        """SHA-256 of all that a decoder must share to read the codes: geometry and the prior's integers."""
        if self._sealed is not None and not self.training:
            return self._sealed
        model = self.priors()[prior]
        facts = {
            "codec": type(self).__name__,
            "stride": self.stride,
            "chunk": self.chunk,
            "prior": module_classes(model),
        }
        integers = ((name, tensor) for name, tensor in model_tensors(model) if not tensor.is_floating_point())
        return digest(facts, {"prior": integers})

    def seal(self) -> None:
        """Remember the coding hash: from now on the integers do not change, until `train` is called."""
        self._sealed = None
        self._sealed = self.coding_hash()

    def train(self, mode: bool = True) -> "LatentCodec":
        """As of any module; training breaks the seal."""
        self._sealed = None if mode else self._sealed
        return super().train(mode)

    def float_twins(self) -> frozenset[str]:
        """Floats of the prior that follow from its integers."""
        return frozenset(f"prior.{name}" for name in self.prior.float_twins())

    def thaw(self) -> None:
        """Make them."""
        self.prior.thaw()

    def _read(self, source: BinaryIO, partial: bool) -> tuple[PictureReader[LatentPrior], Tensor, Tensor]:
        """Latents and levels of a file; where a chunk is lost, those of nothing at the coarsest level."""

        def dequantised(layout: Layout, known: Known) -> tuple[Tensor, Tensor]:
            return self.prior.dequantise(layout, known), self.prior.levels(layout, known)

        reader, chunks = self._read_chunks(source, partial, dequantised)
        latent, levels = torch.zeros(1, self.latent_dim, *reader.grid), torch.zeros(1, 1, *reader.grid)
        for index, (n, level) in chunks.items():
            tile = reader.chunks[index]
            latent[0, :, tile.rows, tile.columns], levels[0, 0, tile.rows, tile.columns] = n, level
        return reader, latent, levels

    def _read_chunks(
        self, source: BinaryIO, partial: bool, keep: Callable[[Layout, Known], T]
    ) -> tuple[PictureReader[LatentPrior], dict[int, T]]:
        """What `keep` makes of each chunk: all that is known of a large picture would be ten times its size."""
        priors = {self.coding_hash()[:HASH_BYTES]: self.prior}
        reader = PictureReader(source, priors=priors, stride=self.stride, chunk=self.chunk, partial=partial)
        _check_planes(reader.head, self.prior)
        gain = reader.head.gain or 0

        def decode(tile: Tile, streams: list[bytes]) -> T:
            coded, layout = CodedStreams(streams), self.prior.layout(tile.shape, gain)
            known = walk(self.prior, layout, coded)
            coded.finish()
            return keep(layout, known)

        return reader, reader.read(decode)

    def _place(self, latent: Tensor, levels: Tensor, tile: Tile, layout: Layout, known: Known) -> None:
        latent[0, :, tile.rows, tile.columns] = self.prior.dequantise(layout, known)
        levels[0, 0, tile.rows, tile.columns] = self.prior.levels(layout, known)

    @torch.inference_mode()
    def _decoded_tiles(self, latent: Tensor, levels: Tensor) -> Iterator[tuple[int, Tile, Tensor]]:
        """Synthesise one window after another: 0, its place in pixels, and `(3, rows, columns)` in [0, 1]."""
        grid = (latent.shape[-2], latent.shape[-1])
        for tile, around in windows(grid, self.stride, self.synthesis.halo):
            inner = tile.within(around).scaled(self.stride)
            parts = (whole[..., around.rows, around.columns].to(self._device) for whole in (latent, levels))
            n, level = (part.contiguous(memory_format=torch.channels_last) for part in parts)
            pixels = self.synthesis(n, level)
            yield 0, tile.scaled(self.stride), pixels[0, :, inner.rows, inner.columns].clamp(0, 1).cpu()

    @property
    def _device(self) -> torch.device:
        return next(self.parameters()).device


def windows(grid: tuple[int, int], stride: int, halo: int | None) -> Iterator[tuple[Tile, Tile]]:
    """Parts of a grid and what a transform must see of it for each; the whole at once where its halo is None."""
    if halo is None:
        whole = Tile(0, 0, *grid)
        yield whole, whole
        return
    for tile in tiles(grid, WINDOW_PIXELS // stride):
        yield tile, tile.grown(halo, grid)


def unit_scale(pixels: Tensor) -> Tensor:
    """Samples of any depth as floats in [0, 1]."""
    return pixels.float() / FULL_SCALE[pixels.dtype] if pixels.dtype in FULL_SCALE else pixels


def _cut(x: Tensor, tile: Tile) -> Tensor:
    """Part of a picture; what lies beyond its end repeats the last row and column."""
    rows = torch.arange(tile.top, tile.bottom).clamp_(max=x.shape[-2] - 1)
    columns = torch.arange(tile.left, tile.right).clamp_(max=x.shape[-1] - 1)
    return x.index_select(-2, rows).index_select(-1, columns)


def _check_planes(head: Head, prior: LatentPrior) -> None:
    most = len(prior.codebook_sizes)
    if any(head.alphabets) or not prior.droppable_from <= len(head.alphabets) <= most:
        raise BitstreamError(f"the model has {prior.droppable_from} to {most} unbounded planes", section="head")
