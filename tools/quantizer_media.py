"""What the comparison of quantizers asks of a medium."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

Part = Literal["train", "val"]


@dataclass(frozen=True)
class Quality:
    """Means over the validation files; None where a medium has no such measure."""

    psnr: float | None = None
    ms_ssim: float | None = None
    mel_distance: float | None = None
    si_sdr: float | None = None


class Medium(Protocol):
    """Samples `(B, C, *space)` for training and validation, and what belongs to their kind.

    Attributes:
        axes: of the space.
        stride: samples a position on each axis.
        latent_dim: D.
        memory_format: in which its encoder is fastest.
        weights: of the terms of its distortion.
        loss_scale: of a quantizer's losses beside these.
        start_batches: from which the autoencoder starts.
        distortion: original and decoded samples to scalars by name.
    """

    axes: int
    stride: int
    latent_dim: int
    memory_format: torch.memory_format
    weights: Mapping[str, float]
    loss_scale: float
    start_batches: int
    distortion: nn.Module

    def transforms(self) -> tuple[nn.Module, nn.Module]:
        """An encoder `(B, C, *space)` to `(B, D, *grid)` and its decoder."""

    def start(self, encoder: nn.Module, decoder: nn.Module, batches: Sequence[Tensor]) -> None:
        """Set both to the principal components of batches of samples."""

    def batch(self, number: int, seed: int) -> Tensor:
        """Training samples, a function of number and seed alone."""

    def files(self, part: Part, multiple: int) -> Iterator[Tensor]:
        """Whole files as batches of one, cut so that each side of the grid is a multiple of so many positions."""

    def guide(self, samples: Tensor) -> Tensor:
        """What a router by content looks at: `(B, *space, 1)` in [-1, 1]."""

    def quality(self, pairs: Iterator[tuple[Tensor, Tensor]]) -> Quality:
        """Of pairs of original and decoded files."""
