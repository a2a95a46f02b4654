"""Networks that tell decoded pictures from real ones, and the loss that a decoder learns from them.

Isola et al. 2017 (PatchGAN), arXiv:1611.07004; Miyato et al. 2018 (spectral normalisation), arXiv:1802.05957; Lim and Ye
2017 (hinge), arXiv:1705.02894; Esser et al. 2021 (VQGAN), arXiv:2012.09841.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from codec.nn import channels_last
from codec.training.windows import same_window


class PatchDiscriminator(nn.Module):
    """One logit for every patch of a picture, high where it looks real.

    Strided 4x4 convolutions and a last one without stride: three widths see patches of 46 pixels, one logit each 8 pixels.

    Args:
        widths: channels of the strided convolutions.
    """

    def __init__(self, widths: Sequence[int] = (48, 96, 192)) -> None:
        super().__init__()
        channels = (3, *widths)
        layers: list[nn.Module] = []
        for before, after in pairwise(channels):
            layers += [spectral_norm(nn.Conv2d(before, after, 4, stride=2, padding=1)), nn.LeakyReLU(0.2)]
        layers.append(spectral_norm(nn.Conv2d(channels[-1], 1, 4, padding=1)))
        self.layers = channels_last(nn.Sequential(*layers))

    def forward(self, pixels: Tensor) -> Tensor:
        """`(B, 3, H, W)` in [0, 1] to logits `(B, 1, h, w)`."""
        return self.layers(2 * pixels - 1)


class Adversarial(nn.Module):
    """A discriminator as a distortion, trained in the same step as the decoder that it judges.

    Terms: `adversarial`, minus the mean logit of decoded pictures, through which no gradient reaches the discriminator; zero
    until `starts_at_step`. `discriminator`, the hinge loss, through which none reaches the decoder; weigh it 1. The two
    gradients touch different weights, so one backward pass and one optimiser with a group for each are exactly the usual
    alternation of two, with both updates taken at the same point. The weight of `adversarial` is a constant: VQGAN's
    adaptive ratio of gradient norms costs a further backward pass, and a decoder that begins trained makes the ratio known.

    Args:
        discriminator: pixels to logits.
        starts_at_step: batches on which only the discriminator learns.
        side: of the window that it sees, in pixels.
        learning_rate: of the discriminator, at its peak; follows the schedule of the run.
    """

    steps: Tensor  # () batches seen in training

    def __init__(
        self,
        discriminator: nn.Module,
        *,
        starts_at_step: int,
        side: int = 96,
        learning_rate: float = 5e-4,
    ) -> None:
        super().__init__()
        self.discriminator, self.starts_at_step, self.side = discriminator, starts_at_step, side
        self.learning_rate = learning_rate
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def parameter_group(self) -> dict[str, Any]:
        """The discriminator's weights with their own rate, and with little momentum as they follow a moving target."""
        return {"params": list(self.parameters()), "lr": self.learning_rate, "betas": (0.5, 0.9)}

    def forward(self, pixels: Tensor, decoded: Tensor) -> dict[str, Tensor]:
        """`(B, 3, H, W)` each to scalars by name."""
        pixels, decoded = same_window(pixels, decoded, self.side)
        self.discriminator.requires_grad_(False)
        judged = self.discriminator(decoded).float()
        self.discriminator.requires_grad_(True)
        real, fake = self.discriminator(torch.cat([pixels, decoded.detach()])).float().chunk(2)
        begun = self.steps >= self.starts_at_step
        if self.training:
            self.steps += 1
        return {"adversarial": -judged.mean() * begun, "discriminator": hinge(real, fake)}


def hinge(real: Tensor, fake: Tensor) -> Tensor:
    """1 for a discriminator that cannot tell; 0 once real logits are above 1 and fake ones below -1."""
    return (F.relu(1 - real).mean() + F.relu(1 + fake).mean()) / 2
