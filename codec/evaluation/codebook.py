"""How much of a codebook is in use."""

import torch
from torch import Tensor


class CodebookUsage:
    """Counts codes over any number of batches, and tells how evenly they spread.

    Args:
        alphabet: number of different codes.
    """

    counts: Tensor  # int64 (alphabet,), on the CPU

    def __init__(self, alphabet: int) -> None:
        if alphabet < 1:
            raise ValueError(f"alphabet must be at least 1, got {alphabet}")
        self.alphabet = alphabet
        self.counts = torch.zeros(alphabet, dtype=torch.int64)

    def update(self, codes: Tensor) -> None:
        """Count integer codes of any shape, each in `[0, alphabet)`."""
        if codes.is_floating_point() or codes.is_complex() or codes.dtype == torch.bool:
            raise ValueError(f"codes must be integers, got {codes.dtype}")
        if not codes.numel():
            return
        low, high = (int(bound) for bound in codes.aminmax())
        if low < 0 or high >= self.alphabet:
            raise ValueError(f"codes must lie in [0, {self.alphabet}), got {low}..{high}")
        self.counts += torch.bincount(codes.flatten(), minlength=self.alphabet).cpu()

    def merge(self, other: "CodebookUsage") -> None:
        """Add what another counter of the same alphabet has seen."""
        if other.alphabet != self.alphabet:
            raise ValueError(f"alphabets differ: {self.alphabet} and {other.alphabet}")
        self.counts += other.counts

    @property
    def tokens(self) -> int:
        """Number of codes counted."""
        return int(self.counts.sum())

    @property
    def dead(self) -> int:
        """Number of codes never seen."""
        return int((self.counts == 0).sum())

    @property
    def usage(self) -> float:
        """Fraction of the alphabet seen at least once."""
        return 1 - self.dead / self.alphabet

    @property
    def entropy_bits(self) -> float:
        """Order-0 entropy in bits a code; at most `log2(alphabet)`."""
        if not self.tokens:
            raise ValueError("no codes were counted yet")
        shares = self.counts[self.counts > 0].double() / self.tokens
        return max(0.0, -float((shares * shares.log2()).sum()))

    @property
    def perplexity(self) -> float:
        """`2 ** entropy_bits`: the size of an evenly used codebook with the same entropy."""
        return float(2**self.entropy_bits)
