"""The affine map that gives one set of points the mean and the covariance of another."""

import torch
from torch import Tensor


@torch.no_grad()
def match_moments(points: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """`(D, F)` and `(D,)`: what turns `(K, F)` points, F at least D, into points with the moments of the target `(N, D)`.

    Of wide points the D principal axes are kept. Directions in which the points do not vary stay nearly empty.
    """
    dim = target.shape[1]
    if len(target) == 0:
        raise ValueError("matching moments needs at least one vector, got none")
    if points.shape[1] < dim:
        raise ValueError(f"points need at least the {dim} dimensions of their target, got {points.shape[1]}")
    variances, axes = torch.linalg.eigh(_covariance(points))
    variances, axes = variances[-dim:], axes[:, -dim:]
    whiten = axes * variances.clamp_min(1e-6 * float(variances[-1]) + 1e-12).rsqrt()
    target_variances, target_axes = torch.linalg.eigh(_covariance(target))
    colour = (target_axes * target_variances.clamp_min(0).sqrt()) @ target_axes.T
    turn = (colour @ whiten.T).float()
    return turn, target.mean(0) - turn @ points.mean(0)


def _covariance(points: Tensor) -> Tensor:
    centred = (points - points.mean(0)).double()
    return centred.T @ centred / len(points)
