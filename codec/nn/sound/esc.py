"""ESC: a pyramid of window attention over short spectra, which halves the bands and keeps the time.

Gu, Diao 2024, "ESC: Efficient speech coding with cross-scale residual vector quantized transformers", arXiv:2404.19441. Ours:
causal windows (`band_blocks`), two spectra or more a frame merged only where a frame is made, no norms outside the blocks, which
would divide the loudness out. Frames hold the features of several resolutions side by side, for a quantizer that knows of them
(`codec.quantizers.CrossScaleVectors`).

    encoder  spectra ─► bands ─► blocks ──► half the bands ─► blocks ──► half … ─► blocks
                                   └─ finest                    └─ coarser           └─ coarsest   side by side: a frame
    decoder  spectra ◄─ bands ◄─ blocks ◄+─ twice the bands ◄─ blocks ◄+─ twice … ◄─ blocks
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from codec.nn.sound.band_blocks import BandBlock, MergeBands, SplitBands
from codec.nn.sound.causal import frames_back
from codec.nn.sound.overlap import check_whole_frames
from codec.nn.sound.spectrum import SpectrumAnalysis, SpectrumSynthesis

_WINDOW_BANDS = 4
_WINDOW_SPECTRA = 4
_HEAD_WIDTH = 24


@dataclass(frozen=True)
class BandPyramid:
    """The sizes that an encoder and its decoder share.

    Attributes:
        latent_dims: channels of a frame that come from each resolution, finest first; 0 leaves one out, but not the coarsest.
        hop: samples a frame.
        spectra: in a frame, each of twice its share of the samples.
        bands: of a spectrum at the finest resolution, halved from one to the next; a multiple of 4 at all of them.
        widths: channels of a band at each resolution, multiples of 24.
        depth: blocks at each.
    """

    latent_dims: Sequence[int]
    hop: int = 320
    spectra: int = 2
    bands: int = 32
    widths: Sequence[int] = (48, 72, 96)
    depth: int = 2

    def __post_init__(self) -> None:
        coarsest = _WINDOW_BANDS << (len(self.widths) - 1)
        if self.bands % coarsest:
            raise ValueError(f"{len(self.widths)} resolutions need a multiple of {coarsest} bands, got {self.bands}")
        if self.hop % (self.spectra * self.bands):
            raise ValueError(f"{self.spectra} spectra of {self.bands} bands must divide the hop, got {self.hop}")
        if any(width % _HEAD_WIDTH for width in self.widths):
            raise ValueError(f"widths must be multiples of {_HEAD_WIDTH}, got {list(self.widths)}")
        dims = list(self.latent_dims)
        if len(dims) != len(self.widths) or min(dims) < 0 or not dims[-1]:
            raise ValueError(f"{len(self.widths)} resolutions need a latent_dim each, the last above 0, got {dims}")

    @property
    def values(self) -> int:
        """Of a band at the edge: real and imaginary parts of its frequencies."""
        return 2 * self.hop // (self.spectra * self.bands)

    @property
    def parts(self) -> dict[int, int]:
        """Channels of a frame by resolution, of those that have any."""
        return {place: dim for place, dim in enumerate(self.latent_dims) if dim}

    def frame_size(self, resolution: int) -> int:
        """Values of all bands of a frame's spectra."""
        return self.spectra * (self.bands >> resolution) * self.widths[resolution]

    def blocks(self) -> nn.ModuleList:
        """Those of each resolution, finest first."""
        return nn.ModuleList(nn.Sequential(*_blocks(width, self.depth)) for width in self.widths)


class EscEncoder(nn.Module):
    """Samples `(B, 1, T * hop)` to frames `(B, sum(latent_dims), T)`, the parts of the resolutions finest first; causal.

    Args:
        pyramid: all sizes.
    """

    def __init__(self, pyramid: BandPyramid) -> None:
        super().__init__()
        self.pyramid = pyramid
        self.spectrum = SpectrumAnalysis(pyramid.hop // pyramid.spectra)
        self.enter = nn.Linear(pyramid.values, pyramid.widths[0])
        self.blocks = pyramid.blocks()
        self.merges = nn.ModuleList(MergeBands(fine, coarse) for fine, coarse in pairwise(pyramid.widths))
        self.leave = nn.ModuleList(nn.Linear(pyramid.frame_size(i), dim) for i, dim in pyramid.parts.items())
        self.hop, self.past, self.future = pyramid.hop, -((-_spectra_back(self.blocks) - 1) // pyramid.spectra), 0

    def forward(self, x: Tensor) -> Tensor:
        """Shapes as in the class text."""
        check_whole_frames(x, self.hop)
        values = self.spectrum(x).unflatten(-1, (2, self.pyramid.bands, -1))  # real and imaginary, bands, frequencies
        levels = [self.blocks[0](self.enter(values.transpose(2, 3).flatten(3)))]
        for merge, blocks in zip(self.merges, self.blocks[1:], strict=True):
            levels.append(blocks(merge(levels[-1])))
        frames = (levels[i].unflatten(1, (-1, self.pyramid.spectra)).flatten(2) for i in self.pyramid.parts)
        return torch.cat([leave(frame) for leave, frame in zip(self.leave, frames, strict=True)], -1).transpose(1, 2)


class EscDecoder(nn.Module):
    """Frames `(B, sum(latent_dims), T)` to samples `(B, 1, T * hop)`: the mirror of the encoder.

    The part of the coarsest resolution enters there, every other is added before the blocks of its own. Future 1, as the last
    samples of a frame end in the first window of the next.

    Args:
        pyramid: all sizes, as the encoder has them.
    """

    def __init__(self, pyramid: BandPyramid) -> None:
        super().__init__()
        self.pyramid = pyramid
        self.enter = nn.ModuleList(nn.Linear(dim, pyramid.frame_size(i)) for i, dim in pyramid.parts.items())
        self.blocks = pyramid.blocks()
        self.splits = nn.ModuleList(SplitBands(coarse, fine) for fine, coarse in pairwise(pyramid.widths))
        self.leave = nn.Linear(pyramid.widths[0], pyramid.values)
        self.synthesis = SpectrumSynthesis(pyramid.hop // pyramid.spectra)
        self.hop, self.past, self.future = pyramid.hop, -(-_spectra_back(self.blocks) // pyramid.spectra), 1

    def forward(self, q: Tensor) -> Tensor:
        """Shapes as in the class text."""
        entering = self._entering(q)
        bands = self.blocks[-1](entering.pop(len(self.splits)))
        for i in reversed(range(len(self.splits))):
            bands = self.splits[i](bands)
            bands = self.blocks[i](bands + entering[i] if i in entering else bands)
        values = self.leave(bands).unflatten(3, (2, -1)).transpose(2, 3)
        return self.synthesis(values.flatten(2))

    def _entering(self, q: Tensor) -> dict[int, Tensor]:
        """Bands `(B, T * spectra, F, C)` that frames bring to each resolution."""
        parts, pyramid = self.pyramid.parts, self.pyramid
        cut = zip(parts, self.enter, q.transpose(1, 2).split(list(parts.values()), -1), strict=True)
        frames = {i: enter(part).unflatten(2, (pyramid.spectra, -1, pyramid.widths[i])) for i, enter, part in cut}
        return {i: frame.flatten(1, 2) for i, frame in frames.items()}


def _blocks(width: int, depth: int) -> list[nn.Module]:
    """Every second one with its windows shifted by half."""
    sizes = {"heads": width // _HEAD_WIDTH, "bands": _WINDOW_BANDS, "spectra": _WINDOW_SPECTRA}
    return [BandBlock(width, **sizes, shift=place % 2 * (_WINDOW_BANDS // 2)) for place in range(depth)]


def _spectra_back(resolutions: nn.ModuleList) -> int:
    """How many spectra before its own the blocks of all resolutions see."""
    return frames_back(part for part in resolutions.modules() if isinstance(part, BandBlock))
