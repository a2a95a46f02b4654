"""TokenCodec: encoder, quantizer, decoder and token prior; a picture becomes planes of codes and comes back.

pixels ─encoder─► latent ─quantizer.encode─► codes ─prior─► bytes
pixels ◄─decoder─ vectors ◄─quantizer.decode─ codes ◄─prior─ bytes
"""

import io
from collections.abc import Iterator
from typing import BinaryIO, Protocol

import torch
from torch import Tensor, nn

from codec.container import Head
from codec.container.head import HASH_BYTES
from codec.entropy import EntropyModel, Layout, StaticTokenPrior, decode_chunk, encode_chunk
from codec.errors import UsageError
from codec.models.base import PLAIN, Encoding, PriorName
from codec.models.hashing import digest, model_tensors, module_classes
from codec.models.picture import PictureReader, assemble, image_fields, write_picture
from codec.models.tiling import Tile, block_around, cut_block, filled, tiles
from codec.quantizers import Quantizer
from codec.types import Codes, Media, Plane

FULL_SCALE = {torch.uint8: 255, torch.uint16: 65535}
DECODED_PIXELS = 768  # side of what is decoded at once: larger tiles have less halo, but leave the caches


class Backbone(Protocol):
    """Half of an autoencoder: `stride` pixels a position, a receptive field of `halo` positions each way."""

    stride: int
    halo: int

    def __call__(self, x: Tensor) -> Tensor:
        """`(B, C, H, W)` to `(B, C', H', W')`."""


class TokenCodec(nn.Module):
    """Discrete tokenizer for pictures that also writes files.

    Args:
        encoder: pixels `(B, 3, H, W)` in [0, 1] to latents `(B, latent_dim, H / stride, W / stride)`.
        quantizer: works on `latent_dim` channels, channel-last.
        decoder: the way back, about [0, 1].
        prior: order-0 tables for the codes, uniform unless given.
        learned_prior: an entropy model of the same codes that sees their neighbours; files are written with it where there
            is one. Each prior is a coding part of its own, so files name the one they need.
        latent_dim: stated once, checked against the quantizer.
        tile: side of the canonical tile in positions.
        chunk: side in positions of the square that one section of the file holds; contexts end there.
    """

    def __init__(
        self,
        encoder: Backbone,
        quantizer: Quantizer,
        decoder: Backbone,
        prior: StaticTokenPrior | None = None,
        learned_prior: EntropyModel | None = None,
        *,
        latent_dim: int,
        tile: int = 32,
        chunk: int = 256,
    ) -> None:
        super().__init__()
        prior = prior if prior is not None else StaticTokenPrior(quantizer.codebook_sizes)
        for model in (prior, learned_prior) if learned_prior is not None else (prior,):
            _check_agreement(encoder, quantizer, decoder, model, latent_dim)
        self.encoder, self.quantizer, self.decoder = encoder, quantizer, decoder
        self.prior, self.learned_prior = prior, learned_prior
        self.latent_dim, self.stride = latent_dim, encoder.stride
        self.tile, self.chunk = tile, chunk
        self._sealed: dict[PriorName, bytes] = {}

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
                vectors = self.quantizer.decode(stacked[i : i + 1, around.rows, around.columns].to(self._device))
                pixels = self.decoder(vectors.movedim(-1, 1).contiguous(memory_format=torch.channels_last))
                yield i, tile.scaled(self.stride), pixels[0, :, inner.rows, inner.columns].clamp(0, 1).cpu()

    def priors(self) -> dict[PriorName, EntropyModel]:
        """The entropy models at hand by name, the best last."""
        learned: dict[PriorName, EntropyModel] = {} if self.learned_prior is None else {"learned": self.learned_prior}
        return {"static": self.prior, **learned}

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
        encoding.check_fixed_rate()
        name = encoding.prior if encoding.prior is not None else list(self.priors())[-1]
        if name not in self.priors():
            raise UsageError(f"this model has no {name} prior, only {', '.join(self.priors())}")
        codes = self.encode(media.samples.expand(3, -1, -1)[None])
        self.write(media, codes, sink, name)

    def write(self, media: Media, codes: Codes, sink: BinaryIO, prior: PriorName) -> None:
        """Write codes `(1, h, w)` of a picture as a file."""
        model, coding_hash = self.priors()[prior], self.coding_hash(prior)[:HASH_BYTES]
        head = Head(image_fields(media), coding_hash, codes.alphabets, chunk_major=len(codes.planes) > 1)
        chunks = (
            encode_chunk(model, [plane.codes[0, part.rows, part.columns] for plane in codes.planes])
            for part in tiles(codes.grid, self.chunk)
        )
        write_picture(media, head, chunks, sink)

    def read_codes(self, source: BinaryIO, *, partial: bool = False) -> Codes:
        """The codes of a file, without the decoder network; what a damaged file lost is filled with the code of zeros."""
        return self._read(source, partial)[1]

    def _read(self, source: BinaryIO, partial: bool) -> tuple[PictureReader[EntropyModel], Codes]:
        priors = {self.coding_hash(name)[:HASH_BYTES]: prior for name, prior in self.priors().items()}
        reader = PictureReader(source, priors=priors, stride=self.stride, chunk=self.chunk, partial=partial)
        count = len(reader.head.alphabets)
        chunks = reader.read(lambda tile, streams: decode_chunk(reader.prior, Layout((tile.shape,) * count), streams))
        with torch.inference_mode():
            missing = self.quantizer.encode(torch.zeros(self.latent_dim, device=self._device)).cpu()
        grids = [
            missing[q].expand(reader.grid).clone() for q in range(count)
        ]  # only now in proportion to the claimed size
        for index, planes in chunks.items():
            part = reader.chunks[index]
            for grid, plane in zip(grids, planes, strict=True):
                grid[part.rows, part.columns] = plane
        sized = zip(grids, reader.head.alphabets, strict=True)
        return reader, Codes(tuple(Plane(grid[None], size) for grid, size in sized))

    def coding_hash(self, prior: PriorName = "static") -> bytes:
        """SHA-256 of all that a decoder must share to read the codes: geometry, quantizer, integers of the prior of that name."""
        if prior in self._sealed and not self.training:
            return self._sealed[prior]
        model = self.priors()[prior]
        facts = {
            "codec": type(self).__name__,
            "stride": self.stride,
            "chunk": self.chunk,
            "quantizer": module_classes(self.quantizer),
            "prior": module_classes(model),
            "codebook_sizes": list(self.quantizer.codebook_sizes),
        }
        integers = ((name, tensor) for name, tensor in model_tensors(model) if not tensor.is_floating_point())
        return digest(facts, {"quantizer": model_tensors(self.quantizer), "prior": integers})

    def seal(self) -> None:
        """Remember the coding hashes: from now on codebook and integers do not change, until `train` is called."""
        self._sealed = {}
        self._sealed = {name: self.coding_hash(name) for name in self.priors()}

    def train(self, mode: bool = True) -> "TokenCodec":
        """As of any module; training breaks the seal."""
        self._sealed = {} if mode else self._sealed
        return super().train(mode)

    def float_twins(self) -> frozenset[str]:
        """Floats of the learned prior: its integers write files."""
        return frozenset(
            name for name, t in self.state_dict().items() if name.startswith("learned_prior.") and t.is_floating_point()
        )

    def thaw(self) -> None:
        """A learned prior's floats stay unknown."""

    @property
    def _device(self) -> torch.device:
        return next(self.parameters()).device

    @torch.inference_mode()
    def _encode_tile(self, x: Tensor, tile: Tile, grid: tuple[int, int]) -> Tensor:
        """`(1, 3, H, W)` to the codes `(rows, columns, Q)` of one tile, computed in the canonical shape."""
        block = block_around(tile, grid, self.tile, self.encoder.halo)
        pixels = cut_block(x, block, self.stride).to(self._device)
        pixels = pixels.float() / FULL_SCALE[pixels.dtype] if pixels.dtype in FULL_SCALE else pixels
        latent = self.encoder(pixels.contiguous(memory_format=torch.channels_last))
        return self.quantizer.encode(latent[0, :, block.inner.rows, block.inner.columns].movedim(0, -1))


def _check_agreement(
    encoder: Backbone, quantizer: Quantizer, decoder: Backbone, prior: EntropyModel, latent_dim: int
) -> None:
    if quantizer.dim != latent_dim:
        raise ValueError(f"latent_dim is {latent_dim} but the quantizer works on {quantizer.dim} channels")
    if encoder.stride != decoder.stride:
        raise ValueError(f"the encoder's stride is {encoder.stride} but the decoder's is {decoder.stride}")
    if tuple(prior.codebook_sizes) != tuple(quantizer.codebook_sizes):
        raise ValueError(f"the prior is for {prior.codebook_sizes} but the quantizer has {quantizer.codebook_sizes}")
