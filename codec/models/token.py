"""TokenCodec: encoder, quantizer, decoder and token prior; a picture becomes planes of codes and comes back.

pixels ─encoder─► latent ─quantizer.encode─► codes ─prior─► bytes
pixels ◄─decoder─ vectors ◄─quantizer.decode─ codes ◄─prior─ bytes
"""

import io
from collections.abc import Iterator, Sequence
from typing import BinaryIO, Protocol, cast

import torch
from torch import Tensor, nn

from codec.container import Head, ImageFields
from codec.container.head import HASH_BYTES
from codec.entropy import EntropyModel, Layout, ReducedPrior, StaticTokenPrior, decode_chunk, encode_chunk
from codec.entropy.reduced import by_quality
from codec.models.base import PLAIN, Encoding, PriorName
from codec.models.picture import PictureReader, assemble, image_fields, write_picture
from codec.models.tiling import Tile, block_around, cut_block, filled, tiles
from codec.models.tokenizer import Tokenizer
from codec.quantizers import Quantizer
from codec.types import Codes, Media, MediaKind, Plane

FULL_SCALE = {torch.uint8: 255, torch.uint16: 65535}
DECODED_PIXELS = 768  # side of what is decoded at once: larger tiles have less halo, but leave the caches


class Backbone(Protocol):
    """Half of an autoencoder: `stride` pixels a position, a receptive field of `halo` positions each way."""

    stride: int
    halo: int

    def __call__(self, x: Tensor) -> Tensor:
        """`(B, C, H, W)` to `(B, C', H', W')`."""


class TokenCodec(Tokenizer[Backbone]):
    """Discrete tokenizer for pictures that also writes files.

    Args:
        encoder: pixels `(B, 3, H, W)` in [0, 1] to latents `(B, latent_dim, H / stride, W / stride)`.
        quantizer: works on `latent_dim` channels, channel-last.
        decoder: the way back, about [0, 1].
        prior: as of every tokenizer.
        learned_prior: as of every tokenizer.
        reduced: tables of the codebook cut down to fewer codes, for lower rates; of a model with one code at a position.
        latent_dim: stated once, checked against the quantizer.
        tile: side of the canonical tile in positions.
        chunk: side in positions of the square that one section of the file holds; contexts end there.
    """

    kind: MediaKind = "image"

    def __init__(
        self,
        encoder: Backbone,
        quantizer: Quantizer,
        decoder: Backbone,
        prior: StaticTokenPrior | None = None,
        learned_prior: EntropyModel | None = None,
        reduced: Sequence[ReducedPrior] = (),
        *,
        latent_dim: int,
        tile: int = 32,
        chunk: int = 256,
    ) -> None:
        super().__init__(encoder, quantizer, decoder, prior, learned_prior, latent_dim)
        if encoder.stride != decoder.stride:
            raise ValueError(f"the encoder's stride is {encoder.stride} but the decoder's is {decoder.stride}")
        self.stride, self.tile, self.chunk = encoder.stride, tile, chunk
        self.reduced = nn.ModuleList(reduced)
        if any((prior.codebook_size,) != tuple(quantizer.codebook_sizes) for prior in reduced):
            raise ValueError(f"only one codebook can be cut down, the quantizer has {quantizer.codebook_sizes}")

    def geometry(self) -> dict[str, int]:
        """Stride and chunk; a tile is only how the codes are computed."""
        return {"stride": self.stride, "chunk": self.chunk}

    def encode(self, x: Tensor) -> Codes:
        """Pixels to codes, tile by tile.

        Args:
            x: `(B, 3, H, W)`, float in [0, 1], uint8 or uint16; any size from 1 x 1.

        Returns:
            One plane `(B, ceil(H / stride), ceil(W / stride))` for each code at a position.
        """
        if x.ndim != 4 or x.shape[1] != 3:
            raise ValueError(f"expected pixels (B, 3, H, W), got {tuple(x.shape)}")
        height, width = (-(-side // self.stride) for side in x.shape[-2:])
        codes = torch.empty(x.shape[0], height, width, len(self.quantizer.codebook_sizes), dtype=torch.int64)
        for tile in tiles((height, width), self.tile):
            for i in range(x.shape[0]):
                codes[i, tile.rows, tile.columns] = self._encode_tile(x[i : i + 1], tile, (height, width)).cpu()
        sizes = self.quantizer.codebook_sizes
        return Codes(tuple(Plane(codes[..., q].contiguous(), size) for q, size in enumerate(sizes)))

    def decode(self, codes: Codes) -> Tensor:
        """Codes to pixels `(B, 3, h * stride, w * stride)`, float in [0, 1]; the caller crops to the true size."""
        batch, height, width = codes.planes[0].codes.shape
        pixels = torch.empty(batch, 3, height * self.stride, width * self.stride)
        for i, tile, block in self.decoded_tiles(codes):
            pixels[i, :, tile.rows, tile.columns] = block
        return pixels

    @torch.inference_mode()
    def decoded_tiles(self, codes: Codes) -> Iterator[tuple[int, Tile, Tensor]]:
        """Decode one tile after another: batch index, its place in pixels, and `(3, rows, columns)` in [0, 1]."""
        halo = self.decoder.halo
        stacked = filled(torch.stack([plane.codes for plane in codes.planes], -1), self.tile + 2 * halo)
        for tile in tiles(codes.grid, max(1, DECODED_PIXELS // self.stride)):
            around = tile.grown(halo, (stacked.shape[1], stacked.shape[2]))
            inner = tile.within(around).scaled(self.stride)
            for i in range(stacked.shape[0]):
                vectors = self.quantizer.decode(stacked[i : i + 1, around.rows, around.columns].to(self.device))
                pixels = self.decoder(vectors.movedim(-1, 1).contiguous(memory_format=torch.channels_last))
                yield i, tile.scaled(self.stride), pixels[0, :, inner.rows, inner.columns].clamp(0, 1).cpu()

    def compress(self, media: Media, encoding: Encoding = PLAIN) -> bytes:
        """A picture to the bytes of a `.lmc` file."""
        sink = io.BytesIO()
        self.compress_to(media, sink, encoding)
        return sink.getvalue()

    def decompress(self, data: bytes, *, partial: bool = False) -> Media:
        """The bytes of a `.lmc` file to a picture; `partial` fills what is damaged instead of refusing."""
        reader, codes = self._read(io.BytesIO(data), partial)
        return assemble(reader, self.decoded_tiles(codes))

    def compress_to(self, media: Media, sink: BinaryIO, encoding: Encoding = PLAIN) -> None:
        """As `compress`, written front to back into an open file or pipe."""
        encoding.check_picture()
        if encoding.quality is None or not self.reduced or encoding.prior is not None:
            encoding.check_fixed_rate()
        name = self._name_of(encoding)
        codes = self.encode(media.samples.expand(3, -1, -1)[None])
        self.write(media, codes, sink, name)

    def coded_with(self) -> dict[PriorName, EntropyModel]:
        """Those of the cut codebooks come first."""
        reduced: dict[PriorName, EntropyModel] = {prior.name: prior for prior in self._reduced}
        return reduced | self.priors()

    def _name_of(self, encoding: Encoding) -> PriorName:
        """The prior that was asked for; by a quality that of a codebook with as many codes as it takes."""
        chosen = None if encoding.quality is None else by_quality(self._reduced, encoding.quality)
        return chosen.name if chosen is not None else self.choose_prior(encoding)

    @property
    def _reduced(self) -> list[ReducedPrior]:
        return [cast(ReducedPrior, prior) for prior in self.reduced]

    def write(self, media: Media, codes: Codes, sink: BinaryIO, prior: PriorName) -> None:
        """Write codes `(1, h, w)` of a picture as a file; with a cut codebook the clusters that they are in."""
        model, coding_hash = self.coded_with()[prior], self.coding_hash(prior)[:HASH_BYTES]
        if isinstance(model, ReducedPrior):
            codes = Codes((Plane(model.reduce(codes.planes[0].codes), model.size),))
        head = Head(image_fields(media), coding_hash, codes.alphabets, chunk_major=len(codes.planes) > 1)
        chunks = (
            encode_chunk(model, [plane.codes[0, part.rows, part.columns] for plane in codes.planes])
            for part in tiles(codes.grid, self.chunk)
        )
        write_picture(media, head, chunks, sink)

    def read_codes(self, source: BinaryIO, *, partial: bool = False) -> Codes:
        """The codes of a file, without the decoder network; what a damaged file lost is filled with the code of zeros."""
        return self._read(source, partial)[1]

    def read_fields(self, source: BinaryIO, *, partial: bool = False) -> tuple[ImageFields, Codes]:
        """The same, with what the file says of the picture."""
        reader, codes = self._read(source, partial)
        return cast(ImageFields, reader.head.fields), codes

    def _read(self, source: BinaryIO, partial: bool) -> tuple[PictureReader[EntropyModel], Codes]:
        reader = PictureReader(
            source, priors=self.priors_by_hash(), stride=self.stride, chunk=self.chunk, partial=partial
        )
        count = len(reader.head.alphabets)
        chunks = reader.read(lambda tile, streams: decode_chunk(reader.prior, Layout((tile.shape,) * count), streams))
        filling = torch.zeros(count, dtype=torch.int64)
        lost = len(chunks) < len(reader.chunks)
        if lost and self.fill is not None:
            filling -= 1
        elif lost:
            with torch.inference_mode():
                filling = self.quantizer.encode(torch.zeros(self.latent_dim, device=self.device)).cpu()
        grids = [code.expand(reader.grid).clone() for code in filling]  # only now in proportion to the claimed size
        for index, planes in chunks.items():
            part = reader.chunks[index]
            for grid, plane in zip(grids, planes, strict=True):
                known = reader.prior.restore(plane) if isinstance(reader.prior, ReducedPrior) else plane
                grid[part.rows, part.columns] = known
        if lost and self.fill is not None:
            grids = list(self.fill(torch.stack(grids)[None])[0])
        sized = zip(grids, self.quantizer.codebook_sizes[:count], strict=True)
        return reader, Codes(tuple(Plane(grid[None], size) for grid, size in sized))

    @torch.inference_mode()
    def _encode_tile(self, x: Tensor, tile: Tile, grid: tuple[int, int]) -> Tensor:
        """`(1, 3, H, W)` to the codes `(rows, columns, Q)` of one tile, computed in the canonical shape."""
        block = block_around(tile, grid, self.tile, self.encoder.halo)
        pixels = cut_block(x, block, self.stride).to(self.device)
        pixels = pixels.float() / FULL_SCALE[pixels.dtype] if pixels.dtype in FULL_SCALE else pixels
        latent = self.encoder(pixels.contiguous(memory_format=torch.channels_last))
        return self.quantizer.encode(latent[0, :, block.inner.rows, block.inner.columns].movedim(0, -1))
