"""DAC: strided convolutions with wide-reaching dilated units and periodic activations.

Kumar et al. 2023, "High-fidelity audio compression with improved RVQGAN", arXiv:2306.06546, made causal. Its widths of 64 and
96 channels are for graphics cards; the config's 16 is for processors.
"""

from torch import Tensor, nn

from codec.nn.sound.causal import CausalConv, Residual
from codec.nn.sound.snake import Snake
from codec.nn.sound.strided import StridedDecoder, StridedEncoder, Style

_KERNEL = 7


def _unit(width: int, dilation: int, normed: bool) -> nn.Module:
    wide = CausalConv(width, width, _KERNEL, dilation=dilation, normed=normed)
    return Residual(Snake(width), wide, Snake(width), CausalConv(width, width, 1, normed=normed))


_STYLE = Style(Snake, _unit, latent_kernel=3)


class DacEncoder(StridedEncoder):
    """As `StridedEncoder`; the paper has dilations 1, 3 and 9."""

    style = _STYLE


class DacDecoder(StridedDecoder):
    """As `StridedDecoder`, its samples in (-1, 1)."""

    style = _STYLE

    def forward(self, q: Tensor) -> Tensor:
        """Shapes as in the class text."""
        return super().forward(q).tanh()
