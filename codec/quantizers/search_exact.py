"""What "nearest" means to the last bit: scores in float64, summed in one fixed order, the same on every machine.

The score of codeword e for query z is |e|^2 + bias - 2 z.e: the squared distance without |z|^2, which ranks nothing. Products of
two float32 are exact in float64, so a compiler may or may not fuse them with the addition, and only the order of additions
counts. The roads of the search compute in float32 what is fast there, and leave to these scores what float32 cannot tell.
Higham 2002, "Accuracy and Stability of Numerical Algorithms", section 3.1, for the slack.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

PARTS = 8  # partial sums of a product, added pairwise at the end
ROUNDING = 2.0**-24  # of one float32 operation
SAFETY = 1.02  # covers the rounding of the slack itself
OVERFLOWING = 1e37  # scores of this size may leave float32: then nothing can be told from them
NEAR_ZERO = 2e-38  # what one product may lose near zero


def fixed_order_dot(a: Tensor, b: Tensor) -> Tensor:
    """Sum of products over the last axis, float64: part i adds the places i, i + 8, ... in order, then parts are joined."""
    products = F.pad(a.double() * b.double(), (0, -a.shape[-1] % PARTS)).unflatten(-1, (-1, PARTS))
    parts = products[..., 0, :]
    for step in range(1, products.shape[-2]):
        parts = parts + products[..., step, :]
    for half in (4, 2, 1):
        parts = parts[..., :half] + parts[..., half:]
    return parts.squeeze(-1)


def exact_scores(z: Tensor, codewords: Tensor, bias: Tensor | None) -> Tensor:
    """Score of each query `(P, D)` against its own codeword `(P, D)`, float64 `(P,)`; infinite where it is not a number."""
    costs = fixed_order_dot(codewords, codewords)
    if bias is not None:
        costs = costs + bias.double()
    return (costs - 2 * fixed_order_dot(z, codewords)).nan_to_num(nan=torch.inf, posinf=torch.inf, neginf=-torch.inf)


def score_slack(lengths: Tensor, cost_bound: Tensor, length_bound: Tensor, dim: int) -> Tensor:
    """How far float32 scores may be from the exact ones, whatever the order of summation.

    With u = 2^-24, the error of D fused or unfused products and the rounded cost is at most (D + 1) u / (1 - (D + 1) u) times
    |cost| + 2 |z| |e|; three more roundings pay for comparing with a limit in float32.

    Args:
        lengths: `(N,)` |z|.
        cost_bound: largest finite |cost| among the codewords.
        length_bound: largest |e| among them.
        dim: D.

    Returns:
        `(N,)`, infinite where scores may leave the range of float32.
    """
    size = cost_bound + 2 * lengths * length_bound
    slack = SAFETY * ((dim + 4) * ROUNDING * size + dim * NEAR_ZERO)
    return slack.where(size < OVERFLOWING, torch.inf)
