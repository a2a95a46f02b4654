"""What a transformer reads and says of one plane of codes: vectors in, probabilities out; by a table, or by bits.

Weber et al. 2024, "MaskBit", arXiv:2409.16211, for bits; Mnih and Hinton 2008 for probabilities as a tree of digits, which keeps
large codebooks cheap.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from codec.entropy import CodeDigits, CodeEmbedding, principal_order
from codec.generation.patterns import EMPTY


class Words(Protocol):
    """One plane's codes for a transformer of `dim` channels.

    Attributes:
        alphabet: K.
    """

    alphabet: int

    def start(self, vectors: Tensor, counts: Tensor) -> None:
        """Begin at what the codes mean, `(K, D)`, and at how often they occur, `(K,)`."""

    def embed(self, codes: Tensor) -> Tensor:
        """int64 `(...)`, `EMPTY` where a code is not known, to `(..., dim)`."""

    def code_bits(self, hidden: Tensor, codes: Tensor) -> Tensor:
        """What the transformer made `(n, dim)`, and int64 codes `(n,)`, to their code length `(n,)`."""

    def log_probabilities(self, hidden: Tensor) -> Tensor:
        """`(n, dim)` to `(n, K)`, in nats."""


class TableWords(nn.Module):
    """A learned vector for each code, and a tree of digits.

    Args:
        radices: of the digits, lowest place first; their product is the alphabet.
        dim: channels of the transformer.
        code_dim: of the vectors that stand for codes.
        key_dim: of queries and keys.
    """

    def __init__(self, radices: Sequence[int], dim: int, *, code_dim: int = 32, key_dim: int = 32) -> None:
        super().__init__()
        self.alphabet = math.prod(radices)
        self.table = CodeEmbedding(self.alphabet, code_dim, stored=False)
        self.enter = nn.Linear(code_dim, dim, bias=False)
        self.leave = nn.Linear(dim, key_dim * len(radices))
        self.digits = CodeDigits(radices, key_dim, stored=False)

    def start(self, vectors: Tensor, counts: Tensor) -> None:
        """As of `Words`; digits are those of the rank of each code in a tree of principal directions."""
        self.table.start(vectors.float())
        self.digits.start(vectors, counts)

    def embed(self, codes: Tensor) -> Tensor:
        """As of `Words`; what is not known has a vector of its own."""
        return self.enter(self.table(codes - EMPTY))

    def code_bits(self, hidden: Tensor, codes: Tensor) -> Tensor:
        """As of `Words`."""
        return self.digits.code_bits(self.leave(hidden).float(), codes)

    def log_probabilities(self, hidden: Tensor) -> Tensor:
        """As of `Words`."""
        return self.digits.log_probabilities(self.leave(hidden).float())


class BitWords(nn.Module):
    """The bits of a code, +1 and -1; zeros where it is not known. Codes that differ in few bits are then alike.

    Args:
        bits: of a code; the alphabet is 2^bits.
        dim: channels of the transformer.
    """

    def __init__(self, bits: int, dim: int) -> None:
        super().__init__()
        self.bits, self.alphabet = bits, 1 << bits
        self.enter = nn.Linear(bits, dim, bias=False)
        self.leave = nn.Linear(dim, self.alphabet)

    @torch.no_grad()
    def start(self, vectors: Tensor, counts: Tensor) -> None:
        """Begin at order-0 probabilities; what a bit means has to be learned."""
        smooth = counts.float() + 0.5
        self.leave.bias.copy_((smooth / smooth.sum()).log())

    def embed(self, codes: Tensor) -> Tensor:
        """As of `Words`."""
        places = torch.arange(self.bits, device=codes.device)
        signs = 2 * (codes.clamp_min(0)[..., None] >> places & 1) - 1
        return self.enter((signs * (codes != EMPTY)[..., None]).to(self.enter.weight.dtype))

    def code_bits(self, hidden: Tensor, codes: Tensor) -> Tensor:
        """As of `Words`."""
        return nn.functional.cross_entropy(self.leave(hidden).float(), codes, reduction="none") / math.log(2)

    def log_probabilities(self, hidden: Tensor) -> Tensor:
        """As of `Words`."""
        return self.leave(hidden).float().log_softmax(-1)


class DigitPlanes(nn.Module):
    """Planes of codes as planes of their digits, the highest digit of a code first, and back.

    Args:
        radices: of the digits of each plane's codes, lowest place first.
    """

    def __init__(self, radices: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self._radices = tuple(tuple(plane) for plane in radices)
        self.alphabets = tuple(math.prod(plane) for plane in self._radices)
        self.digit_alphabets = tuple(radix for plane in self._radices for radix in reversed(plane))
        for q, size in enumerate(self.alphabets):
            self.register_buffer(f"ranks_{q}", torch.arange(size))  # int64 (K,)

    @torch.no_grad()
    def start(self, vectors: Sequence[Tensor]) -> None:
        """Number codes by a tree of principal directions of what they mean, `(K, D)` for each plane."""
        for q, (means, plane) in enumerate(zip(vectors, self._radices, strict=True)):
            self.get_buffer(f"ranks_{q}").copy_(principal_order(means.cpu(), plane).argsort())

    def all_digits(self) -> Iterator[tuple[int, int, Tensor]]:
        """Of each digit the plane of its code, its place, and the ranks `(K,)` that it is a digit of."""
        for q, radices in enumerate(self._radices):
            for place, _ in _places(radices):
                yield q, place, self.get_buffer(f"ranks_{q}")

    def split(self, codes: Tensor) -> Tensor:
        """int64 `(B, Q, *grid)`, `EMPTY` where not known, to the digits of all planes `(B, digits, *grid)`."""
        parts = []
        for q, (plane, radices) in enumerate(zip(codes.unbind(1), self._radices, strict=True)):
            ranks = self.get_buffer(f"ranks_{q}")[plane.clamp_min(0)]
            for place, radix in _places(radices):
                parts.append((ranks // place % radix).masked_fill(plane == EMPTY, EMPTY))
        return torch.stack(parts, 1)

    def join(self, digits: Tensor) -> Tensor:
        """The way back; a code is known where all of its digits are."""
        planes, parts = [], iter(digits.unbind(1))
        for q, radices in enumerate(self._radices):
            found = [(next(parts), place) for place, _ in _places(radices)]
            unknown = torch.stack([digit == EMPTY for digit, _ in found]).any(0)
            rank = torch.stack([digit.clamp_min(0) * place for digit, place in found]).sum(0)
            planes.append(self.get_buffer(f"ranks_{q}").argsort()[rank].masked_fill(unknown, EMPTY))
        return torch.stack(planes, 1)


def _places(radices: Sequence[int]) -> list[tuple[int, int]]:
    """Place and radix of each digit, the highest first."""
    return [(math.prod(radices[:i]), radices[i]) for i in reversed(range(len(radices)))]
