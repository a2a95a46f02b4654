"""Finite scalar quantization: round each channel of a bounded vector to a few levels.

Mentzer et al. 2023, "Finite Scalar Quantization: VQ-VAE Made Simple", arXiv:2309.15505. Where the levels lie is a choice:
evenly in [-1, 1] (Parker et al. 2024, arXiv:2411.19842) or as in the first paper.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from codec.quantizers.digits import Digits
from codec.quantizers.implicit import Implicit


class EvenLevels(nn.Module):
    """L points evenly spaced in [-1, 1], both ends included; the outer two catch half as much of the bounded range.

    Args:
        slope: of the tanh at zero. At 0.8 it is 2 sigmoid(1.6 z) - 1, under which a unit Gaussian is nearly uniform in [-1, 1]
            (Lin et al. 2026, "iFSQ", arXiv:2601.17124); the outer levels then take half a share each.
    """

    def __init__(self, slope: float = 1.0) -> None:
        super().__init__()
        self.slope = slope

    def bound(self, z: Tensor, levels: Tensor) -> Tensor:
        """`(..., D)` vectors into [-1, 1]."""
        return torch.tanh(self.slope * z)

    def digits(self, bounded: Tensor, levels: Tensor) -> Tensor:
        """Bounded vectors to float digits 0 to L - 1."""
        return ((levels - 1) * (bounded + 1) / 2).round()

    def points(self, digits: Tensor, levels: Tensor) -> Tensor:
        """Digits to points in [-1, 1]."""
        return 2 * digits / (levels - 1) - 1


class PaperLevels(nn.Module):
    """The first paper's points, steps of 1 / (L // 2) through zero: an even L reaches from -1 to 1 - 2 / L only.

    Zero stays zero. Two levels would be -1 and 0, so at least three are asked for.
    """

    MARGIN = 1e-3  # share by which the bound exceeds the outer levels, so that they can be reached

    def bound(self, z: Tensor, levels: Tensor) -> Tensor:
        """`(..., D)` vectors into the range of the points, half a step wider at each end."""
        if int(levels.min()) < 3:
            raise ValueError(f"every level must be at least 3, got {levels.tolist()}; EvenLevels takes 2")
        half = (levels - 1) * (1 + self.MARGIN) / 2
        offset = 0.5 * (1 - levels % 2)
        return (torch.tanh(z + torch.atanh(offset / half)) * half - offset) / (levels // 2)

    def digits(self, bounded: Tensor, levels: Tensor) -> Tensor:
        """Bounded vectors to float digits 0 to L - 1."""
        centre = levels // 2
        return ((bounded * centre).round() + centre).clamp_min(0).minimum(levels - 1)

    def points(self, digits: Tensor, levels: Tensor) -> Tensor:
        """Digits to multiples of 1 / (L // 2)."""
        centre = levels // 2
        return (digits - centre) / centre


class FSQ(Implicit):
    """A grid of `prod(levels)` points; nothing is learned. The gradient reaches the bounded vector unchanged.

    A code's digits are the levels of its channels, lowest place first.

    Args:
        levels: points per channel, each at least 2; `[8, 5, 5, 5]` gives 1000 codes (10 bits).
        grid: how vectors are bounded and where the points lie.
        digits_per_code: channels that share a code; all of them unless given.
        estimator: how the gradient of the point reaches the bounded vector.
    """

    def __init__(
        self,
        levels: Sequence[int],
        grid: EvenLevels | PaperLevels | None = None,
        *,
        digits_per_code: int | None = None,
        estimator: nn.Module | None = None,
    ) -> None:
        super().__init__(estimator)
        if min(levels) < 2:
            raise ValueError(f"every level must be at least 2, got {list(levels)}")
        self.digits = Digits(levels, digits_per_code)
        self.grid = grid if grid is not None else EvenLevels()
        self.dim, self.codebook_sizes = len(levels), self.digits.codebook_sizes

    def place(self, z: Tensor) -> Tensor:
        """Squash into the range of the points."""
        return self.grid.bound(z, self.digits.radices)

    def choose(self, placed: Tensor) -> Tensor:
        """Round each channel."""
        return self.digits.pack(self.grid.digits(placed, self.digits.radices).long())

    def decode(self, codes: Tensor) -> Tensor:
        """int64 `(..., Q)` codes to `(..., D)` points in [-1, 1]."""
        return self.grid.points(self.digits.unpack(codes), self.digits.radices)
