"""Attention inside square windows, scaled cosine, with a continuous relative position bias.

Liu et al. 2021, "Swin Transformer", arXiv:2103.14030; Liu et al. 2022, "Swin Transformer V2", arXiv:2111.09883.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_LARGEST_SCALE = 100.0  # of cosines, the inverse of the temperature
_FIRST_SCALE = 10.0
_LARGEST_BIAS = 16.0
_HIDDEN = 128  # of the network that gives the bias
_NORM_FLOOR = 1e-4  # of a query or key, so that gradients stay finite at zero


class RelativeBias(nn.Module):
    """Bias of each pair of positions in a window: a small network of their distance, log-spaced.

    Args:
        window: side of the window, W.
        heads: of the attention.
    """

    distances: Tensor  # ((2 W - 1)^2, 2) rows and columns, signed, in logarithms
    places: Tensor  # (W^2, W^2) which distance each pair has

    def __init__(self, window: int, heads: int) -> None:
        super().__init__()
        self.network = nn.Sequential(nn.Linear(2, _HIDDEN), nn.ReLU(), nn.Linear(_HIDDEN, heads, bias=False))
        self.register_buffer("distances", log_distances(window), persistent=False)
        self.register_buffer("places", relative_places(window), persistent=False)

    def forward(self) -> Tensor:
        """`(heads, W^2, W^2)` in (0, 16), position of the query first."""
        table = _LARGEST_BIAS * self.network(self.distances).sigmoid()
        return table[self.places].permute(2, 0, 1)


def log_distances(window: int) -> Tensor:
    """Signed distances -(W - 1) … W - 1 in rows and columns, those at the ends ±8: sign(d) log2(1 + |d|) / log2 8."""
    steps = 8 * torch.arange(1 - window, window, dtype=torch.float32) / max(1, window - 1)
    steps = steps.sign() * (1 + steps.abs()).log2() / math.log2(8)
    return torch.stack(torch.meshgrid(steps, steps, indexing="ij"), -1).flatten(0, 1)


def relative_places(window: int) -> Tensor:
    """Place of the distance query - key of each pair of positions in `log_distances`: int64 `(W^2, W^2)`."""
    rows, columns = (grid.flatten() for grid in torch.meshgrid(*[torch.arange(window)] * 2, indexing="ij"))
    apart = [values[:, None] - values[None] + window - 1 for values in (rows, columns)]
    return apart[0] * (2 * window - 1) + apart[1]


class WindowAttention(nn.Module):
    """Each position looks at those of its window; beyond the picture there is nothing to look at.

    Args:
        width: channels of both sides.
        heads: they divide the width.
        window: side of a window, even.
        shift: by which the first windows begin before the first row and column.
    """

    def __init__(self, width: int, *, heads: int, window: int, shift: int) -> None:
        super().__init__()
        if width % heads or window % 2:
            raise ValueError(f"heads must divide the width and the window be even, got {width}, {heads} and {window}")
        self.heads, self.window, self.shift = heads, window, shift
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)
        self.value = nn.Linear(width, width)
        self.leave = nn.Linear(width, width)
        self.log_scale = nn.Parameter(torch.full((heads, 1, 1), math.log(_FIRST_SCALE)))
        self.bias = RelativeBias(window, heads)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, H, W, width)` to the same."""
        batch, height, width = x.shape[:3]
        rows, columns = (-(-(side + self.shift) // self.window) for side in (height, width))
        padding = (
            self.shift,
            columns * self.window - width - self.shift,
            self.shift,
            rows * self.window - height - self.shift,
        )
        padded = F.pad(x, (0, 0, *padding))
        windows = into_windows(padded, self.window)
        mask = self._mask(x, padding) if any(padding) else None
        mixed = self._attend(windows, mask, batch)
        whole = from_windows(mixed, rows, columns, self.window)
        return self.leave(whole[:, self.shift : self.shift + height, self.shift : self.shift + width])

    def _attend(self, windows: Tensor, mask: Tensor | None, batch: int) -> Tensor:
        """`(B n, W^2, width)` to the same, n windows a picture."""
        query, key, value = (self._split(layer(windows)) for layer in (self.query, self.key, self.value))
        scale = self.log_scale.clamp(max=math.log(_LARGEST_SCALE)).exp()
        query, key = F.normalize(query, dim=-1, eps=_NORM_FLOOR) * scale, F.normalize(key, dim=-1, eps=_NORM_FLOOR)
        bias = self.bias().to(query.dtype)[None]
        if mask is not None:
            bias = (bias + mask.to(query.dtype)[:, None, None]).repeat(batch, 1, 1, 1)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=bias, scale=1.0)
        return mixed.transpose(1, 2).flatten(2)

    def _split(self, rows: Tensor) -> Tensor:
        """`(n, W^2, width)` to `(n, heads, W^2, width / heads)`."""
        return rows.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def _mask(self, x: Tensor, padding: tuple[int, int, int, int]) -> Tensor:
        """`(n, W^2)`: what is added at each key, 0 inside the picture and minus infinity beyond it."""
        inside = F.pad(x.new_zeros(1, *x.shape[1:3]), padding, value=-math.inf)
        return into_windows(inside[..., None], self.window)[..., 0]


def into_windows(x: Tensor, window: int) -> Tensor:
    """`(B, r W, c W, C)` to `(B r c, W^2, C)`, windows and positions in raster order."""
    parts = x.unflatten(1, (-1, window)).unflatten(3, (-1, window))  # (B, r, W, c, W, C)
    return parts.transpose(2, 3).flatten(0, 2).flatten(1, 2)


def from_windows(windows: Tensor, rows: int, columns: int, window: int) -> Tensor:
    """The inverse of `into_windows` for pictures of `rows` times `columns` windows."""
    parts = windows.unflatten(0, (-1, rows, columns)).unflatten(3, (window, window))
    return parts.transpose(2, 3).flatten(1, 2).flatten(2, 3)
