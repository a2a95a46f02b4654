"""Data for quantizer tests, and how well a quantizer fits it."""

from collections.abc import Callable

import torch
from torch import Tensor

from codec.quantizers import VectorQuantizer, kmeans, nearest

Source = Callable[[int, torch.Generator], Tensor]


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def clusters(centres: Tensor, spread: float = 0.1, chances: Tensor | None = None) -> Source:
    """Round clusters, drawn with `chances`, evenly unless given."""
    weights = torch.ones(len(centres)) if chances is None else chances

    def draw(count: int, generator: torch.Generator) -> Tensor:
        chosen = torch.multinomial(weights, count, replacement=True, generator=generator)
        return centres[chosen] + spread * torch.randn(count, centres.shape[1], generator=generator)

    return draw


def heavy_tailed(dim: int = 8) -> Source:
    """Correlated channels with more small and large vectors than a Gaussian has, like latents of pictures."""
    mixing = torch.randn(dim, dim, generator=seeded(5))

    def draw(count: int, generator: torch.Generator) -> Tensor:
        scale = torch.randn(count, 1, generator=generator).abs()
        return scale * torch.randn(count, dim, generator=generator) @ mixing

    return draw


def follow(vq: VectorQuantizer, source: Source, shift: Tensor, *, steps: int = 150, rate: float = 1e-2) -> None:
    """Train the codebook alone on a source that moves by `shift` in the first half; in the second the rate falls linearly to 1 %."""
    draws, parameters = seeded(1), list(vq.parameters())
    optimizer = torch.optim.Adam(parameters, rate)
    decay = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, max(0.01, 2 - 2 * step / steps)))
    vq.start(source(4096, draws))
    vq.train()
    for step in range(steps):
        losses = vq(source(1024, draws) + shift * min(1.0, 2 * step / steps)).losses
        optimizer.zero_grad()
        losses["codebook"].backward()
        optimizer.step()
        decay.step()
    vq.eval()


def fit(vq: VectorQuantizer, z: Tensor) -> tuple[float, float]:
    """Share of codes in use and mean squared error on `(N, D)` vectors."""
    with torch.no_grad():
        out = vq(z)
    return len(out.codes.unique()) / vq.codebook_sizes[0], float((out.vectors - z).square().mean())


def best_error(z: Tensor, codebook_size: int) -> float:
    """Mean squared error of k-means on the same vectors."""
    centroids = kmeans(z, codebook_size, iterations=20, generator=seeded(0))
    return float((z - centroids[nearest(z, centroids)]).square().mean())
