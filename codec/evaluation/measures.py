"""Which measures a report takes besides PSNR, with their networks loaded once."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from codec.errors import UsageError
from codec.evaluation.learned_perceptual import LPIPSDistance
from codec.evaluation.ms_ssim import SMALLEST_SIDE, ms_ssim
from codec.evaluation.perceptual import EfficientNetDistance

MEASURES = ("psnr", "ms_ssim", "effnet", "lpips")
"""By name, as the command line takes them."""


@dataclass(frozen=True)
class Measures:
    """What to measure on a pair of pictures; PSNR is always taken."""

    ms_ssim: bool = True
    effnet: EfficientNetDistance | None = None
    lpips: LPIPSDistance | None = None


USUAL_MEASURES = Measures()


def choose_measures(names: Sequence[str]) -> Measures:
    """The measures of some names.

    Raises:
        UsageError: an unknown name, or a network that is not at hand.
    """
    unknown = [name for name in names if name not in MEASURES]
    if unknown:
        raise UsageError(f"unknown metric {', '.join(unknown)}: choose from {', '.join(MEASURES)}")
    return Measures(
        ms_ssim="ms_ssim" in names,
        effnet=EfficientNetDistance() if "effnet" in names else None,
        lpips=LPIPSDistance() if "lpips" in names else None,
    )


def similarity(reference: Tensor, decoded: Tensor) -> float | None:
    """MS-SSIM of two pictures uint8 `(C, H, W)`; None where they are too small for it."""
    return ms_ssim(reference, decoded) if min(reference.shape[1:]) >= SMALLEST_SIDE else None


@torch.inference_mode()
def distance(network: EfficientNetDistance | LPIPSDistance | None, reference: Tensor, decoded: Tensor) -> float | None:
    """A network's distance of two pictures uint8 `(1 or 3, H, W)`; None without one, or where they are too small for it."""
    if network is None or min(reference.shape[1:]) < network.smallest_side:
        return None
    a, b = (picture.expand(3, -1, -1)[None].float() / 255 for picture in (reference, decoded))
    return float(network(a, b))
