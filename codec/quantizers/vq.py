"""Vector quantization: a code is the index of the nearest codeword.

van den Oord et al. 2017, "Neural Discrete Representation Learning", arXiv:1711.00937. Three independent choices make
the family: the codebook's rule, the distance, and the estimator of the gradient.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.quantizers.base import Quantized
from codec.quantizers.codebooks import Codebook
from codec.quantizers.distances import Euclidean
from codec.quantizers.estimators import Estimator, StraightThrough
from codec.quantizers.regularisers import Regulariser


class VectorQuantizer(nn.Module):
    """One code per position, from a learned codebook.

    Losses: `commitment`, the mean squared distance of the placed vectors from their (fixed) codewords, and what the
    codebook's rule, the estimator and, in training, the regularisers add.

    Args:
        codebook: the codewords and the rule by which they move.
        distance: where vectors are placed for the comparison, and what is nearest there.
        estimator: how the gradient of the codeword reaches the placed vector.
        regularisers: further loss terms of placed vectors, codewords and distance.
    """

    def __init__(
        self,
        codebook: Codebook,
        distance: Euclidean | None = None,
        estimator: Estimator | None = None,
        regularisers: Sequence[Regulariser] = (),
    ) -> None:
        super().__init__()
        self.codebook = codebook
        self.distance = distance if distance is not None else Euclidean()
        self.estimator = estimator if estimator is not None else StraightThrough()
        for name, regulariser in enumerate(regularisers):  # no list of none: a model's hash covers all its modules
            self.add_module(f"regulariser_{name}", regulariser)
        self._regularisers = tuple(regularisers)
        self.dim = codebook.dim
        self.codebook_sizes: tuple[int, ...] = (codebook.codebook_size,)
        self._check_sizes()

    def encode(self, z: Tensor) -> Tensor:
        """`(..., D)` vectors to int64 `(..., 1)` codes."""
        placed = self.distance.place(z.float()).reshape(-1, self.dim)
        return self.distance.nearest(placed, self._codewords().detach()).reshape(*z.shape[:-1], 1)

    @property
    def adds_up(self) -> bool:
        """Whether costs of several such stages, each of what the one before left, are that of their sum."""
        return self.distance.adds_up

    def few_nearest(self, z: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """The nearest few of each `(N, D)` vector, where costs add up: float64 costs less |z|^2 and int64 codes, `(N, count)` each."""
        return self.distance.few_nearest(self.distance.place(z.float()), self._codewords().detach(), count)

    def decode(self, codes: Tensor) -> Tensor:
        """int64 `(..., 1)` codes to `(..., D)` codewords."""
        return self._codewords()[codes.squeeze(-1)]

    def start(self, z: Tensor) -> None:
        """Start the codebook from data where its rule asks for it."""
        if not bool(self.codebook.started):
            self.codebook.start(self.distance.place(z.float()))

    def forward(self, z: Tensor) -> Quantized:
        """Quantize; in training the codebook then learns from the batch."""
        with torch.autocast(z.device.type, enabled=False):
            placed = self.distance.place(z.float())
            flat = placed.reshape(-1, self.dim)
            codes, e = self._choose(flat.detach())
            q = e.index_select(0, codes)
            vectors = self.estimator.cross(flat, q, e, self.distance)
            losses = {"commitment": F.mse_loss(flat, q.detach())}
            losses |= self.codebook.losses(flat, q) | self.estimator.losses(flat, vectors)
            if self.training:
                for regulariser in self._regularisers:  # on a copy, as rules move codewords before the backward pass
                    losses |= regulariser(flat, e.clone(), self.distance)
                self.distance.observe(self.codebook.learn(flat.detach(), codes))
        return Quantized(vectors.reshape(placed.shape), codes.reshape(*z.shape[:-1], 1), losses)

    def _choose(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Codes `(N,)` of placed vectors `(N, D)`, and the codewords `(K, D)` to read them in, with gradient."""
        if not self.training:
            e = self._codewords()
            return self.distance.nearest(z, e.detach()), e
        self.start(z)
        e = self._codewords()
        codes = self.estimator.choose(z, e.detach(), self.distance)
        return codes, self._codewords() if self.codebook.advance(z, codes) else e

    def _codewords(self) -> Tensor:
        """`(K, D)`, where the distance places them."""
        return self.distance.place(self.codebook.vectors())

    def _check_sizes(self) -> None:
        for part in (self.distance, *self._regularisers):
            if part.codebook_size not in (None, self.codebook.codebook_size):
                raise ValueError(
                    f"the {type(part).__name__} is for {part.codebook_size} codes "
                    f"but the codebook has {self.codebook.codebook_size}"
                )
