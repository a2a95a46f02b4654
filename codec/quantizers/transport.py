"""Optimal transport between vectors and codewords: a batch spreads over the codebook as a whole.

Cuturi 2013, "Sinkhorn Distances", arXiv:1306.0895. Both uses need the N x K costs of a training batch in memory, and one
more matrix of that size; eval needs neither.
"""

import math

import torch
from torch import Tensor, nn

from codec.quantizers.distances import Euclidean
from codec.quantizers.processes import gather_rows, sum_over_processes
from codec.quantizers.regularisers import Regulariser

TINY = 1e-30


@torch.no_grad()
def potentials(cost: Tensor, shares: Tensor, temperature: float, iterations: int) -> Tensor:
    """What each code is to be favoured by, `(K,)`, so that codes receive their shares of the vectors of all processes.

    The plan gives vector i to the codes by `softmax((potentials - cost[i]) / temperature)`. The kernel is scaled so that
    every row and column has an entry 1 and none is larger, which float32 survives.

    Args:
        cost: `(N, K)`.
        shares: `(K,)`, sum 1, each positive.
        temperature: in units of cost.
        iterations: of Sinkhorn's algorithm.
    """
    lowest = cost.amin(1, keepdim=True)
    base = gather_rows((cost - lowest).amin(0)[None]).amin(0)
    kernel = torch.exp((lowest + base - cost) / temperature)
    vectors = sum_over_processes(cost.new_tensor(float(len(cost))))
    scale = torch.ones_like(shares)
    for _ in range(iterations):
        rows = 1 / (vectors * (kernel @ scale).clamp_min(TINY))
        scale = shares / sum_over_processes(kernel.T @ rows).clamp_min(TINY)
    return base + temperature * scale.log()


class Transport(Euclidean):
    """Training batches choose by a balanced transport plan instead of each vector for itself; eval takes the nearest.

    Zhang et al. 2024, "Preventing Local Pitfalls in Vector Quantization via Optimal Transport" (OptVQ), arXiv:2412.15195.
    The plan is over the vectors of all processes; a batch should hold several vectors per code, or the equal shares force
    wrong codes. Costs are distances (not squared), less their mean, over their deviation.

    Args:
        distance: its logits must be negative squared distances.
        sharpness: inverse temperature of the plan.
        iterations: of Sinkhorn's algorithm.
    """

    def __init__(self, distance: Euclidean | None = None, sharpness: float = 10.0, iterations: int = 5) -> None:
        super().__init__()
        self.distance = distance if distance is not None else Euclidean()
        self.codebook_size = self.distance.codebook_size
        self.sharpness, self.iterations = sharpness, iterations

    def place(self, vectors: Tensor) -> Tensor:
        """As the distance inside."""
        return self.distance.place(vectors)

    def nearest(self, z: Tensor, e: Tensor) -> Tensor:
        """As the distance inside."""
        return self.distance.nearest(z, e)

    def logits(self, z: Tensor, e: Tensor) -> Tensor:
        """As the distance inside."""
        return self.distance.logits(z, e)

    def observe(self, counts: Tensor) -> None:
        """As the distance inside."""
        self.distance.observe(counts)

    @torch.no_grad()
    def assign(self, z: Tensor, e: Tensor) -> Tensor:
        """The code with the largest part of the plan for each vector."""
        cost = self.logits(z, e).neg_().clamp_min_(0).sqrt_()
        cost /= _deviation(cost)
        shares = torch.full((len(e),), 1 / len(e), device=e.device)
        return (cost - potentials(cost, shares, 1 / self.sharpness, self.iterations)).argmin(1)


class Wasserstein(Regulariser):
    """Transport cost between a batch and a codebook whose codes have learned weights: a loss in place of commitment.

    Vuong et al. 2023, "Vector Quantized Wasserstein Auto-Encoder", arXiv:2302.05917. Terms: `transport`, the entropic
    semi-dual value per element, with gradient to vectors, codewords and weights; `weight_divergence`, the divergence of the
    weights from equal ones, in nats. The paper climbs to the potentials with two small networks; here Sinkhorn's algorithm
    finds the same maximum.

    Args:
        codebook_size: K.
        temperature: in units of the mean cost above that of each vector's nearest codeword.
        iterations: of Sinkhorn's algorithm.
    """

    def __init__(self, codebook_size: int, temperature: float = 0.05, iterations: int = 20) -> None:
        super().__init__()
        self.codebook_size = codebook_size
        self.temperature, self.iterations = temperature, iterations
        self.log_weights = nn.Parameter(torch.zeros(codebook_size))

    def weights(self) -> Tensor:
        """`(K,)` learned shares of the codes, sum 1."""
        return self.log_weights.softmax(0)

    def forward(self, z: Tensor, e: Tensor, distance: Euclidean) -> dict[str, Tensor]:
        """`(N, D)` placed vectors and `(K, D)` placed codewords to loss terms."""
        cost, weights = -distance.logits(z, e), self.weights()
        log_weights = weights.clamp_min(TINY).log()
        fixed = cost.detach()
        temperature = self.temperature * float(_mean(fixed - fixed.amin(1, keepdim=True)))
        favour = potentials(fixed, weights.detach(), temperature, self.iterations) / temperature
        price = favour - log_weights.detach()
        softest = torch.logsumexp(log_weights + price - cost / temperature, dim=1).mean()
        value = temperature * ((weights * price).sum() - softest)
        return {
            "transport": value / z.shape[1],
            "weight_divergence": (weights * log_weights).sum() + math.log(len(e)),
        }


def _mean(values: Tensor) -> Tensor:
    """Over the entries of all processes."""
    total = sum_over_processes(torch.stack([values.sum(), values.new_tensor(float(values.numel()))]))
    return (total[0] / total[1]).clamp_min(TINY)


def _deviation(values: Tensor) -> Tensor:
    return (_mean(values.square()) - _mean(values).square()).clamp_min(1e-12).sqrt()
