"""ESC: a pyramid of window attention over short spectra, which halves the bands and keeps the time.

Gu, Diao 2024, "ESC: Efficient speech coding with cross-scale residual vector quantized transformers", arXiv:2404.19441. Ours:
causal windows (`band_blocks`), two spectra or more a frame merged at the end only, no norms outside the blocks, which would
divide the loudness out. The quantizer between its scales is not part of it.

    spectra ─► bands ─►( blocks ─► half the bands )… ─► blocks ─► all bands of a frame's spectra ─► frame
"""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from codec.nn.sound.band_blocks import BandBlock, MergeBands, SplitBands
from codec.nn.sound.causal import frames_back
from codec.nn.sound.overlap import check_whole_frames
from codec.nn.sound.spectrum import SpectrumAnalysis, SpectrumSynthesis

_WINDOW_BANDS = 4
_WINDOW_SPECTRA = 4
_HEAD_WIDTH = 24


class EscEncoder(nn.Module):
    """Samples `(B, 1, T * hop)` to frames `(B, latent_dim, T)`, causal.

    Args:
        latent_dim: D.
        hop: samples a frame.
        spectra: in a frame, each of twice its share of the samples.
        bands: of a spectrum, at first; a multiple of 4 at all resolutions.
        widths: channels of a band at each resolution, multiples of 24; the bands are halved from one to the next.
        depth: blocks at each.
    """

    def __init__(
        self,
        latent_dim: int,
        *,
        hop: int = 320,
        spectra: int = 2,
        bands: int = 32,
        widths: Sequence[int] = (48, 72, 96),
        depth: int = 2,
    ) -> None:
        super().__init__()
        _check_sizes(hop, spectra, bands, widths)
        self.spectrum = SpectrumAnalysis(hop // spectra)
        self.spectra, self.bands = spectra, bands
        layers: list[nn.Module] = [nn.Linear(2 * hop // (spectra * bands), widths[0]), *_blocks(widths[0], depth)]
        for before, after in pairwise(widths):
            layers += [MergeBands(before, after), *_blocks(after, depth)]
        self.layers = nn.Sequential(*layers)
        self.leave = nn.Linear(_frame_size(spectra, bands, widths), latent_dim)
        self.hop, self.past, self.future = hop, -((-frames_back(layers) - 1) // spectra), 0

    def forward(self, x: Tensor) -> Tensor:
        """Shapes as in the class text."""
        check_whole_frames(x, self.hop)
        parts = self.spectrum(x).unflatten(-1, (2, self.bands, -1))  # real and imaginary, bands, frequencies
        bands = self.layers(parts.transpose(2, 3).flatten(3))
        return self.leave(bands.unflatten(1, (-1, self.spectra)).flatten(2)).transpose(1, 2)


class EscDecoder(nn.Module):
    """Frames `(B, latent_dim, T)` to samples `(B, 1, T * hop)`: the mirror of the encoder.

    Future 1, as the last samples of a frame end in the first window of the next.

    Args:
        latent_dim: D.
        hop: samples a frame.
        spectra: in a frame.
        bands: of a spectrum, at last.
        widths: channels of a band at each resolution, in the encoder's order.
        depth: blocks at each.
    """

    def __init__(
        self,
        latent_dim: int,
        *,
        hop: int = 320,
        spectra: int = 2,
        bands: int = 32,
        widths: Sequence[int] = (48, 72, 96),
        depth: int = 2,
    ) -> None:
        super().__init__()
        _check_sizes(hop, spectra, bands, widths)
        self.spectra, self.width = spectra, widths[-1]
        self.enter = nn.Linear(latent_dim, _frame_size(spectra, bands, widths))
        layers: list[nn.Module] = _blocks(widths[-1], depth)
        for before, after in pairwise(reversed(widths)):
            layers += [SplitBands(before, after), *_blocks(after, depth)]
        layers.append(nn.Linear(widths[0], 2 * hop // (spectra * bands)))
        self.layers = nn.Sequential(*layers)
        self.synthesis = SpectrumSynthesis(hop // spectra)
        self.hop, self.past, self.future = hop, frames_back(layers, spectra), 1

    def forward(self, q: Tensor) -> Tensor:
        """Shapes as in the class text."""
        bands = self.enter(q.transpose(1, 2)).unflatten(2, (self.spectra, -1, self.width)).flatten(1, 2)
        parts = self.layers(bands).unflatten(3, (2, -1)).transpose(2, 3)
        return self.synthesis(parts.flatten(2))


def _blocks(width: int, depth: int) -> list[nn.Module]:
    """Every second one with its windows shifted by half."""
    sizes = {"heads": width // _HEAD_WIDTH, "bands": _WINDOW_BANDS, "spectra": _WINDOW_SPECTRA}
    return [BandBlock(width, **sizes, shift=place % 2 * (_WINDOW_BANDS // 2)) for place in range(depth)]


def _frame_size(spectra: int, bands: int, widths: Sequence[int]) -> int:
    """Values of a frame at the lowest resolution."""
    return spectra * (bands >> (len(widths) - 1)) * widths[-1]


def _check_sizes(hop: int, spectra: int, bands: int, widths: Sequence[int]) -> None:
    coarsest = _WINDOW_BANDS << (len(widths) - 1)
    if bands % coarsest:
        raise ValueError(f"{len(widths)} resolutions need a multiple of {coarsest} bands, got {bands}")
    if hop % (spectra * bands):
        raise ValueError(f"{spectra} spectra of {bands} bands must divide the hop, got {hop}")
    if any(width % _HEAD_WIDTH for width in widths):
        raise ValueError(f"widths must be multiples of {_HEAD_WIDTH}, got {list(widths)}")
