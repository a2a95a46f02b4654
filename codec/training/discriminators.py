"""Networks that tell decoded samples from real ones, and the losses that a decoder learns from them; those of sound are apart.

Isola et al. 2017 (PatchGAN), arXiv:1611.07004; Miyato et al. 2018 (spectral normalisation), arXiv:1802.05957; Lim and Ye
2017 (hinge), arXiv:1705.02894; Esser et al. 2021 (VQGAN), arXiv:2012.09841; Larsen et al. 2016 (feature matching),
arXiv:1512.09300.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from codec.nn import channels_last
from codec.training.windows import same_window

SMALLEST_FEATURE = 1e-3  # mean magnitude of a layer's outputs below which their differences are not scaled up


@dataclass(frozen=True)
class Judgement:
    """What one network says of a batch; discriminators return a list of these.

    Attributes:
        logits: high where samples look real; the examples, or equally many parts of each, come first in order.
        features: outputs of the layers on the way, in the same order.
    """

    logits: Tensor
    features: tuple[Tensor, ...]

    def halves(self) -> tuple["Judgement", "Judgement"]:
        """Of a batch that was put together from two."""
        pairs = [feature.chunk(2) for feature in self.features]
        (one, two), (first, second) = self.logits.chunk(2), zip(*pairs, strict=True)
        return Judgement(one, first), Judgement(two, second)


def judge(network: nn.Module, samples: Tensor) -> Judgement:
    """The outputs of the last of a network's layers as logits, those of all activations as features."""
    features = []
    for layer in network.children():
        samples = layer(samples)
        if isinstance(layer, nn.LeakyReLU):
            features.append(samples)
    return Judgement(samples, tuple(features))


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

    def forward(self, pixels: Tensor) -> list[Judgement]:
        """`(B, 3, H, W)` in [0, 1] to one judgement with logits `(B, 1, h, w)`."""
        return [judge(self.layers, 2 * pixels - 1)]


class Adversarial(nn.Module):
    """A discriminator as a distortion, trained in the same step as the decoder that it judges.

    Terms: `adversarial`, minus the mean logit of decoded samples, through which no gradient reaches the discriminator; zero
    until `starts_at_step`. `discriminator`, the hinge loss, through which none reaches the decoder; weigh it 1. With `matching`
    also `feature_matching`, see there, for the decoder alone and zero as long. Where a discriminator is of several networks, each
    counts the same. Its weights are part of this module, so that a run's checkpoint holds them. The first and second
    gradients touch different weights, so one backward pass and one optimiser with a group for each are exactly the usual
    alternation of two, with both updates taken at the same point. The weight of `adversarial` is a constant: VQGAN's
    adaptive ratio of gradient norms costs a further backward pass, and a decoder that begins trained makes the ratio known.

    Args:
        discriminator: samples to judgements.
        starts_at_step: batches on which only the discriminator learns.
        side: of the window that it sees, in pixels, or samples of a sound.
        learning_rate: of the discriminator, at its peak; follows the schedule of the run.
        matching: compute `feature_matching`.
    """

    steps: Tensor  # () batches seen in training

    def __init__(
        self,
        discriminator: nn.Module,
        *,
        starts_at_step: int,
        side: int = 96,
        learning_rate: float = 5e-4,
        matching: bool = False,
    ) -> None:
        super().__init__()
        self.discriminator, self.starts_at_step, self.side = discriminator, starts_at_step, side
        self.learning_rate, self.matching = learning_rate, matching
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def parameter_group(self) -> dict[str, Any]:
        """The discriminator's weights with their own rate, and with little momentum as they follow a moving target."""
        return {"params": list(self.parameters()), "lr": self.learning_rate, "betas": (0.5, 0.9)}

    def forward(self, samples: Tensor, decoded: Tensor) -> dict[str, Tensor]:
        """`(B, C, *space)` each to scalars by name."""
        samples, decoded = same_window(samples, decoded, self.side)
        self.discriminator.requires_grad_(False)
        judged: list[Judgement] = self.discriminator(decoded)
        self.discriminator.requires_grad_(True)
        pairs = [both.halves() for both in self.discriminator(torch.cat([samples, decoded.detach()]))]
        begun = self.steps >= self.starts_at_step
        if self.training:
            self.steps += 1
        terms = {
            "adversarial": -_mean([fake.logits.float().mean() for fake in judged]) * begun,
            "discriminator": _mean([hinge(real.logits.float(), fake.logits.float()) for real, fake in pairs]),
        }
        if self.matching:
            terms["feature_matching"] = feature_matching([real for real, _ in pairs], judged) * begun
        return terms


def hinge(real: Tensor, fake: Tensor) -> Tensor:
    """1 for a discriminator that cannot tell; 0 once real logits are above 1 and fake ones below -1."""
    return (F.relu(1 - real).mean() + F.relu(1 + fake).mean()) / 2


def feature_matching(real: Sequence[Judgement], fake: Sequence[Judgement]) -> Tensor:
    """How unlike the features are of what is real and what is decoded, pair by pair: 0 where equal, about 1 where unrelated.

    Of each layer the mean absolute difference over the mean magnitude of the real ones, which learn nothing here; the mean over
    layers and networks.
    """
    pairs = [pair for one, two in zip(real, fake, strict=True) for pair in zip(one.features, two.features, strict=True)]
    differences = [
        (found.float() - target.detach().float()).abs().mean()
        / target.detach().float().abs().mean().clamp_min(SMALLEST_FEATURE)
        for target, found in pairs
    ]
    return _mean(differences)


def _mean(scalars: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(scalars)).mean()
