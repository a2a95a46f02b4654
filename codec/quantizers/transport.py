"""Optimal transport between vectors and codewords: a batch spreads over the codebook as a whole.

Cuturi 2013, "Sinkhorn Distances", arXiv:1306.0895. Both uses need the N x K costs of a training batch in memory, and one
more matrix of that size; eval needs neither.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from codec.quantizers.distances import Euclidean
from codec.quantizers.processes import gather_rows, sum_over_processes
from codec.quantizers.regularisers import Regulariser
from codec.quantizers.soft import FARTHEST

TINY = 1e-30
CACHED = 1 << 18  # entries of a block of rows: 1 MB


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
    kernel, base = _kernel(cost, lowest, temperature)
    return base + temperature * _scaling(kernel, shares, iterations).log()


def _kernel(cost: Tensor, lowest: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """exp((base + lowest - cost) / temperature) `(N, K)`, and the base of each code `(K,)` that gives each column an entry 1.

    Exponents end at -80: processors are slow with denormal floats.
    """
    kernel = lowest - cost
    base = gather_rows(-kernel.amax(0)[None]).amin(0)
    kernel += base
    return kernel.div_(temperature).clamp_min_(-FARTHEST).exp_(), base


def _scaling(kernel: Tensor, shares: Tensor, iterations: int) -> Tensor:
    """Factors of the columns `(K,)` by Sinkhorn's algorithm; rows go by in blocks that a cache holds."""
    vectors = sum_over_processes(kernel.new_tensor(float(len(kernel))))
    scale, blocks = torch.ones_like(shares), kernel.split(max(1, CACHED // max(1, kernel.shape[1])))
    for _ in range(iterations):
        columns = torch.zeros_like(shares)
        for block in blocks:
            rows = 1 / (vectors * torch.mv(block, scale).clamp_min(TINY))
            columns.addmv_(block.T, rows)
        scale = shares / sum_over_processes(columns).clamp_min(TINY)
    return scale


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
        weights = self.weights()
        log_weights = weights.clamp_min(TINY).log()
        value = _SemiDual.apply(-distance.logits(z, e), weights, self.temperature, self.iterations)
        return {
            "transport": value / z.shape[1],
            "weight_divergence": (weights * log_weights).sum() + math.log(len(e)),
        }


class _SemiDual(torch.autograd.Function):
    """Entropic transport cost: at the maximum the potentials count as constants, so that its gradient is the plan."""

    @staticmethod
    def forward(ctx: Any, cost: Tensor, weights: Tensor, share_of_mean: float, iterations: int) -> Tensor:
        lowest = cost.amin(1, keepdim=True)
        temperature = share_of_mean * float(_mean(cost.mean(1, keepdim=True) - lowest))
        kernel, base = _kernel(cost, lowest, temperature)
        scale = _scaling(kernel, weights, iterations)
        sums = torch.mv(kernel, scale)
        price = base / temperature + scale.log() - weights.clamp_min(TINY).log()
        ctx.save_for_backward(kernel, scale, sums, weights, price)
        ctx.temperature = temperature
        softest = (sums.clamp_min(TINY).log() - lowest[:, 0] / temperature).mean()
        return temperature * ((weights * price).sum() - softest)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        kernel, scale, sums, weights, price = ctx.saved_tensors
        plan = kernel.mul_(scale).mul_((1 / (len(kernel) * sums.clamp_min(TINY)))[:, None])  # sums to 1; used once
        of_weights = ctx.temperature * (price - plan.sum(0) / weights.clamp_min(TINY))
        return plan.mul_(gradient), gradient * of_weights, None, None


def _mean(values: Tensor) -> Tensor:
    """Over the entries of all processes."""
    total = sum_over_processes(torch.stack([values.sum(), values.new_tensor(float(values.numel()))]))
    return (total[0] / total[1]).clamp_min(TINY)


def _deviation(values: Tensor) -> Tensor:
    return (_mean(values.square()) - _mean(values).square()).clamp_min(1e-12).sqrt()
