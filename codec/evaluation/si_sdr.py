"""Signal-to-distortion ratio that does not see the volume.

Le Roux et al. 2019, "SDR - half-baked or well done?", arXiv:1811.02508.
"""

import torch
from torch import Tensor

SMALLEST = torch.finfo(torch.float64).tiny


def si_sdr(reference: Tensor, decoded: Tensor) -> float:
    """Energy of the decoded sound along the reference over that of the rest, in dB, from float `(T,)` each.

    Means are taken off first. High where the waveform is right up to a factor; blind to what the ear forgives, as phases.
    """
    if reference.shape != decoded.shape or reference.ndim != 1 or not len(reference):
        raise ValueError(
            f"expected two sounds (T,) of one length, got {tuple(reference.shape)} and {tuple(decoded.shape)}"
        )
    target, found = (waveform.double() - waveform.double().mean() for waveform in (reference, decoded))
    along = (found @ target) / (target @ target).clamp_min(SMALLEST) * target
    rest = found - along
    return float(10 * torch.log10((along @ along).clamp_min(SMALLEST) / (rest @ rest).clamp_min(SMALLEST)))
