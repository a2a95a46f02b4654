"""Distil what a frozen network of pictures sees into codes, so that they say what is shown and not only how it looks.

As tokenizers for language models of video do (E-ViLM), with the features of the classifier that is at hand: BEiT v2 (Peng et al.
2022, arXiv:2208.06366) learns codes by nothing else.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from codec.evaluation.perceptual import DEEPEST_CHANNELS, EfficientNetDistance

POOLED = 4  # positions of 8 pixels a side for one of the network's


class SemanticDistillation(nn.Module):
    """One minus the cosine between a frozen network's features and what a linear head makes of the codes' vectors around.

    Args:
        dim: of the vectors.
        width: hidden channels of the head.

    Raises:
        UsageError: the packages with the network are not installed.
    """

    def __init__(self, dim: int, width: int = 128) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Linear(dim, width), nn.GELU(), nn.Linear(width, DEEPEST_CHANNELS))
        # In a tuple, so that it is no part of this module: neither saved with a run nor averaged.
        self._frozen = (EfficientNetDistance(),)

    def forward(self, vectors: Tensor, pictures: Tensor) -> Tensor:
        """Vectors `(B, h, w, dim)` of pictures `(B, 3, 8 h, 8 w)` in [0, 1], at least 32 pixels a side, to a scalar."""
        seen = self._frozen[0].to(pictures.device).deepest(pictures).detach()
        said = F.avg_pool2d(self.head(vectors).float().movedim(-1, 1), POOLED, ceil_mode=True)
        said = said[..., : seen.shape[-2], : seen.shape[-1]]
        return 1 - F.cosine_similarity(said, seen[..., : said.shape[-2], : said.shape[-1]], dim=1).mean()
