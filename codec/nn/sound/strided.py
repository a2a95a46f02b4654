"""Convolutional encoders and decoders in stages, each of which changes the rate by its stride and the width by two.

    encoder  samples ─► first ─►( units ─► activation ─► strided )… ─► activation ─► last ─► frames
    decoder  frames ─► first ─►( activation ─► transposed ─► units )… ─► activation ─► last ─► samples

What a unit and an activation are is the style of a subclass: SEANet's or DAC's.
"""

import math
from abc import ABC, abstractmethod
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


class Strided(nn.Module, ABC):
    """What encoder and decoder share.

    Args:
        latent_dim: D.
        width: channels at the rate of the samples, doubled by each stage of an encoder.
        strides: of the encoder's stages, in its order; their product is the hop.
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
        self.dilations, self.normed = tuple(dilations), normed
        self.layers = nn.Sequential(*self.stack(latent_dim, width, strides))
        self.hop, self.future = math.prod(strides), 0

    @abstractmethod
    def stack(self, latent_dim: int, width: int, strides: Sequence[int]) -> list[nn.Module]:
        """All layers."""

    def units(self, width: int) -> list[nn.Module]:
        """Those of a stage, one for each dilation."""
        return [self.style.unit(width, dilation, self.normed) for dilation in self.dilations]

    def conv(self, channels: int, outputs: int, kernel: int, stride: int = 1) -> nn.Module:
        """A causal convolution."""
        return CausalConv(channels, outputs, kernel, stride=stride, normed=self.normed)


class StridedEncoder(Strided):
    """Samples `(B, 1, T * hop)` to frames `(B, latent_dim, T)`, causal; arguments as of `Strided`."""

    def stack(self, latent_dim: int, width: int, strides: Sequence[int]) -> list[nn.Module]:
        """As in the text of this file."""
        style = self.style
        layers = [self.conv(1, width, WAVE_KERNEL)]
        for stride in strides:
            layers += [*self.units(width), style.activation(width), self.conv(width, 2 * width, 2 * stride, stride)]
            width = 2 * width
        return [*layers, style.activation(width), self.conv(width, latent_dim, style.latent_kernel)]

    @property
    def past(self) -> int:
        """Frames before its own that a frame depends on."""
        return frames_back(self.layers, self.hop)

    def forward(self, x: Tensor) -> Tensor:
        """Shapes as in the class text."""
        check_whole_frames(x, self.hop)
        return self.layers(x)


class StridedDecoder(Strided):
    """Frames `(B, latent_dim, T)` to samples `(B, 1, T * hop)`, causal: the mirror of the encoder; arguments as of `Strided`."""

    def stack(self, latent_dim: int, width: int, strides: Sequence[int]) -> list[nn.Module]:
        """As in the text of this file."""
        style, wide = self.style, width << len(strides)
        layers = [self.conv(latent_dim, wide, WAVE_KERNEL)]
        for stride in reversed(strides):
            layers += [style.activation(wide), CausalUpsampling(wide, wide // 2, stride, normed=self.normed)]
            wide = wide // 2
            layers += self.units(wide)
        return [*layers, style.activation(width), self.conv(width, 1, WAVE_KERNEL)]

    @property
    def past(self) -> int:
        """Frames before its own that samples depend on."""
        return frames_back(self.layers)

    def forward(self, q: Tensor) -> Tensor:
        """Shapes as in the class text."""
        return self.layers(q)
