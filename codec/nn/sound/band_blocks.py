"""Window attention over spectrograms: windows of a few bands that slide over the latest few spectra.

After the Swin blocks of Gu, Diao 2024 (ESC), arXiv:2404.19441 (Liu et al. 2021, arXiv:2103.14030). Theirs lie on a grid in time
and are shifted along it; here each spectrum has its own window that ends with it, so that all is causal and any packet, wherever
it begins, is computed alike. `F` bands, `C` channels a band.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.nn.sound.causal import TimeMixing


class BandAttention(nn.Module):
    """Each band looks at those of its window in its own and the latest spectra; zeros stand for what lies outside.

    Args:
        width: channels of both sides.
        heads: they divide the width.
        bands: in a window, even; they divide F.
        spectra: in a window, its own the last.
        shift: bands by which the first window begins below the first band.
    """

    def __init__(self, width: int, *, heads: int, bands: int, spectra: int, shift: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"heads must divide the width, got {heads} and {width}")
        self.heads, self.bands, self.spectra, self.shift = heads, bands, spectra, shift
        self.project = nn.Linear(width, 3 * width)
        self.leave = nn.Linear(width, width)
        self.bias = nn.Parameter(torch.zeros(heads, bands, spectra * bands))

    def forward(self, x: Tensor) -> Tensor:
        """`(B, T, F, width)` to the same."""
        padded = F.pad(self.project(x), (0, 0, self.shift, self.shift, self.spectra - 1, 0))
        windows = padded.unflatten(2, (-1, self.bands))  # (B, T + spectra - 1, n, bands, 3 * width)
        query, key, value = windows.chunk(3, -1)
        parts = (query[:, self.spectra - 1 :], self._latest(key), self._latest(value))
        query, key, value = (self._split(part) for part in parts)
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=self.bias.to(query.dtype)[None])
        whole = mixed.transpose(1, 2).reshape(*x.shape[:2], -1, x.shape[3])
        return self.leave(whole[:, :, self.shift : self.shift + x.shape[2]])

    def _latest(self, windows: Tensor) -> Tensor:
        """`(B, T + spectra - 1, n, bands, C)` to `(B, T, n, spectra * bands, C)`."""
        return windows.unfold(1, self.spectra, 1).movedim(-1, 3).flatten(3, 4)

    def _split(self, windows: Tensor) -> Tensor:
        """`(B, T, n, places, C)` to `(B T n, heads, places, C / heads)`."""
        return windows.flatten(0, 2).unflatten(-1, (self.heads, -1)).transpose(1, 2)


class BandBlock(TimeMixing):
    """Residual window attention, then a residual pointwise network, each after a norm over the channels of a band.

    Args:
        width: channels of both sides.
        heads: of the attention.
        bands: in a window.
        spectra: in a window.
        shift: of the windows, in bands.
    """

    def __init__(self, width: int, *, heads: int, bands: int, spectra: int, shift: int) -> None:
        super().__init__()
        attention = BandAttention(width, heads=heads, bands=bands, spectra=spectra, shift=shift)
        self.spectra = spectra
        self.mix = nn.Sequential(nn.LayerNorm(width), attention)
        self.think = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def first_input(self, position: int) -> int:
        return position - (self.spectra - 1)

    def forward(self, x: Tensor) -> Tensor:
        """`(B, T, F, width)` to the same."""
        x = x + self.mix(x)
        return x + self.think(x)


class MergeBands(nn.Module):
    """Pairs of neighbouring bands to one: `(B, T, F, before)` to `(B, T, F / 2, after)`."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.linear = nn.Linear(2 * before, after)

    def forward(self, x: Tensor) -> Tensor:
        """Shapes as in the class text."""
        return self.linear(x.unflatten(2, (-1, 2)).flatten(3))


class SplitBands(nn.Module):
    """Each band to two neighbours: `(B, T, F, before)` to `(B, T, 2 F, after)`."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.linear = nn.Linear(before, 2 * after)

    def forward(self, x: Tensor) -> Tensor:
        """Shapes as in the class text."""
        return self.linear(x).unflatten(3, (2, -1)).flatten(2, 3)
