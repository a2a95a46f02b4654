"""SEANet: strided convolutions with small residual units between them.

Tagliasacchi et al. 2020, "SEANet: A multi-modal speech enhancement network", arXiv:2009.02095; as in Défossez et al. 2022
(EnCodec), arXiv:2210.13438, causal and without the LSTM, whose past would have no end.
"""

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
    """As `StridedEncoder`."""

    style = _STYLE


class SeanetDecoder(StridedDecoder):
    """As `StridedDecoder`."""

    style = _STYLE
