"""Sound to short spectra and back, as fixed linear maps: sine windows of two hops, exact in the sense of overlap-add."""

import torch
from torch import Tensor, nn

from codec.nn.sound.overlap import fourier_directions, lapped_frames, overlap_add, sine_window

_LEVEL = 0.1  # root mean square of ordinary sound: spectra then have values of about 1


class SpectrumAnalysis(nn.Module):
    """Samples `(B, 1, T * hop)` to spectra `(B, T, 2 * hop)`, each of its own hop and the one before.

    Values: real parts of the frequencies 0 … hop - 1, then the real part of frequency hop, then imaginary parts of 1 … hop - 1.

    Args:
        hop: samples a spectrum.
    """

    analysis: Tensor  # (2 * hop, 2 * hop) samples to values

    def __init__(self, hop: int) -> None:
        super().__init__()
        self.hop = hop
        analysis = (fourier_directions(2 * hop) * sine_window(hop)).T / _LEVEL
        self.register_buffer("analysis", analysis.contiguous(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Shapes as in the class text."""
        with torch.autocast(x.device.type, enabled=False):
            return lapped_frames(x.to(self.analysis.dtype), self.hop) @ self.analysis


class SpectrumSynthesis(nn.Module):
    """The way back, `(B, T, 2 * hop)` to `(B, 1, T * hop)`; a hop is whole once the spectrum after it is added.

    Args:
        hop: samples a spectrum.
    """

    synthesis: Tensor  # (2 * hop, 2 * hop) values to samples

    def __init__(self, hop: int) -> None:
        super().__init__()
        self.register_buffer("synthesis", _LEVEL * fourier_directions(2 * hop) * sine_window(hop), persistent=False)

    def forward(self, spectra: Tensor) -> Tensor:
        """Shapes as in the class text."""
        with torch.autocast(spectra.device.type, enabled=False):
            return overlap_add(spectra.to(self.synthesis.dtype) @ self.synthesis)
