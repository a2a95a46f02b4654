"""Codewords as parameters, pulled towards their vectors by the codebook loss.

van den Oord et al. 2017, "Neural Discrete Representation Learning", arXiv:1711.00937.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.quantizers.codebooks.base import Codebook
from codec.quantizers.codebooks.parameterisation import Parameterisation
from codec.quantizers.processes import from_first_process, gather_rows


class GradientCodebook(Codebook):
    """The optimiser moves the codewords, directly or through a parameterisation.

    Plain rows start as small Gaussians unless k-means is asked for; a parameterisation always starts from data. In eval mode
    the codewords of a parameterisation are computed once and kept until `train()`, new weights or another device.

    Args:
        codebook_size: K.
        dim: D.
        parameterisation: how stored rows become codewords; as they are unless given.
        kmeans_iterations: as in `Codebook`.
        revive_below: as in `Codebook`.
        decay: as in `Codebook`.
    """

    rows: Tensor  # parameter, or buffer where the parameterisation freezes them

    def __init__(
        self,
        codebook_size: int,
        dim: int,
        *,
        parameterisation: Parameterisation | None = None,
        kmeans_iterations: int = 0,
        revive_below: float = 0.0,
        decay: float = 0.99,
    ) -> None:
        super().__init__(
            codebook_size, dim, kmeans_iterations=kmeans_iterations, revive_below=revive_below, decay=decay
        )
        self.parameterisation = parameterisation
        self._kept: Tensor | None = None  # codewords of eval mode
        if parameterisation is not None:
            if (kmeans_iterations or revive_below) and not parameterisation.placeable:
                raise ValueError(
                    f"{type(parameterisation).__name__} cannot place codewords one by one: "
                    "use kmeans_iterations=0 and revive_below=0"
                )
            del self.rows
            rows = parameterisation.rows(codebook_size, dim)
            if parameterisation.frozen:
                self.register_buffer("rows", rows)
            else:
                self.rows = nn.Parameter(rows)
            self.started.fill_(False)

    def hold(self, rows: Tensor) -> None:
        """Codewords are parameters."""
        self.rows = nn.Parameter(rows)

    def vectors(self) -> Tensor:
        """`(K, D)` codewords; in training with gradient."""
        if self.parameterisation is None:
            return self.rows
        if self.training:
            return self._mapped(self.parameterisation)
        if self._kept is None:
            with torch.inference_mode(False), torch.no_grad():
                self._kept = self._mapped(self.parameterisation)
        return self._kept

    @torch.no_grad()
    def start(self, z: Tensor) -> None:
        """Fit the parameterisation to `(N, D)` vectors, then place codewords by k-means where it is asked for."""
        if self.parameterisation is not None:
            rows = self.parameterisation.start(self.rows, gather_rows(z.detach().float()))
            self.rows.copy_(from_first_process(rows.contiguous()))
            for parameter in self.parameterisation.parameters():
                from_first_process(parameter.data)
            self._kept = None
        if self.kmeans_iterations:
            super().start(z)
        self.started.fill_(True)

    @torch.no_grad()
    def replace(self, rows: Tensor, vectors: Tensor) -> None:
        """Overwrite codewords in place, past autograd: a replaced codeword was not chosen, so no gradient is due to it."""
        stored = vectors if self.parameterisation is None else self.parameterisation.invert(vectors.float())
        self.rows.data[rows] = stored.to(self.rows)
        self._kept = None

    def losses(self, z: Tensor, q: Tensor) -> dict[str, Tensor]:
        """The codebook term: mean squared distance of the chosen codewords from the (fixed) vectors."""
        return {"codebook": F.mse_loss(q, z.detach())}

    @torch.no_grad()
    def learn(self, z: Tensor, codes: Tensor) -> Tensor:
        """Count hits and revive; the movement itself is the optimiser's. Returns the batch's hits `(K,)`."""
        counts = self.count(codes)
        self.revive(z)
        return counts

    def train(self, mode: bool = True) -> "GradientCodebook":
        """As of any module; forgets the codewords kept in eval mode."""
        self._kept = None
        return super().train(mode)

    def _mapped(self, parameterisation: Parameterisation) -> Tensor:
        with torch.autocast(self.rows.device.type, enabled=False):
            return parameterisation(self.rows)[: self.codebook_size]

    def _apply(self, *arguments: Any, **options: Any) -> "GradientCodebook":
        self._kept = None
        return super()._apply(*arguments, **options)

    def _load_from_state_dict(self, *arguments: Any, **options: Any) -> None:
        self._kept = None
        super()._load_from_state_dict(*arguments, **options)
