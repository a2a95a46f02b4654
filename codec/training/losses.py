"""Loss terms by name, and the weighted sum that refuses a weight without a term or a term without a weight."""

from collections.abc import Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from codec.evaluation import ms_ssim_batch

FLAT = 1e-4  # mean squared error below which a crop counts as good enough: 40 dB


class Distortion(Protocol):
    """How far decoded samples are from the original, as unweighted scalars by name; classes inherit from `nn.Module`."""

    def __call__(self, samples: Tensor, decoded: Tensor) -> dict[str, Tensor]:
        """Pixels `(B, 3, H, W)` in [0, 1] each, or sounds `(B, C, T)` with full scale 1, to scalars by name."""


class Distortions(nn.Module):
    """Several distortions as one.

    Args:
        parts: by a name that configs can address; no two may have a term of one name.
    """

    def __init__(self, parts: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(dict(parts))

    def forward(self, samples: Tensor, decoded: Tensor) -> dict[str, Tensor]:
        """`(B, C, *space)` each to the terms of all parts."""
        terms: dict[str, Tensor] = {}
        for part in self.parts.values():
            found = part(samples, decoded)
            if terms.keys() & found.keys():
                raise ValueError(f"two distortions give the terms {sorted(terms.keys() & found.keys())}")
            terms |= found
        return terms


class Fidelity(nn.Module):
    """Distortion of pixels in [0, 1].

    Terms: `mse`; with `decibels` also `negative_psnr`, the mean over crops of 10 log10(mse), which weighs smooth
    pictures as an average of PSNRs does; with `structural` also `ms_ssim` (one minus it).

    Args:
        decibels: compute `negative_psnr`.
        structural: compute `ms_ssim`, which needs crops of at least 161 pixels.
    """

    def __init__(self, decibels: bool = False, structural: bool = False) -> None:
        super().__init__()
        self.decibels, self.structural = decibels, structural

    def forward(self, pixels: Tensor, decoded: Tensor) -> dict[str, Tensor]:
        """`(B, 3, H, W)` each to scalars by name."""
        errors = (decoded - pixels).square().mean((1, 2, 3))
        terms = {"mse": errors.mean()}
        if self.decibels:
            terms["negative_psnr"] = 10 * torch.log10(errors + FLAT).mean()
        if self.structural:
            terms["ms_ssim"] = 1 - ms_ssim_batch(pixels, decoded.clamp(0, 1), data_range=1.0).mean()
        return terms


class WeightedSum(nn.Module):
    """The training loss: each named term times its weight.

    Args:
        weights: by name; every term needs one and every one needs a term.
    """

    def __init__(self, weights: Mapping[str, float]) -> None:
        super().__init__()
        self.weights = dict(weights)

    def forward(self, terms: Mapping[str, Tensor]) -> Tensor:
        """Scalars by name to one scalar."""
        check_weights(self.weights, terms)
        return sum(
            (weight * terms[name] for name, weight in self.weights.items()), next(iter(terms.values())).new_zeros(())
        )


def check_weights(weights: Mapping[str, float], terms: Mapping[str, Tensor]) -> None:
    """Raise where a weight names no term, or a term has no weight."""
    unknown, unweighted = weights.keys() - terms.keys(), terms.keys() - weights.keys()
    if unknown or unweighted:
        raise ValueError(
            f"loss weights and terms disagree: weights without a term {sorted(unknown)}, terms without a weight {sorted(unweighted)}"
        )
