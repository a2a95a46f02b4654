"""Codewords move to their vectors before they are used: the codebook's step comes first, then the encoder's.

Huh et al. 2023, "Straightening Out the Straight-Through Estimator", arXiv:2305.08842: alternating optimisation.
"""

import torch
from torch import Tensor

from codec.quantizers.codebooks.gradient import GradientCodebook
from codec.quantizers.codebooks.parameterisation import Parameterisation
from codec.quantizers.processes import sum_over_processes


class AlternatingCodebook(GradientCodebook):
    """As its parent, but each training batch first moves the chosen codewords a part of the way to their mean vector.

    The paper takes a step of gradient descent on the codebook term with the choice held; the mean is where that leads.
    What the estimator and a parameterisation add is still the optimiser's.

    Args:
        codebook_size: K.
        dim: D.
        rate: part of the way to the mean of the batch's vectors, in (0, 1].
        parameterisation: as in `GradientCodebook`.
        kmeans_iterations: as in `Codebook`.
        revive_below: as in `Codebook`.
    """

    def __init__(
        self,
        codebook_size: int,
        dim: int,
        *,
        rate: float = 0.1,
        parameterisation: Parameterisation | None = None,
        kmeans_iterations: int = 0,
        revive_below: float = 0.0,
    ) -> None:
        super().__init__(
            codebook_size,
            dim,
            parameterisation=parameterisation,
            kmeans_iterations=kmeans_iterations,
            revive_below=revive_below,
        )
        if parameterisation is not None and not parameterisation.placeable:
            raise ValueError(f"{type(parameterisation).__name__} cannot place codewords one by one")
        if not 0 < rate <= 1:
            raise ValueError(f"rate must lie in (0, 1], got {rate}")
        self.rate = rate

    @torch.no_grad()
    def advance(self, z: Tensor, codes: Tensor) -> bool:
        """Move the chosen codewords towards the means of their vectors over all processes."""
        counts = sum_over_processes(torch.bincount(codes, minlength=self.codebook_size).to(z))
        e = self.vectors()
        sums = sum_over_processes(torch.zeros_like(e).index_add_(0, codes, z))
        chosen = counts.nonzero().squeeze(1)
        means = sums[chosen] / counts[chosen, None]
        self.replace(chosen, e[chosen].lerp(means, self.rate))
        return True
