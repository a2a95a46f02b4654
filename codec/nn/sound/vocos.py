"""Vocos: all work at the rate of frames; a spectrum of each frame, inverted and overlapped, makes the samples.

Siuzdak 2023, "Vocos: Closing the gap between time-domain and Fourier-based neural vocoders for high-quality audio synthesis",
arXiv:2306.00814. Ours: causal; windows of two hops; real and imaginary parts instead of magnitude and phase; an encoder of the
same blocks; no norms outside the blocks, which would divide the loudness out.
"""

from torch import Tensor, nn

from codec.nn.sound.causal import CausalConv, frames_back
from codec.nn.sound.frame_blocks import frame_blocks
from codec.nn.sound.spectrum import SpectrumAnalysis, SpectrumSynthesis


class VocosEncoder(nn.Module):
    """Samples `(B, 1, T * hop)` to frames `(B, latent_dim, T)`, causal.

    Args:
        latent_dim: D.
        hop: samples a frame; each sees its own and those of the frame before.
        width: channels of the blocks.
        depth: number of blocks.
        kernel: frames that a block sees.
        expansion: times as many channels inside a block.
    """

    def __init__(
        self, latent_dim: int, *, hop: int = 320, width: int = 384, depth: int = 6, kernel: int = 7, expansion: int = 3
    ) -> None:
        super().__init__()
        self.spectrum = SpectrumAnalysis(hop)
        self.enter = nn.Linear(2 * hop, width)
        self.blocks = nn.Sequential(*frame_blocks(width, depth, kernel=kernel, expansion=expansion))
        self.leave = nn.Conv1d(width, latent_dim, 1)
        self.hop, self.past, self.future = hop, frames_back(self.blocks) + 1, 0

    def forward(self, x: Tensor) -> Tensor:
        """Shapes as in the class text."""
        return self.leave(self.blocks(self.enter(self.spectrum(x)).transpose(1, 2)))


class VocosDecoder(nn.Module):
    """Frames `(B, latent_dim, T)` to samples `(B, 1, T * hop)`; future 1, as the samples of a frame end in the next window.

    Args:
        latent_dim: D.
        hop: samples a frame.
        width: channels of the blocks.
        depth: number of blocks.
        kernel: frames that a block sees, and the layer before them.
        expansion: times as many channels inside a block.
    """

    def __init__(
        self, latent_dim: int, *, hop: int = 320, width: int = 384, depth: int = 8, kernel: int = 7, expansion: int = 3
    ) -> None:
        super().__init__()
        blocks = frame_blocks(width, depth, kernel=kernel, expansion=expansion)
        self.layers = nn.Sequential(CausalConv(latent_dim, width, kernel), *blocks)
        self.leave = nn.Linear(width, 2 * hop)
        self.synthesis = SpectrumSynthesis(hop)
        self.hop, self.past, self.future = hop, frames_back(self.layers), 1

    def forward(self, q: Tensor) -> Tensor:
        """Shapes as in the class text."""
        return self.synthesis(self.leave(self.layers(q).transpose(1, 2)))
