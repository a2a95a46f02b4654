"""SEANet: strided convolutions with small residual units between them.

Tagliasacchi et al. 2020, "SEANet: A multi-modal speech enhancement network", arXiv:2009.02095; as in Défossez et al. 2022
(EnCodec), arXiv:2210.13438, causal and without the LSTM, whose past would have no end.
"""

from collections.abc import Sequence

from torch import nn

from codec.nn.sound.causal import CausalConv, Residual
from codec.nn.sound.strided import StridedDecoder, StridedEncoder, Style

_KERNEL = 3


def _activation(_: int) -> nn.Module:
    return nn.ELU()


def _unit(width: int, dilation: int, normed: bool) -> nn.Module:
    """Through half the channels and back, the shortcut untouched."""
    half = width // 2
    narrow = CausalConv(width, half, _KERNEL, dilation=dilation, normed=normed)
    return Residual(nn.ELU(), narrow, nn.ELU(), CausalConv(half, width, 1, normed=normed))


_STYLE = Style(_activation, _unit, latent_kernel=7)


class SeanetEncoder(StridedEncoder):
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
        width: int = 32,
        strides: Sequence[int] = (2, 4, 5, 8),
        dilations: Sequence[int] = (1,),
        normed: bool = True,
    ) -> None:
        super().__init__(_STYLE, latent_dim, width=width, strides=strides, dilations=dilations, normed=normed)


class SeanetDecoder(StridedDecoder):
    """Frames `(B, latent_dim, T)` to samples `(B, 1, T * hop)`, causal; arguments as the encoder's, strides in its order."""

    def __init__(
        self,
        latent_dim: int,
        *,
        width: int = 32,
        strides: Sequence[int] = (2, 4, 5, 8),
        dilations: Sequence[int] = (1,),
        normed: bool = True,
    ) -> None:
        super().__init__(_STYLE, latent_dim, width=width, strides=strides, dilations=dilations, normed=normed)
