"""Lost codes are filled in by a masked model, from those on all sides.

Liu et al. 2022, "Reduce Information Loss in Transformers for Pluralistic Image Inpainting" (PUT), arXiv:2205.05076, for the idea; El-Nouby
et al. 2022, "Image Compression with Product Quantized Masked Image Modeling", arXiv:2212.07372, for codes that were lost. They draw what is
likely; here a lost code becomes the one that is nearest to what is expected of it, which has the smaller error.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from codec.generation.masked import MaskedModel
from codec.generation.patterns import EMPTY
from codec.generation.sampling import Sampling

LIKELIEST = Sampling(temperature=0, noise=0, steps=8)


class Repair:
    """Fills the gaps of codes, plane by plane, nothing at random.

    Each becomes the code whose vector is nearest to the mean of all, weighted by how likely the model has them; of models that mask
    digits by themselves the likeliest, the surest ones first.

    Args:
        model: of the same codes; planes that it does not model stay as they are.
        vectors: of the codes of each plane, `(K, D)`.
    """

    def __init__(self, model: MaskedModel, vectors: Sequence[Tensor]) -> None:
        self.planes, self._model = len(model.alphabets), model
        self._vectors = [table.cpu() for table in vectors[: self.planes]]

    @torch.no_grad()
    def __call__(self, codes: Tensor) -> Tensor:
        """int64 `(B, Q, rows, columns)`, `EMPTY` where lost, to the same without gaps in the first planes."""
        given = codes[:, : self.planes].cpu()
        missing = self.planes - given.shape[1]
        if missing > 0:
            given = torch.cat([given, given.new_full((len(given), missing, *given.shape[2:]), EMPTY)], 1)
        fill = self._nearest if self._model.digits is None else self._likeliest
        found = fill(given, min(self.planes, codes.shape[1]))
        return torch.cat([found[:, : codes.shape[1]], codes[:, self.planes :].cpu()], 1)

    def _nearest(self, given: Tensor, planes: int) -> Tensor:
        found = given.clone()
        for q in range(planes):
            lost = found[:, q] == EMPTY
            if lost.any():
                found[:, q][lost] = self._model.nearest_to_expected(found, q, self._vectors[q])
        return found

    def _likeliest(self, given: Tensor, planes: int) -> Tensor:
        return self._model.generate(given, sampling=LIKELIEST, random=torch.Generator().manual_seed(0))
