"""How alike two sets are, by features of their members: Fréchet and kernel distance, precision and recall.

Heusel et al. 2017, arXiv:1706.08500 (FID); Bińkowski et al. 2018, arXiv:1801.01401 (KID); Kynkäänniemi et al. 2019, arXiv:1904.06991.
Numbers depend on the network that gave the features, which reports name, and those of the Fréchet distance on how many members there
are: only sets of one size may be compared.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Likeness:
    """Of what was made to what is real.

    Attributes:
        frechet: distance of two Gaussians with their means and covariances, squared.
        kernel: unbiased squared maximum mean discrepancy with a cubic kernel; about 0 for two draws of one set, also below.
        precision: share of what was made that lies where real ones are.
        recall: share of the real ones that lies where made ones are.
    """

    frechet: float
    kernel: float
    precision: float
    recall: float


def likeness(real: Tensor, made: Tensor, *, neighbours: int = 3) -> Likeness:
    """Features `(N, D)` of real ones and `(M, D)` of what was made, both more than `neighbours`."""
    if real.ndim != 2 or made.ndim != 2 or real.shape[1] != made.shape[1] or min(len(real), len(made)) <= neighbours:
        raise ValueError(
            f"expected features (N, D) and (M, D) of more than {neighbours} each, got {tuple(real.shape)} and {tuple(made.shape)}"
        )
    a, b = real.double(), made.double()
    return Likeness(
        frechet_distance(a, b),
        kernel_distance(a, b),
        covered(of=b, by=a, neighbours=neighbours),
        covered(of=a, by=b, neighbours=neighbours),
    )


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """|mean a - mean b|^2 + tr(A + B - 2 (A B)^1/2) of their covariances A and B."""
    means, covariances = (a.mean(0), b.mean(0)), (a.T.cov(), b.T.cov())
    root = _root(covariances[0])
    mixed = torch.linalg.eigvalsh(root @ covariances[1] @ root).clamp_min(0).sqrt().sum()
    traces = covariances[0].trace() + covariances[1].trace()
    return float((means[0] - means[1]).square().sum() + traces - 2 * mixed)


def kernel_distance(a: Tensor, b: Tensor) -> float:
    """Squared maximum mean discrepancy with the kernel (x.y / D + 1)^3, without bias."""

    def kernel(x: Tensor, y: Tensor) -> Tensor:
        return (x @ y.T / x.shape[1] + 1) ** 3

    def within(x: Tensor) -> Tensor:
        values = kernel(x, x)
        return (values.sum() - values.trace()) / (len(x) * (len(x) - 1))

    return float(within(a) + within(b) - 2 * kernel(a, b).mean())


def covered(*, of: Tensor, by: Tensor, neighbours: int) -> float:
    """Share of points no farther from some point of the other set than its own few nearest neighbours are."""
    radii = torch.cdist(by, by).kthvalue(neighbours + 1, 1).values
    return float((torch.cdist(of, by) <= radii).any(1).double().mean())


def _root(matrix: Tensor) -> Tensor:
    """Of a positive semi-definite matrix."""
    values, vectors = torch.linalg.eigh(matrix)
    return (vectors * values.clamp_min(0).sqrt()) @ vectors.T
