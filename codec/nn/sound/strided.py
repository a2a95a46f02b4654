"""Convolutional encoders and decoders in stages, each of which changes the rate by its stride and the width by two.

    encoder  samples ─► first ─►( units ─► activation ─► strided )… ─► activation ─► last ─► frames
    decoder  frames ─► first ─►( activation ─► transposed ─► units )… ─► activation ─► last ─► samples

What a unit and an activation are is the style of a subclass: SEANet's or DAC's.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor, nn

from codec.nn.sound.causal import CausalConv, CausalUpsampling, frames_back
from codec.nn.sound.overlap import check_whole_frames

WAVE_KERNEL = 7  # of the first and last convolutions


@dataclass(frozen=True)
class Style:
    """What the stages are made of.

    Attributes:
        activation: of a number of channels.
        unit: a residual unit of a number of channels, a dilation, and whether its weights are normed.
        latent_kernel: of the encoder's last convolution, over frames.
    """

    activation: Callable[[int], nn.Module]
    unit: Callable[[int, int, bool], nn.Module]
    latent_kernel: int

    def units(self, width: int, dilations: Sequence[int], normed: bool) -> list[nn.Module]:
        """One for each dilation."""
        return [self.unit(width, dilation, normed) for dilation in dilations]


class StridedEncoder(nn.Module):
    """Samples `(B, 1, T * hop)` to frames `(B, latent_dim, T)`, causal.

    Args:
        latent_dim: D.
        width: channels at the rate of the samples, doubled by each stage.
        strides: of the stages; their product is the hop.
        dilations: of the units of each stage.
        normed: weight norm in all convolutions.
    """

    style: ClassVar[Style]

    def __init__(
        self,
        latent_dim: int,
        *,
        width: int,
        strides: Sequence[int] = (2, 4, 5, 8),
        dilations: Sequence[int] = (1,),
        normed: bool = True,
    ) -> None:
        super().__init__()
        style = self.style
        layers: list[nn.Module] = [CausalConv(1, width, WAVE_KERNEL, normed=normed)]
        for stride in strides:
            layers += [*style.units(width, dilations, normed), style.activation(width)]
            layers.append(CausalConv(width, 2 * width, 2 * stride, stride=stride, normed=normed))
            width = 2 * width
        layers += [style.activation(width), CausalConv(width, latent_dim, style.latent_kernel, normed=normed)]
        self.layers = nn.Sequential(*layers)
        self.hop, self.past, self.future = math.prod(strides), frames_back(layers, math.prod(strides)), 0

    def forward(self, x: Tensor) -> Tensor:
        """Shapes as in the class text."""
        check_whole_frames(x, self.hop)
        return self.layers(x)


class StridedDecoder(nn.Module):
    """Frames `(B, latent_dim, T)` to samples `(B, 1, T * hop)`, causal: the mirror of the encoder.

    Args:
        latent_dim: D.
        width: channels at the rate of the samples.
        strides: of the stages in the encoder's order.
        dilations: of the units of each stage.
        normed: weight norm in all convolutions.
    """

    style: ClassVar[Style]

    def __init__(
        self,
        latent_dim: int,
        *,
        width: int,
        strides: Sequence[int] = (2, 4, 5, 8),
        dilations: Sequence[int] = (1,),
        normed: bool = True,
    ) -> None:
        super().__init__()
        style = self.style
        wide = width << len(strides)
        layers: list[nn.Module] = [CausalConv(latent_dim, wide, WAVE_KERNEL, normed=normed)]
        for stride in reversed(strides):
            layers += [style.activation(wide), CausalUpsampling(wide, wide // 2, stride, normed=normed)]
            wide = wide // 2
            layers += style.units(wide, dilations, normed)
        layers += [style.activation(width), CausalConv(width, 1, WAVE_KERNEL, normed=normed)]
        self.layers = nn.Sequential(*layers)
        self.hop, self.past, self.future = math.prod(strides), frames_back(layers), 0

    def forward(self, q: Tensor) -> Tensor:
        """Shapes as in the class text."""
        return self.layers(q)
