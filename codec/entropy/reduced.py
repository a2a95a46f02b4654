"""A codebook cut down to fewer codes: several rates from one model.

Mao et al. 2023, "Extreme Image Compression using Fine-tuned VQGANs", arXiv:2307.08265: the codebook of a trained model is clustered by
k-means. Each cluster is written by its number and read as the code that stands for it, so that all else stays as it is.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from codec.entropy.static import StaticTokenPrior


class ReducedPrior(StaticTokenPrior):
    """Order-0 tables of the clusters of one plane's codes.

    Args:
        codebook_size: K.
        size: clusters.
    """

    members: Tensor  # int32 (K,), the cluster of each code
    representatives: Tensor  # int32 (size,), the code that stands for each cluster

    def __init__(self, codebook_size: int, size: int) -> None:
        if not 1 <= size < codebook_size:
            raise ValueError(f"{codebook_size} codes cannot be cut down to {size}")
        super().__init__([size])
        self.codebook_size, self.size = codebook_size, size
        self.register_buffer("members", torch.arange(codebook_size, dtype=torch.int32) % size)
        self.register_buffer("representatives", torch.arange(size, dtype=torch.int32))

    @property
    def name(self) -> str:
        """By which the model knows it."""
        return f"reduced-{self.size}"

    @torch.no_grad()
    def cluster(self, vectors: Tensor, counts: Tensor, *, iterations: int = 30) -> None:
        """Clusters by k-means of what the codes mean.

        Args:
            vectors: `(K, D)`.
            counts: hits `(K,)`, the weights of the codes.
            iterations: of Lloyd's algorithm.
        """
        points, weights = vectors.double().cpu(), counts.double().cpu() + 1e-9
        centroids = points[_spread_out(points, weights, self.size)]
        for _ in range(iterations):
            members = torch.cdist(points, centroids).argmin(1)
            centroids = _means(points, weights, members, centroids)
        members = torch.cdist(points, centroids).argmin(1)
        chosen = torch.cdist(centroids, points).argmin(1)
        members[chosen] = torch.arange(self.size)  # a cluster without codes takes its representative over
        self.members.copy_(members)
        self.representatives.copy_(chosen)
        self.fit([torch.zeros(self.size, dtype=torch.double).index_add_(0, members, counts.double().cpu())])

    def reduce(self, codes: Tensor) -> Tensor:
        """int64 codes of any shape to clusters."""
        return self.members.to(codes.device)[codes].long()

    def restore(self, clusters: Tensor) -> Tensor:
        """The way back, to the codes that stand for them."""
        return self.representatives.to(clusters.device)[clusters].long()


def _spread_out(points: Tensor, weights: Tensor, count: int) -> Tensor:
    """Indices of points to begin with: each next one where weight times squared distance from all before is largest."""
    chosen = [int(weights.argmax())]
    distances = (points - points[chosen[0]]).square().sum(1)
    for _ in range(count - 1):
        chosen.append(int((weights * distances).argmax()))
        distances = distances.minimum((points - points[chosen[-1]]).square().sum(1))
    return torch.tensor(chosen)


def _means(points: Tensor, weights: Tensor, members: Tensor, before: Tensor) -> Tensor:
    """Of each cluster; one without points stays where it is."""
    mass = torch.zeros(len(before), dtype=points.dtype).index_add_(0, members, weights)
    sums = torch.zeros_like(before).index_add_(0, members, weights[:, None] * points)
    return torch.where(mass[:, None] > 0, sums / mass[:, None].clamp_min(1e-30), before)


def by_quality(reduced: Sequence[ReducedPrior], quality: int) -> ReducedPrior | None:
    """Of a model with n reductions: qualities 1 to 100 in n + 1 equal parts, the fewest clusters first; None for all codes."""
    ordered = sorted(reduced, key=lambda prior: prior.size)
    part = (quality - 1) * (len(ordered) + 1) // 100
    return ordered[part] if part < len(ordered) else None
