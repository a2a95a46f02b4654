"""TokenCodec: encoder, quantizer, decoder and token prior; a picture becomes planes of codes and comes back.

pixels ─encoder─► latent ─quantizer.encode─► codes ─prior─► bytes
pixels ◄─decoder─ vectors ◄─quantizer.decode─ codes ◄─prior─ bytes
"""

import hashlib
import io
import json
from collections.abc import Iterator
from typing import BinaryIO, Protocol, cast

import torch
from torch import Tensor, nn

from codec.container.head import HASH_BYTES
from codec.entropy import EntropyModel, StaticTokenPrior
from codec.errors import UsageError
from codec.models.base import PriorName
from codec.models.picture import PictureReader, assemble, write_picture
from codec.models.tiling import Tile, block_around, cut_block, filled, tiles
from codec.quantizers import Quantizer
from codec.quantizers.codebooks.base import STATISTICS
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

    def compress(self, media: Media, *, prior: PriorName | None = None) -> bytes:
        """A picture to the bytes of a `.lmc` file."""
        sink = io.BytesIO()
        self.compress_to(media, sink, prior=prior)
        return sink.getvalue()

    def decompress(self, data: bytes, *, partial: bool = False) -> Media:
        """The bytes of a `.lmc` file to a picture; `partial` fills what is damaged instead of refusing."""
        return self.decompress_from(io.BytesIO(data), partial=partial)

    def compress_to(self, media: Media, sink: BinaryIO, *, prior: PriorName | None = None) -> None:
        """As `compress`, written front to back into an open file or pipe.

        Args:
            media: the picture.
            sink: where the bytes go.
            prior: which entropy model codes the tokens; the learned one by default, where the model has one.
        """
        name = prior if prior is not None else list(self.priors())[-1]
        if name not in self.priors():
            raise UsageError(f"this model has no {name} prior, only {', '.join(self.priors())}")
        codes = self.encode(media.samples.expand(3, -1, -1)[None])
        model, coding_hash = self.priors()[name], self.coding_hash(name)
        write_picture(media, codes, sink, prior=model, chunk=self.chunk, coding_hash=coding_hash)

    def decompress_from(self, source: BinaryIO, *, partial: bool = False) -> Media:
        """As `decompress`, read front to back from an open file or pipe."""
        reader = self.read_codes(source, partial=partial)
        return assemble(reader, self.decoded_tiles(reader.codes))

    def read_codes(self, source: BinaryIO, *, partial: bool = False) -> PictureReader:
        """The codes and metadata of a file, without the decoder network."""
        with torch.inference_mode():
            missing = self.quantizer.encode(torch.zeros(self.latent_dim, device=self._device)).cpu()
        return PictureReader(
            source,
            priors={self.coding_hash(name)[:HASH_BYTES]: prior for name, prior in self.priors().items()},
            stride=self.stride,
            chunk=self.chunk,
            missing=missing,
            partial=partial,
        )

    def coding_hash(self, prior: PriorName = "static") -> bytes:
        """SHA-256 of all that a decoder must share to read the codes: geometry, quantizer, integers of the prior of that name."""
        model = self.priors()[prior]
        facts = {
            "codec": type(self).__name__,
            "stride": self.stride,
            "chunk": self.chunk,
            "quantizer": _classes(self.quantizer),
            "prior": _classes(model),
            "codebook_sizes": list(self.quantizer.codebook_sizes),
        }
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
        integers = ((name, tensor) for name, tensor in _tensors(model) if not tensor.is_floating_point())
        for part, tensors in (("quantizer", _tensors(self.quantizer)), ("prior", integers)):
            for name, tensor in tensors:
                values = tensor.detach().cpu().contiguous().numpy()
                digest.update(f"{part}.{name} {values.dtype.str} {values.shape}".encode())
                digest.update(values.tobytes())
        return digest.digest()

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


def _classes(module: object) -> list[str]:
    """Names and classes of a module and all modules inside it: what its tensors do not tell."""
    return [f"{name} {type(part).__name__}" for name, part in cast(nn.Module, module).named_modules()]


def _tensors(module: object) -> Iterator[tuple[str, Tensor]]:
    """Parameters and buffers by name, those too that no checkpoint stores; without training statistics."""
    part = cast(nn.Module, module)
    for name, tensor in sorted({**dict(part.named_parameters()), **dict(part.named_buffers())}.items()):
        if name.rpartition(".")[2] not in STATISTICS:
            yield name, tensor


def _check_agreement(
    encoder: Backbone, quantizer: Quantizer, decoder: Backbone, prior: EntropyModel, latent_dim: int
) -> None:
    if quantizer.dim != latent_dim:
        raise ValueError(f"latent_dim is {latent_dim} but the quantizer works on {quantizer.dim} channels")
    if encoder.stride != decoder.stride:
        raise ValueError(f"the encoder's stride is {encoder.stride} but the decoder's is {decoder.stride}")
    if tuple(prior.codebook_sizes) != tuple(quantizer.codebook_sizes):
        raise ValueError(f"the prior is for {prior.codebook_sizes} but the quantizer has {quantizer.codebook_sizes}")
