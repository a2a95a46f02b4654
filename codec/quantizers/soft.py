"""Estimators that look at all codewords: the choice is hard, its gradient that of a softmax over the whole codebook.

With `h` the one-hot choice and `p` the softmax, `w = p + sg(h - p)` chooses like `h` and learns like `p`: every codeword
learns from every vector. Logits and softmax exist only in blocks, and only in the backward pass.
"""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from codec.quantizers.distances import Euclidean
from codec.quantizers.estimators import Estimator
from codec.quantizers.processes import process_number

SCORES = 1 << 20  # entries of one block of logits: 4 MB
FARTHEST = 80.0  # nats below the largest logit that still count: e^-80 is a normal float

Logits = Callable[[int, Tensor, Tensor], Tensor]  # first row, its block (n, D), codewords (K, D) -> (n, K)


class IndexBackpropagation(Estimator):
    """The softmax of the logits learns for the one-hot code (IBQ): the gradient reaches every codeword.

    Shi et al. 2024, "Scalable Image Tokenization with Index Backpropagation Quantization", arXiv:2412.02692; the paper's
    logits are `DotProduct`. Its loss `double`, the squared distance of z from the codeword through the soft path, keeps
    that path near the hard one.
    """

    def cross(self, z: Tensor, q: Tensor, e: Tensor, distance: Euclidean) -> Tensor:
        """`q`; its gradient goes to the chosen rows, and through the softmax to `z` and all of `e`."""

        def logits(_first: int, block: Tensor, codewords: Tensor) -> Tensor:
            return distance.logits(block, codewords)

        return q + soft_gradient(logits, z, e, distance)

    def losses(self, z: Tensor, vectors: Tensor) -> dict[str, Tensor]:
        """`(N, D)` vectors and what `cross` made of them."""
        return {"double": (vectors - z).square().mean()}


class GumbelSoftmax(Estimator):
    """Draw codes with the softmax's probabilities in training, and learn by the same noise through a softmax.

    Jang et al. 2017, arXiv:1611.01144; in quantizers: Baevski et al. 2019 (vq-wav2vec), arXiv:1910.05453, and Zhu et al.
    2022 (McQuic). Eval draws nothing. Draws are seeded by a counter in the state, so a resumed run draws the same.

    Args:
        temperature: of the softmax, at first.
        decay: factor of the temperature per training batch.
        floor: the temperature falls no lower.
    """

    draws: Tensor  # int64, training batches seen

    def __init__(self, temperature: float = 1.0, decay: float = 1.0, floor: float = 0.5) -> None:
        super().__init__()
        self.first_temperature, self.decay, self.floor = temperature, decay, floor
        self.register_buffer("draws", torch.tensor(0))

    @property
    def temperature(self) -> float:
        """Of the next training batch."""
        return max(self.first_temperature * self.decay ** int(self.draws), min(self.floor, self.first_temperature))

    @torch.no_grad()
    def choose(self, z: Tensor, e: Tensor, distance: Euclidean) -> Tensor:
        """Codes drawn at random, `(N,)`."""
        logits, seed = noisy(distance, e), int(self.draws)
        found = [logits(seed, first, block, e).argmax(-1) for first, block in score_blocks(z, len(e))]
        return torch.cat(found) if found else z.new_empty(0, dtype=torch.int64)

    def cross(self, z: Tensor, q: Tensor, e: Tensor, distance: Euclidean) -> Tensor:
        """`q`; its gradient goes to the chosen rows, and through the softmax of the noisy logits to `z` and all of `e`."""
        logits, seed, temperature = noisy(distance, e), int(self.draws), self.temperature
        random = self.training

        def sharpened(first: int, block: Tensor, codewords: Tensor) -> Tensor:
            scores = logits(seed, first, block, codewords) if random else distance.logits(block, codewords)
            return scores / temperature

        if random:
            self.draws += 1
        return q + soft_gradient(sharpened, z, e, distance)


def noisy(distance: Euclidean, e: Tensor) -> Callable[[int, int, Tensor, Tensor], Tensor]:
    """The distance's logits with Gumbel noise and its masks, a function of the seed and the block's first row."""
    chances = distance.mask_chances()

    def logits(seed: int, first: int, block: Tensor, codewords: Tensor) -> Tensor:
        scores = distance.logits(block, codewords)
        generator = torch.Generator(device=block.device)
        generator.manual_seed(int(np.random.SeedSequence((seed, process_number(), first)).generate_state(1)[0]))
        noise = -torch.empty_like(scores).exponential_(generator=generator).clamp_min_(1e-30).log()
        if chances is not None:
            masked = torch.rand(scores.shape, generator=generator, device=scores.device) < chances
            scores = scores.masked_fill(masked, -1e9)
        return scores + noise

    return logits


def score_blocks(z: Tensor, codebook_size: int) -> Iterator[tuple[int, Tensor]]:
    """Rows `(n, D)` of z, with the number of the first, so few that their logits are one block."""
    count = max(1, SCORES // codebook_size)
    yield from zip(range(0, len(z), count), z.split(count), strict=True) if len(z) else ()


def soft_gradient(logits: Logits, z: Tensor, e: Tensor, distance: Euclidean) -> Tensor:
    """Zeros `(N, D)` with the gradient of the mean codeword `softmax(logits) @ sg(e)`, to `z`, `e` and the distance.

    The codewords are copied, since a rule may move them in place before the backward pass.
    """
    learned = [parameter for parameter in distance.parameters() if parameter.requires_grad]
    return _SoftGradient.apply(logits, z, e.clone(), *learned)


def assignment_entropy(z: Tensor, e: Tensor, distance: Euclidean, inverse_temperature: float) -> tuple[Tensor, Tensor]:
    """Of soft assignments p, the softmax of sharpened logits: mean entropy () in nats, and mean p `(K,)`, over `(N, D)` vectors.

    Their gradients are written out: with l the logits and m the mean of l under p, that of an entropy is -p (l - m).
    """
    learned = [parameter for parameter in distance.parameters() if parameter.requires_grad]
    entropy, mean = _AssignmentEntropy.apply(distance, inverse_temperature, z, e.clone(), *learned)
    return entropy, mean


class _AssignmentEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, distance: Euclidean, inverse_temperature: float, z: Tensor, e: Tensor, *parameters: Tensor
    ) -> tuple[Tensor, Tensor]:
        ctx.distance, ctx.inverse_temperature, ctx.parameters = distance, inverse_temperature, parameters
        ctx.save_for_backward(z, e)
        entropy, mean = z.new_zeros(()), z.new_zeros(len(e))
        for _, block in score_blocks(z, len(e)):
            logits = from_largest_(distance.logits(block, e).float().mul_(inverse_temperature))
            p = logits.exp()
            total = p.sum(1, keepdim=True)
            p /= total
            entropy += total.log().sum() - logits.mul_(p).sum()
            mean += p.sum(0)
        return entropy / max(1, len(z)), mean / max(1, len(z))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_entropy: Tensor, of_mean: Tensor) -> tuple[Tensor | None, ...]:
        z, e = ctx.saved_tensors
        with torch.autocast(z.device.type, enabled=False), torch.enable_grad():
            leaves = [e.detach().requires_grad_(), *ctx.parameters]
            totals = [torch.zeros_like(leaf) for leaf in leaves]
            rows = torch.zeros_like(z)
            for first, block in score_blocks(z.detach(), len(e)):
                block = block.clone().requires_grad_()
                logits = ctx.distance.logits(block, leaves[0])
                gradient = _through(logits.detach() * ctx.inverse_temperature, of_entropy, of_mean)
                gradient *= ctx.inverse_temperature / len(z)
                found = torch.autograd.grad(
                    logits, [block, *leaves], gradient, allow_unused=True, materialize_grads=True
                )
                rows[first : first + len(block)] = found[0]
                totals = [total + more for total, more in zip(totals, found[1:], strict=True)]
        return None, None, rows, *totals


def _through(logits: Tensor, of_entropy: Tensor, of_mean: Tensor) -> Tensor:
    """Gradient `(n, K)` of sharpened logits, from those of the sums of entropies () and of probabilities `(K,)`."""
    logits = from_largest_(logits)
    return _of_softmax(logits.clone(), logits.mul_(-of_entropy).add_(of_mean))


def _of_softmax(logits: Tensor, of_p: Tensor) -> Tensor:
    """Gradient `(n, K)` of logits from that of their softmax; both inputs are used up."""
    p = from_largest_(logits).exp_()
    p /= p.sum(1, keepdim=True)
    of_p -= (p * of_p).sum(1, keepdim=True)
    return of_p.mul_(p)


def from_largest_(logits: Tensor) -> Tensor:
    """Logits less the largest of each row, in place; those more than 80 below it are taken to be 80 below.

    Their exponentials stay normal floats, as processors are slow with denormal ones.
    """
    return logits.sub_(logits.amax(-1, keepdim=True)).clamp_min_(-FARTHEST)


class _SoftGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Logits, z: Tensor, e: Tensor, *parameters: Tensor) -> Tensor:
        ctx.logits, ctx.parameters = logits, parameters
        ctx.save_for_backward(z, e)
        return torch.zeros_like(z)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        z, e = ctx.saved_tensors
        with torch.autocast(z.device.type, enabled=False), torch.enable_grad():
            leaves = [e.detach().requires_grad_(), *ctx.parameters]
            totals = [torch.zeros_like(leaf) for leaf in leaves]
            rows = torch.zeros_like(z)
            for first, block in score_blocks(z.detach(), len(e)):
                block = block.clone().requires_grad_()
                part = slice(first, first + len(block))
                logits = ctx.logits(first, block, leaves[0])
                pull = _of_softmax(logits.detach().clone(), gradient[part] @ e.detach().T)
                found = torch.autograd.grad(logits, [block, *leaves], pull, allow_unused=True, materialize_grads=True)
                rows[part] = found[0]
                totals = [total + more for total, more in zip(totals, found[1:], strict=True)]
        return None, rows, *totals
