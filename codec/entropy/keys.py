"""The output layer of token priors: a digit's logits are products of a query with the keys of its values.

The keys of the second digit depend on the first one's value, and so on: a tree of small softmaxes in place of one over the
whole codebook (Mnih and Hinton 2008, "A scalable hierarchical distributed language model"), in floats and in integers.
"""

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from codec.entropy.tables import LOGIT_BITS

LIMIT = (1 << 15) - 1  # of integer keys
QUERY_BITS = 10  # queries come in 1/1024
BIAS_BITS = 16
Integers = NDArray[np.int64]


class DigitKeys(nn.Module):
    """Logits of one digit, given the value of all digits above it.

    Args:
        prefixes: how many values the digits above it have, 1 for the highest digit.
        radix: values of this digit.
        dim: of queries and keys.
        stored: keep the integers in state dicts; without, `freeze` makes them again from what is stored.
    """

    integer_keys: Tensor  # int16 (prefixes * radix, dim)
    integer_bias: Tensor  # int32 (prefixes * radix,) in 2^-BIAS_BITS nat
    key_bits: Tensor  # int64 (): fractional bits of the integer keys

    def __init__(self, prefixes: int, radix: int, dim: int, *, stored: bool = True) -> None:
        super().__init__()
        self.radix = radix
        self.keys = nn.Parameter(0.02 * torch.randn(prefixes, radix * dim))
        self.bias = nn.Parameter(torch.zeros(prefixes, radix))
        self.register_buffer("integer_keys", torch.zeros(prefixes * radix, dim, dtype=torch.int16), stored)
        self.register_buffer("integer_bias", torch.zeros(prefixes * radix, dtype=torch.int32), stored)
        self.register_buffer("key_bits", torch.zeros((), dtype=torch.int64), stored)

    @torch.no_grad()
    def start(self, counts: Tensor) -> None:
        """Begin at the order-0 probabilities of hits `(prefixes, radix)`; every value stays possible."""
        smooth = counts.float() + 0.5
        self.bias.copy_((smooth / smooth.sum(1, keepdim=True)).log())

    def forward(self, query: Tensor, prefix: Tensor) -> Tensor:
        """Queries `(n, dim)` and int64 prefixes `(n,)` to logits `(n, radix)` in nats."""
        if len(self.keys) == 1:
            return query @ self.keys.view(self.radix, -1).T + self.bias
        keys = F.embedding(prefix, self.keys).view(len(prefix), self.radix, query.shape[1])
        return torch.bmm(keys, query[:, :, None])[:, :, 0] + F.embedding(prefix, self.bias)

    def of_all_prefixes(self, query: Tensor) -> Tensor:
        """Queries `(n, dim)` to logits `(n, prefixes, radix)` in nats."""
        keys = self.keys.view(self.keys.numel() // query.shape[1], -1)
        return (query @ keys.T).view(len(query), *self.bias.shape) + self.bias

    @torch.no_grad()
    def freeze(self) -> None:
        """Round keys to 16 bits and biases to 1/65536 nat."""
        largest = float(self.keys.abs().max())
        bits = 15 if largest == 0 else min(15, int(np.floor(np.log2(LIMIT / largest))))
        self.key_bits.fill_(bits)
        self.integer_keys.copy_(torch.round(self.keys.double() * 2.0**bits).view_as(self.integer_keys))
        relative = self.bias.double() - self.bias.double().amax(1, keepdim=True)
        self.integer_bias.copy_(torch.round(relative * (1 << BIAS_BITS)).clamp_(-(1 << 30), 0).flatten())

    def logits(self, queries: Integers, prefix: Integers) -> Integers:
        """Integer queries `(n, dim)` in 2^-QUERY_BITS, below 2^20, to integer logits `(n, radix)` in 2^-LOGIT_BITS nat."""
        keys, bias = self.integer_keys.cpu().numpy(), self.integer_bias.cpu().numpy()
        shift = int(self.key_bits) + QUERY_BITS - BIAS_BITS
        logits = np.empty((len(queries), self.radix), np.int64)
        _products(queries, keys, bias, prefix, shift, logits)
        return logits


@njit(cache=True)
def _products(queries, keys, bias, prefix, shift, logits):  # type: ignore[no-untyped-def]
    """logits = (keys @ query, brought to BIAS_BITS, + bias), rounded to LOGIT_BITS: |sums| < 2^15 2^20 2^12, so int64 is exact."""
    count, radix = logits.shape
    half = 1 << (BIAS_BITS - LOGIT_BITS - 1)
    for i in range(count):
        first = prefix[i] * radix
        for value in range(radix):
            total = 0
            for d in range(keys.shape[1]):
                total += queries[i, d] * keys[first + value, d]
            total = total >> shift if shift >= 0 else total << -shift
            logits[i, value] = (total + bias[first + value] + half) >> (BIAS_BITS - LOGIT_BITS)
