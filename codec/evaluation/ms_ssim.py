"""Multi-scale structural similarity, as published codecs report it.

Wang, Simoncelli and Bovik 2003, "Multi-scale structural similarity for image quality assessment", Asilomar; in every
choice that the paper leaves open (channels, borders, pooling of odd sizes, negative contrasts) as the package
pytorch-msssim.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from codec.evaluation.psnr import check_pictures

WINDOW_SIZE, SIGMA = 11, 1.5
K1, K2 = 0.01, 0.03
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)  # finest first
AT_ONCE = 1 << 17  # pixels
SMALLEST_SIDE = (WINDOW_SIZE - 1) * 2 ** (len(SCALE_WEIGHTS) - 1) + 1  # the coarsest scale still holds one window

_BELL = [math.exp(-((i - WINDOW_SIZE // 2) ** 2) / (2 * SIGMA**2)) for i in range(WINDOW_SIZE)]
WINDOW = tuple(height / sum(_BELL) for height in _BELL)


def ms_ssim(reference: Tensor, decoded: Tensor) -> float:
    """Similarity of two pictures uint8 `(C, H, W)`, linear, 1.0 where equal: the mean of the channels' values.

    Raises:
        ValueError: another dtype or shape, or a side below 161 pixels.
    """
    check_pictures(reference, decoded)
    return float(ms_ssim_batch(reference[None].float(), decoded[None].float(), data_range=255.0))


def ms_ssim_batch(x: Tensor, y: Tensor, data_range: float) -> Tensor:
    """The same for float `(B, C, H, W)` that span `data_range`, differentiable: `(B,)` in [0, 1].

    Half precision is computed in float32. A channel whose contrast or structure is negative at some scale has the
    value 0 and no gradient.
    """
    _check_batch(x, y)
    if x.dtype in (torch.float16, torch.bfloat16):
        x, y = x.float(), y.float()
    similarity = x.new_ones(x.shape[:2])
    for scale, weight in enumerate(SCALE_WEIGHTS):
        if scale:
            x, y = _halve(x), _halve(y)
        whole, contrast = _compare(x, y, data_range)
        similarity = similarity * _power(whole if scale == len(SCALE_WEIGHTS) - 1 else contrast, weight)
    return similarity.mean(1)


def _check_batch(x: Tensor, y: Tensor) -> None:
    if x.shape != y.shape or x.ndim != 4:
        raise ValueError(f"MS-SSIM needs two (B, C, H, W) of one shape, got {tuple(x.shape)} and {tuple(y.shape)}")
    if x.dtype != y.dtype or not x.is_floating_point():
        raise ValueError(f"MS-SSIM needs one floating dtype, got {x.dtype} and {y.dtype}")
    if min(x.shape[2:]) < SMALLEST_SIDE:
        raise ValueError(f"MS-SSIM needs sides of at least {SMALLEST_SIDE} pixels, got {x.shape[2]}x{x.shape[3]}")


def _compare(x: Tensor, y: Tensor, data_range: float) -> tuple[Tensor, Tensor]:
    """`(B, C, H, W)` to the means of SSIM and of its contrast-structure factor, `(B, C)` each."""
    c1, c2 = (K1 * data_range) ** 2, (K2 * data_range) ** 2
    mean_x, mean_y, mean_xx, mean_yy, mean_xy = _blur(torch.stack([x, y, x * x, y * y, x * y]))
    variances = mean_xx - mean_x.square() + mean_yy - mean_y.square()
    contrast = (2 * (mean_xy - mean_x * mean_y) + c2) / (variances + c2)
    luminance = (2 * mean_x * mean_y + c1) / (mean_x.square() + mean_y.square() + c1)
    return (luminance * contrast).mean((2, 3)), contrast.mean((2, 3))


def _blur(maps: Tensor) -> Tensor:
    """Gaussian window over the last two axes, without padding."""
    blurred: Tensor = _Blur.apply(_Blur.apply(maps, -1), -2)
    return blurred


class _Blur(torch.autograd.Function):
    """The window along one axis, as sums of shifted maps.

    Faster on a CPU than a convolution of one channel, and exact to float32 where a convolution may run in TF32 or bfloat16,
    which destroys the small differences that variances are. The gradient is the same sums of the padded one, as the window is
    symmetric; what autograd makes of the slices fills a map with zeros for each of them.
    """

    @staticmethod
    def forward(ctx: Any, maps: Tensor, axis: int) -> Tensor:
        ctx.axis = axis
        return _shifted_sums(maps, axis)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        around = [WINDOW_SIZE - 1] * 2
        padded = F.pad(grads[0], around if ctx.axis == -1 else [0, 0, *around])
        return _shifted_sums(padded, ctx.axis), None


def _shifted_sums(maps: Tensor, axis: int) -> Tensor:
    """Of a few maps at a time, which stay in a processor's cache."""
    shape = [*maps.shape]
    shape[axis] -= WINDOW_SIZE - 1
    totals, flat = maps.new_empty(shape), maps.flatten(0, -3)
    few = max(1, AT_ONCE // flat[0].numel()) if maps.device.type == "cpu" else len(flat)
    for total, part in zip(totals.view(-1, *shape[-2:]).split(few), flat.split(few), strict=True):
        torch.mul(part.narrow(axis, 0, shape[axis]), WINDOW[0], out=total)
        for offset in range(1, WINDOW_SIZE):
            total.add_(part.narrow(axis, offset, shape[axis]), alpha=WINDOW[offset])
    return totals


def _halve(x: Tensor) -> Tensor:
    """2x2 means; an odd axis gets a row of zeros at its start, which counts."""
    return F.avg_pool2d(x, kernel_size=2, padding=(x.shape[2] % 2, x.shape[3] % 2))


def _power(base: Tensor, exponent: float) -> Tensor:
    """`max(base, 0) ** exponent` with a gradient of 0 where the base is not positive; a NaN stays one."""
    return torch.where(base <= 0, torch.zeros_like(base), base.clamp(min=1e-12) ** exponent)
