"""Peak signal-to-noise ratio."""

import math

import torch
from torch import Tensor


def psnr(reference: Tensor, decoded: Tensor) -> float:
    """`10 log10(255^2 / MSE)` in dB, the squared error averaged over all channels and pixels; `inf` where they are equal.

    Both are uint8 `(C, H, W)`.
    """
    check_pictures(reference, decoded)
    mean_squared_error = float((reference.double() - decoded.double()).square().mean())
    return 10 * math.log10(255**2 / mean_squared_error) if mean_squared_error else math.inf


def check_pictures(reference: Tensor, decoded: Tensor) -> None:
    """Raise `ValueError` unless both are uint8 `(C, H, W)` of one shape with at least one pixel."""
    if reference.shape != decoded.shape:
        raise ValueError(f"pictures must agree in shape, got {tuple(reference.shape)} and {tuple(decoded.shape)}")
    if reference.dtype != torch.uint8 or decoded.dtype != torch.uint8:
        raise ValueError(f"pictures must be uint8, got {reference.dtype} and {decoded.dtype}")
    if reference.ndim != 3 or not reference.numel():
        raise ValueError(f"a picture is (C, H, W) with at least one pixel, got {tuple(reference.shape)}")
