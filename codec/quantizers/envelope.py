"""Envelope and shape: how loud each band of a spectrum is as one code or a few, what is left in its proportions as others.

Iwakami, Moriya, Miki 1995, "High-quality audio-coding at less than 64 kbit/s by using transform-domain weighted interleave vector
quantization (TwinVQ)": vectors of a transform are quantized after division by a power of their envelope, so that the noise of
quantization follows the envelope and hides below it.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from codec.quantizers.base import Quantized, Quantizer, prefixes_of
from codec.quantizers.blocks import by_blocks

FLOOR = 1e-5  # of the level of a band, where vectors have length 1


class EnvelopeShape(nn.Module):
    """A quantizer of logarithmic band levels, and one of vectors divided by a power of the decoded levels.

    The envelope's codes come first. It is quantized as it is, without a gradient to the encoder; the shape's gradient reaches `z`
    with gain 1, as it is divided and multiplied by the same levels. Losses are the shape's; those of the envelope's quantizer have
    `envelope_` before their names.

    Args:
        envelope: of the natural logarithms of the root mean squares of the bands.
        shape: of what is left.
        edges: channels at which bands begin, ascending from 0; the last band ends with the vector.
        power: of the levels by which vectors are divided: 0 leaves all noise alike, 1 gives every band the same share of noise.
    """

    spread: Tensor  # (bands, D): each channel's level as a mixture of those of bands
    shares: Tensor  # (bands, D): each band as the mean of its channels

    def __init__(self, envelope: Quantizer, shape: Quantizer, edges: Sequence[int], power: float = 0.5) -> None:
        super().__init__()
        borders = [*edges, shape.dim]
        if borders[0] or any(low >= high for low, high in pairwise(borders)):
            raise ValueError(f"edges must ascend from 0 to below {shape.dim}, got {list(edges)}")
        if envelope.dim != len(edges):
            raise ValueError(f"{len(edges)} bands, but the envelope's quantizer works on {envelope.dim} channels")
        self.envelope, self.shape, self.power = envelope, shape, power
        self.dim = shape.dim
        self.codebook_sizes = (*envelope.codebook_sizes, *shape.codebook_sizes)
        self._own = len(envelope.codebook_sizes)
        self.prefixes = tuple(self._own + count for count in prefixes_of(shape))
        self.register_buffer("shares", _means(borders), persistent=False)
        self.register_buffer("spread", _interpolation(borders), persistent=False)

    def encode(self, z: Tensor) -> Tensor:
        """`(..., D)` vectors to int64 `(..., Q)` codes, those of the envelope first."""
        with torch.autocast(z.device.type, enabled=False):
            codes = self.envelope.encode(self._levels(z.float()))
            return torch.cat([codes, self.shape.encode(z.float() / self._weights(self.envelope.decode(codes)))], -1)

    def decode(self, codes: Tensor) -> Tensor:
        """int64 `(..., Q)` codes, or as many first ones as the shape decodes, to `(..., D)` vectors."""
        with torch.autocast(codes.device.type, enabled=False):
            weights = self._weights(self.envelope.decode(codes[..., : self._own]))
            return weights * self.shape.decode(codes[..., self._own :])

    @torch.no_grad()
    def start(self, z: Tensor) -> None:
        """Start the envelope on the levels of `(N, D)` vectors, then the shape on what they leave."""
        levels = self._levels(z.float())
        self.envelope.start(levels)
        self.shape.start(z.float() / self._weights(self.envelope.decode(self.envelope.encode(levels))))

    def forward(self, z: Tensor) -> Quantized:
        """Quantize levels and shape."""
        with torch.autocast(z.device.type, enabled=False):
            z = z.float()
            envelope = self.envelope(self._levels(z.detach()))
            weights = self._weights(envelope.vectors.detach())
            shape = self.shape(z / weights)
            named = {f"envelope_{name}": loss for name, loss in envelope.losses.items()}
            return Quantized(
                weights * shape.vectors, torch.cat([envelope.codes, shape.codes], -1), shape.losses | named
            )

    def _levels(self, z: Tensor) -> Tensor:
        """`(..., D)` to logarithms `(..., bands)`."""
        return self._by_row(lambda rows: 0.5 * (rows.square() @ self.shares.T + FLOOR**2).log(), z)

    def _weights(self, levels: Tensor) -> Tensor:
        """Decoded logarithms `(..., bands)` to what vectors are divided by, `(..., D)`."""
        return self._by_row(lambda rows: (self.power * (rows @ self.spread)).exp(), levels)

    def _by_row(self, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """In eval by blocks, so that codes do not depend on the batch."""
        return function(x) if self.training else by_blocks(function, x)


def _means(borders: Sequence[int]) -> Tensor:
    rows = torch.zeros(len(borders) - 1, borders[-1])
    for row, (low, high) in zip(rows, pairwise(borders), strict=True):
        row[low:high] = 1 / (high - low)
    return rows


def _interpolation(borders: Sequence[int]) -> Tensor:
    """Linear between the centres of neighbouring bands, constant beyond the first and the last."""
    centres = torch.tensor([(low + high) / 2 for low, high in pairwise(borders)])
    places = (torch.arange(borders[-1]) + 0.5).clamp(float(centres[0]), float(centres[-1]))
    before = (torch.searchsorted(centres, places, right=True) - 1).clamp(0, max(0, len(centres) - 2))
    rows = torch.zeros(len(centres), borders[-1])
    if len(centres) == 1:
        return rows + 1
    share = (places - centres[before]) / (centres[before + 1] - centres[before])
    columns = torch.arange(borders[-1])
    rows[before, columns], rows[before + 1, columns] = 1 - share, share
    return rows
