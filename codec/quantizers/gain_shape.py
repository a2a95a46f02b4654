"""Gain-shape quantization: the length of a vector as one code, its direction as others.

Buzo, Gray, Gray, Markel 1980, "Speech coding based upon vector quantization"; Sabin, Gray 1984, "Product code vector quantizers for
waveform and voice coding".
"""

import torch
from torch import Tensor, nn

from codec.quantizers.base import Quantized, Quantizer, pass_gradient, prefixes_of
from codec.quantizers.processes import from_first_process, gather_rows

ROWS = 1 << 16  # vectors from which the range of lengths is taken
SMALLEST = 1e-12  # a shorter vector has no direction
SPAN = 1e-4  # of the largest length: what is below counts as silence, which has no say in where the levels lie


class GainShape(nn.Module):
    """Any quantizer of directions (`Pyramid`, `TurboQuant`, `BSQ`, a cosine codebook) beside a scalar quantizer of lengths.

    The first code is the gain, one of `gain_levels` evenly spaced in the logarithm; the shape's codes follow. The gradient passes the
    gain unchanged and the direction as the shape's estimator says. Loss `gain`: mean squared distance of lengths from their levels.

    Args:
        shape: gets unit vectors; what it decodes is multiplied by the gain.
        gain_levels: how many; 1 keeps a single length.
        gain_range: smallest and largest level; a quarter of sqrt(D) to twice sqrt(D) unless given or started from data.
    """

    gains: Tensor  # (gain_levels,) ascending

    def __init__(self, shape: Quantizer, gain_levels: int, gain_range: tuple[float, float] | None = None) -> None:
        super().__init__()
        if gain_levels < 1:
            raise ValueError(f"need at least 1 gain level, got {gain_levels}")
        self.shape, self.gain_levels = shape, gain_levels
        self.dim = shape.dim
        self.codebook_sizes = (gain_levels, *shape.codebook_sizes)
        self.prefixes = tuple(1 + count for count in prefixes_of(shape))
        low, high = gain_range if gain_range is not None else (0.25 * self.dim**0.5, 2 * self.dim**0.5)
        if not 0 < low <= high:
            raise ValueError(f"gains must be positive and ascend, got {low} to {high}")
        self.register_buffer("gains", torch.empty(gain_levels))
        self._spread(torch.tensor([low, high]))

    def encode(self, z: Tensor) -> Tensor:
        """`(..., D)` vectors to int64 `(..., Q)` codes, the gain first."""
        length, direction = self._split(z.float())
        return torch.cat([self._level(length), self.shape.encode(direction)], -1)

    def decode(self, codes: Tensor) -> Tensor:
        """int64 `(..., Q)` codes, or as many first ones as the shape decodes, to `(..., D)` vectors."""
        return self.gains[codes[..., :1]] * self.shape.decode(codes[..., 1:])

    @torch.no_grad()
    def start(self, z: Tensor) -> None:
        """Spread the levels from the lowest hundredth to the largest of the lengths of `(N, D)` vectors; the same on every process."""
        length, direction = self._split(z.float())
        lengths = gather_rows(length)[:ROWS, 0]
        low, high = torch.quantile(lengths, lengths.new_tensor([0.01, 1.0])).clamp_min(SMALLEST)
        self._spread(from_first_process(torch.stack([torch.maximum(low, SPAN * high), high])))
        self.shape.start(direction)

    def forward(self, z: Tensor) -> Quantized:
        """Quantize length and direction."""
        with torch.autocast(z.device.type, enabled=False):
            length, direction = self._split(z.float())
            level = self._level(length.detach())
            gain = self.gains[level]
            gentle = z.float() / length.clamp_min(self.gains[0])  # else the gradient of silence has no bound
            shape = self.shape(pass_gradient(gentle, direction.detach()))
            return Quantized(
                vectors=pass_gradient(length, gain) * shape.vectors,
                codes=torch.cat([level, shape.codes], -1),
                losses=shape.losses | {"gain": (length - gain).square().mean()},
            )

    def _spread(self, ends: Tensor) -> None:
        """Set the levels from `(2,)` smallest and largest; a single level lies in the middle."""
        share = torch.linspace(0, 1, self.gain_levels) if self.gain_levels > 1 else torch.tensor([0.5])
        low, high = ends.log()
        self.gains.copy_((low + (high - low) * share.to(ends)).exp())

    def _split(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """`(..., D)` vectors to lengths `(..., 1)` and unit vectors; a zero vector keeps direction zero."""
        z = z.contiguous()
        length = z.norm(dim=-1, keepdim=True)
        return length, z / length.clamp_min(SMALLEST)

    def _level(self, length: Tensor) -> Tensor:
        """Index of the nearest level."""
        return torch.bucketize(length, (self.gains[1:] + self.gains[:-1]) / 2)
