"""Any quantizer behind two learned maps of single positions: what `Projected` does with linear maps, for maps of any form."""

from typing import Protocol

import torch
from torch import Tensor, nn

from codec.quantizers.base import Quantized, Quantizer, prefixes_of
from codec.quantizers.blocks import by_blocks
from codec.quantizers.processes import from_first_process, gather_rows

ROWS = 1 << 14  # vectors to which the linear parts are fitted at the start


class PositionMap(Protocol):
    """A map of single positions that begins as a linear one: `linear(place(x))`, with all else started at zero."""

    linear: nn.Linear

    def place(self, x: Tensor) -> Tensor:
        """What the linear part sees of `(..., before)`."""

    def __call__(self, x: Tensor) -> Tensor:
        """`(..., before)` to `(..., after)`, each position by itself."""


class LinearMap(nn.Module):
    """A linear map and nothing else."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.linear = nn.Linear(before, after)

    def place(self, x: Tensor) -> Tensor:
        """As it is."""
        return x

    def forward(self, x: Tensor) -> Tensor:
        """`(..., before)` to `(..., after)`."""
        return self.linear(x)


class Mapped(nn.Module):
    """A quantizer that works where one map leads and another comes back from.

    Args:
        down: outside vectors to those of the quantizer.
        quantizer: any.
        up: the way back.
    """

    def __init__(self, down: PositionMap, quantizer: Quantizer, up: PositionMap) -> None:
        super().__init__()
        widths = (down.linear.out_features, quantizer.dim, up.linear.in_features)
        if len(set(widths)) != 1:
            raise ValueError(f"the map down, the quantizer and the map up disagree on the inner dimension: {widths}")
        if down.linear.in_features != up.linear.out_features:
            raise ValueError(f"the maps lead from {down.linear.in_features} to {up.linear.out_features} dimensions")
        self.down, self.quantizer, self.up = down, quantizer, up
        self.dim = down.linear.in_features
        self.codebook_sizes, self.prefixes = quantizer.codebook_sizes, prefixes_of(quantizer)

    def encode(self, z: Tensor) -> Tensor:
        """`(..., D)` vectors to int64 `(..., Q)` codes."""
        with torch.autocast(z.device.type, enabled=False):
            return self.quantizer.encode(self._down(z.float()))

    def decode(self, codes: Tensor) -> Tensor:
        """int64 `(..., Q)` codes to `(..., D)` vectors."""
        with torch.autocast(codes.device.type, enabled=False):
            return self.up(self.quantizer.decode(codes))

    @torch.no_grad()
    def start(self, z: Tensor) -> None:
        """Fit both maps to `(N, D)` vectors: down along the principal axes at unit variance, up by least squares from the codes."""
        rows = gather_rows(z.float())[:ROWS]
        _start_at_axes(self.down.linear, self.down.place(rows))
        self.quantizer.start(self.down(z.float()))
        decoded = self.quantizer.decode(self.quantizer.encode(self.down(rows)))
        fit_linear(self.up.linear, self.up.place(decoded), rows)

    def forward(self, z: Tensor) -> Quantized:
        """Quantize between the maps."""
        with torch.autocast(z.device.type, enabled=False):
            inner = self.quantizer(self._down(z.float()))
            return Quantized(vectors=self.up(inner.vectors), codes=inner.codes, losses=inner.losses)

    def _down(self, z: Tensor) -> Tensor:
        """In eval by blocks, so that codes do not depend on the batch."""
        return self.down(z) if self.training else by_blocks(self.down, z)


def _start_at_axes(layer: nn.Linear, rows: Tensor) -> None:
    """Make outputs the strongest principal components of `(N, before)` rows, each of unit variance; further outputs are zero."""
    mean = rows.mean(0)
    _, spread, axes = torch.linalg.svd(rows - mean, full_matrices=False)
    count = min(layer.out_features, len(axes))
    deviation = (spread[:count] / len(rows) ** 0.5).clamp_min(1e-6)
    weight = torch.zeros_like(layer.weight)
    weight[:count] = axes[:count] / deviation[:, None]
    layer.weight.copy_(from_first_process(weight))
    layer.bias.copy_(from_first_process(-weight @ mean))


def fit_linear(layer: nn.Linear, inputs: Tensor, targets: Tensor) -> None:
    """Set a linear layer to the least squares map from `(N, before)` to `(N, after)`, with a trace of ridge."""
    moved, centre = inputs.mean(0), targets.mean(0)
    x, y = inputs - moved, targets - centre
    ridge = 1e-3 * x.square().sum() / x.shape[1] + 1e-6
    gram = x.T @ x + ridge * torch.eye(x.shape[1], device=x.device)
    weight = torch.linalg.solve(gram, x.T @ y).T.contiguous()
    layer.weight.copy_(from_first_process(weight))
    layer.bias.copy_(from_first_process(centre - weight @ moved))
