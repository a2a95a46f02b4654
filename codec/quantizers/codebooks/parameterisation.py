"""How stored rows become codewords: through a map that all of them share, so that each training step moves all of them."""

import torch
from torch import Tensor, nn


class Parameterisation(nn.Module):
    """From stored rows to codewords; given to a `GradientCodebook`, which holds the rows.

    Attributes:
        frozen: the rows are not trained, only the map is.
        placeable: a codeword can be put where one wants it, by `invert`.
    """

    frozen = False
    placeable = True

    def rows(self, codebook_size: int, dim: int) -> Tensor:
        """The first stored rows: Gaussian, of length about 1. There may be a few more than codewords."""
        return torch.randn(codebook_size, dim) * dim**-0.5

    def forward(self, rows: Tensor) -> Tensor:
        """Stored rows to codewords `(K, D)`."""
        raise NotImplementedError

    @torch.no_grad()
    def start(self, rows: Tensor, z: Tensor) -> Tensor:
        """Set the map from `(N, D)` vectors, before training; returns the rows to store."""
        return rows

    def invert(self, vectors: Tensor) -> Tensor:
        """Rows whose codewords are `(n, D)` vectors."""
        raise NotImplementedError


class Affine(Parameterisation):
    """One scale and one shift for all rows: the whole codebook follows a drift of the vectors.

    Huh et al. 2023, "Straightening Out the Straight-Through Estimator", arXiv:2305.08842 (the learned form).

    Args:
        dim: D.
        rate: how much faster scale and shift learn than other parameters.
    """

    def __init__(self, dim: int, rate: float = 10.0) -> None:
        super().__init__()
        self.rate = rate
        self.scale = nn.Parameter(torch.zeros(dim))
        self.shift = nn.Parameter(torch.zeros(dim))

    def forward(self, rows: Tensor) -> Tensor:
        """`(K, D)` scaled and shifted."""
        return (1 + self.rate * self.scale) * rows + self.rate * self.shift

    @torch.no_grad()
    def invert(self, vectors: Tensor) -> Tensor:
        """The way back, `(n, D)`; a scale that went through zero is taken as a thousandth."""
        scale = 1 + self.rate * self.scale
        return (vectors - self.rate * self.shift) / scale.where(scale.abs() > 1e-3, scale.new_tensor(1e-3))
