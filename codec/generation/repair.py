"""Lost codes are filled in by a masked model, from those on all sides.

Liu et al. 2022, "Reduce Information Loss in Transformers for Pluralistic Image Inpainting" (PUT), arXiv:2205.05076, for the idea; El-Nouby
et al. 2022, "Image Compression with Product Quantized Masked Image Modeling", arXiv:2212.07372, for codes that were lost.
"""

import torch
from torch import Tensor

from codec.generation.masked import MaskedModel
from codec.generation.patterns import EMPTY
from codec.generation.sampling import Sampling

LIKELIEST = Sampling(temperature=0, noise=0, steps=8)


class Repair:
    """Fills the gaps of codes: the likeliest code first, in a few steps.

    Args:
        model: of the same codes; planes that it does not model stay as they are.
        sampling: by default nothing is drawn at random.
    """

    def __init__(self, model: MaskedModel, sampling: Sampling = LIKELIEST) -> None:
        self.planes, self._model, self._sampling = len(model.alphabets), model, sampling

    def __call__(self, codes: Tensor) -> Tensor:
        """int64 `(B, Q, rows, columns)`, `EMPTY` where lost, to the same without gaps in the first planes."""
        given = codes[:, : self.planes].cpu()
        missing = self.planes - given.shape[1]
        if missing > 0:
            given = torch.cat([given, given.new_full((len(given), missing, *given.shape[2:]), EMPTY)], 1)
        found = self._model.generate(given, sampling=self._sampling, random=torch.Generator().manual_seed(0))
        return torch.cat([found[:, : codes.shape[1]], codes[:, self.planes :].cpu()], 1)
