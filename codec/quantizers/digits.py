"""Digits of a mixed radix as few integers: how quantizers of many small alphabets write their codes."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

LARGEST_CODE = 1 << 62  # codes are int64 and must leave room for sums


class Digits(nn.Module):
    """D digits a position as Q codes, each the weighted sum of neighbouring digits, lowest place first.

    Args:
        radices: alphabet of each digit.
        digits_per_code: digits that share a code, the last code taking what is left; all of them unless given.
    """

    radices: Tensor  # (D,)
    places: Tensor  # (D,) worth of one step of each digit within its code

    def __init__(self, radices: Sequence[int], digits_per_code: int | None = None) -> None:
        super().__init__()
        share = digits_per_code if digits_per_code is not None else len(radices)
        if not radices or share < 1:
            raise ValueError(
                f"need digits and at least one in a code, got radices {list(radices)} and {share} in a code"
            )
        groups = [list(radices[first : first + share]) for first in range(0, len(radices), share)]
        self.codebook_sizes = tuple(math.prod(group) for group in groups)
        if max(self.codebook_sizes) > LARGEST_CODE:
            raise ValueError(
                f"{share} digits a code make an alphabet of {max(self.codebook_sizes)}, more than 2^62; give digits_per_code"
            )
        self._widths = [len(group) for group in groups]
        places = [math.prod(group[:i]) for group in groups for i in range(len(group))]
        self.register_buffer("radices", torch.tensor(list(radices)), persistent=False)
        self.register_buffer("places", torch.tensor(places), persistent=False)

    def pack(self, digits: Tensor) -> Tensor:
        """int64 `(..., D)` digits, each below its radix, to int64 `(..., Q)` codes."""
        parts = (digits * self.places).split(self._widths, dim=-1)
        return torch.stack([part.sum(-1) for part in parts], -1)

    def unpack(self, codes: Tensor) -> Tensor:
        """int64 `(..., Q)` codes to int64 `(..., D)` digits."""
        spread = torch.cat([codes[..., q, None].expand(*codes.shape[:-1], n) for q, n in enumerate(self._widths)], -1)
        return spread // self.places % self.radices
