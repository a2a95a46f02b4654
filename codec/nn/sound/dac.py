"""DAC: strided convolutions with wide-reaching dilated units and periodic activations.

Kumar et al. 2023, "High-fidelity audio compression with improved RVQGAN", arXiv:2306.06546, made causal. Its widths of 64 and
96 channels are for graphics cards; the defaults here are for processors.
"""

from collections.abc import Sequence

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
    """Samples `(B, 1, T * hop)` to frames `(B, latent_dim, T)`, causal.

    Args:
        latent_dim: D.
        width: channels at the rate of the samples, doubled by each stage.
        strides: of the stages; their product is the hop.
        dilations: of the residual units of each stage.
        normed: weight norm in all convolutions.
    """

    def __init__(
        self,
        latent_dim: int,
        *,
        width: int = 16,
        strides: Sequence[int] = (2, 4, 5, 8),
        dilations: Sequence[int] = (1, 3, 9),
        normed: bool = True,
    ) -> None:
        super().__init__(_STYLE, latent_dim, width=width, strides=strides, dilations=dilations, normed=normed)


class DacDecoder(StridedDecoder):
    """Frames `(B, latent_dim, T)` to samples `(B, 1, T * hop)` in (-1, 1), causal; arguments as the encoder's."""

    def __init__(
        self,
        latent_dim: int,
        *,
        width: int = 16,
        strides: Sequence[int] = (2, 4, 5, 8),
        dilations: Sequence[int] = (1, 3, 9),
        normed: bool = True,
    ) -> None:
        super().__init__(_STYLE, latent_dim, width=width, strides=strides, dilations=dilations, normed=normed)

    def forward(self, q: Tensor) -> Tensor:
        """Shapes as in the class text."""
        return super().forward(q).tanh()
