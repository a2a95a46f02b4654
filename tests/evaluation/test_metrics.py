"""PSNR and MS-SSIM against closed forms and a slow independent implementation."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.ndimage import correlate1d
from torch import Tensor

from codec.evaluation import ms_ssim, ms_ssim_batch, psnr
from tests.conftest import synthetic_picture


def noisy(picture: Tensor, deviation: float, seed: int = 1) -> Tensor:
    noise = torch.randn(picture.shape, generator=torch.Generator().manual_seed(seed)) * deviation
    return (picture + noise).round().clamp(0, 255).byte()


@pytest.mark.parametrize("difference", [1, 5, 255])
def test_psnr_of_a_constant_difference(difference: int) -> None:
    black = torch.zeros(3, 4, 5, dtype=torch.uint8)
    assert psnr(black, black + difference) == pytest.approx(20 * math.log10(255 / difference), abs=1e-9)


def test_psnr_averages_over_channels() -> None:
    black, other = torch.zeros(2, 3, 1, 1, dtype=torch.uint8)
    other[1] = 30
    assert psnr(black, other) == pytest.approx(10 * math.log10(255**2 / 300))


def test_psnr_of_equal_pictures_is_infinite() -> None:
    assert psnr(synthetic_picture(3, 3), synthetic_picture(3, 3)) == math.inf


@pytest.mark.parametrize("metric", [psnr, ms_ssim])
def test_unlike_pictures_raise(metric: Callable[[Tensor, Tensor], float]) -> None:
    picture = synthetic_picture(170, 170)
    with pytest.raises(ValueError, match="agree in shape"):
        metric(picture, picture[:1])
    with pytest.raises(ValueError, match="uint8"):
        metric(picture, picture.float())
    with pytest.raises(ValueError, match="at least one pixel"):
        metric(picture[:, :0], picture[:, :0])


def slow_ms_ssim(reference: NDArray[np.float64], decoded: NDArray[np.float64]) -> float:
    """One channel `(H, W)` by the formulas of the paper, with scipy's filters cut to the valid part."""
    offsets = np.arange(11) - 5
    window = np.exp(-(offsets**2) / 4.5) / np.exp(-(offsets**2) / 4.5).sum()

    def local_mean(picture: NDArray[np.float64]) -> NDArray[np.float64]:
        return correlate1d(correlate1d(picture, window, 0), window, 1)[5:-5, 5:-5]

    def halved(picture: NDArray[np.float64]) -> NDArray[np.float64]:
        picture = np.pad(picture, [(side % 2, side % 2) for side in picture.shape])
        rows, columns = picture.shape[0] // 2, picture.shape[1] // 2
        return picture[: 2 * rows, : 2 * columns].reshape(rows, 2, columns, 2).mean((1, 3))

    result = 1.0
    for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333)):
        if scale:
            reference, decoded = halved(reference), halved(decoded)
        mean_r, mean_d = local_mean(reference), local_mean(decoded)
        covariance = local_mean(reference * decoded) - mean_r * mean_d
        variances = local_mean(reference**2) - mean_r**2 + local_mean(decoded**2) - mean_d**2
        similarity = (2 * covariance + 7.65**2) / (variances + 7.65**2)
        if scale == 4:
            similarity *= (2 * mean_r * mean_d + 2.55**2) / (mean_r**2 + mean_d**2 + 2.55**2)
        result *= similarity.mean() ** weight
    return result


@pytest.mark.parametrize("size", [(161, 161), (176, 200), (203, 181)])
def test_ms_ssim_equals_the_slow_one(size: tuple[int, int]) -> None:
    reference = synthetic_picture(*size)
    decoded = noisy(reference, 25)
    slow = np.mean(
        [slow_ms_ssim(r, d) for r, d in zip(reference.double().numpy(), decoded.double().numpy(), strict=True)]
    )
    assert 0.5 < slow < 0.99
    assert ms_ssim(reference, decoded) == pytest.approx(slow, abs=1e-5)


def test_ms_ssim_is_one_on_itself_symmetric_and_falls_with_noise() -> None:
    picture = synthetic_picture(170, 163)
    values = [ms_ssim(picture, noisy(picture, deviation)) for deviation in (0, 10, 40)]
    assert values[0] == 1.0
    assert values == sorted(values, reverse=True)
    assert len(set(values)) == 3
    assert ms_ssim(noisy(picture, 40), picture) == pytest.approx(values[2], abs=1e-6)


def test_ms_ssim_of_grey_is_that_of_the_channel_repeated() -> None:
    grey = synthetic_picture(165, 165)[:1]
    other = noisy(grey, 9)
    assert ms_ssim(grey, other) == pytest.approx(ms_ssim(grey.repeat(3, 1, 1), other.repeat(3, 1, 1)), abs=1e-6)


def test_small_pictures_raise() -> None:
    with pytest.raises(ValueError, match="at least 161 pixels, got 160x300"):
        ms_ssim(synthetic_picture(160, 300), synthetic_picture(160, 300))
    with pytest.raises(ValueError, match="floating"):
        ms_ssim_batch(torch.zeros(1, 1, 170, 170).long(), torch.zeros(1, 1, 170, 170).long(), 255)


def test_batch_is_the_metric_for_each_picture_whatever_the_range() -> None:
    pictures = torch.stack([synthetic_picture(161, 180, seed) for seed in range(2)])
    decoded = torch.stack([noisy(picture, 10 * seed + 5) for seed, picture in enumerate(pictures)])
    batch = ms_ssim_batch(pictures / 255, decoded / 255, data_range=1.0)
    single = [ms_ssim(p, d) for p, d in zip(pictures, decoded, strict=True)]
    torch.testing.assert_close(batch, torch.tensor(single), atol=1e-5, rtol=0)


def test_a_step_along_the_gradient_helps() -> None:
    picture = synthetic_picture(161, 161)[None] / 255
    decoded = (picture + 0.1 * torch.randn_like(picture)).requires_grad_()
    before = ms_ssim_batch(picture, decoded, 1.0)
    (gradient,) = torch.autograd.grad(before.sum(), decoded)
    after = ms_ssim_batch(picture, decoded.detach() + 0.5 * gradient / gradient.norm(), 1.0)
    assert float(after) > float(before.detach()) + 1e-3


def test_gradients_are_those_of_finite_differences() -> None:
    pictures = torch.stack([synthetic_picture(161, 170, seed) for seed in range(2)]).double() / 255
    decoded = torch.stack([noisy(picture, 10) for picture in 255 * pictures]).double() / 255
    way = torch.randn(decoded.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    (gradient,) = torch.autograd.grad(ms_ssim_batch(pictures, decoded.requires_grad_(), 1.0).sum(), decoded)
    there, back = (ms_ssim_batch(pictures, decoded.detach() + step * way, 1.0).sum() for step in (1e-5, -1e-5))
    torch.testing.assert_close((gradient * way).sum(), (there - back) / 2e-5, rtol=1e-4, atol=0)


def test_negative_structure_is_zero_with_finite_gradients() -> None:
    picture = synthetic_picture(161, 161)[None] / 255
    inverted = (1 - picture).requires_grad_()
    value = ms_ssim_batch(picture, inverted, 1.0)
    (gradient,) = torch.autograd.grad(value.sum(), inverted)
    assert float(value.detach()) == 0
    assert bool(gradient.isfinite().all())


def test_not_a_number_is_not_hidden() -> None:
    picture = synthetic_picture(161, 161)[None] / 255
    assert bool(ms_ssim_batch(picture, picture * math.nan, 1.0).isnan().all())


def test_half_precision_and_autocast_compute_in_single() -> None:
    picture = (synthetic_picture(161, 161)[None] / 255).bfloat16()
    other = (picture.float() + 0.05 * torch.randn(picture.shape)).bfloat16()
    expected = ms_ssim_batch(picture.float(), other.float(), 1.0)
    assert torch.equal(ms_ssim_batch(picture, other, 1.0), expected)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(ms_ssim_batch(picture.float(), other.float(), 1.0), expected)
