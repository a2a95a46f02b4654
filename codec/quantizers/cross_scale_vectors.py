"""Cross-scale residual quantization inside single vectors, which hold the features of all scales side by side.

Gu, Diao 2024 (ESC), "ESC: Efficient Speech Coding with Cross-Scale Residual Vector Quantized Transformers", arXiv:2404.19441: its
scales differ in the number of bands, not in time, so all their codes have the rate of frames. Ours: the feature of a scale is
predicted from the decoded one of the next coarser scale by a linear map, where theirs is what the decoder's blocks make of it.
"""

from collections.abc import Sequence
from itertools import accumulate, pairwise

import torch
from torch import Tensor, nn

from codec.quantizers.base import Quantized, Quantizer
from codec.quantizers.blocks import by_blocks
from codec.quantizers.grid.cross_scale import CrossScale
from codec.quantizers.mapped import ROWS, fit_linear
from codec.quantizers.processes import gather_rows


class CrossScaleVectors(nn.Module):
    """Any quantizer for each part of a vector, less what the next coarser part says about it: `CrossScale` on a grid of one scale.

    Vectors hold their parts finest first, codes stand coarsest first: codes of the first levels decode alone, and what they
    predict stands for the finer parts. Losses and gradients are those of `CrossScale`.

    Args:
        levels: quantizers of the parts, coarsest first; their dimensions add up to D.
        dropout: share of training batches that use only the first n levels, n uniform.
    """

    def __init__(self, levels: Sequence[Quantizer], *, dropout: float = 0.0) -> None:
        super().__init__()
        predictions = [_Prediction(coarse.dim, fine.dim) for coarse, fine in pairwise(levels)]
        self.scales = CrossScale(levels, predictions, dropout=dropout)
        self.dim, self.codebook_sizes = sum(self.scales.dims), self.scales.codebook_sizes
        self.prefixes = tuple(accumulate(len(level.codebook_sizes) for level in levels))
        self._predictions = tuple(predictions)

    def encode(self, z: Tensor) -> Tensor:
        """`(..., D)` vectors to int64 `(..., Q)` codes, coarse to fine."""
        return _together(self.scales.encode(self._cut(z)), z.shape[:-1])

    def decode(self, codes: Tensor) -> Tensor:
        """int64 `(..., q)` codes of the first levels, q at most Q, to `(..., D)` vectors."""
        leading, count = codes.shape[:-1], codes.shape[-1]
        planes = codes.reshape(1, leading.numel(), count).unbind(-1)
        return _side_by_side(self.scales.decode(planes), leading)

    @torch.no_grad()
    def start(self, z: Tensor) -> None:
        """Fit the predictions to the parts of `(N, D)` vectors by least squares, then start each level on what is left."""
        rows = [part[0] for part in self._cut(gather_rows(z.float())[:ROWS])]
        for prediction, coarse, fine in zip(self._predictions, rows[:0:-1], rows[-2::-1], strict=True):
            fit_linear(prediction.linear, coarse, fine)  # codewords are means of parts, so this suits decoded ones too
        self.scales.start(self._cut(z))

    def forward(self, z: Tensor) -> Quantized:
        """Quantize all parts, or in training sometimes only the coarser ones."""
        out, leading = self.scales(self._cut(z)), z.shape[:-1]
        return Quantized(_side_by_side(out.vectors, leading), _together(out.planes, leading), out.losses)

    def _cut(self, z: Tensor) -> tuple[Tensor, ...]:
        """`(..., D)` to the parts `(1, N, d)`, finest first."""
        if z.shape[-1] != self.dim:
            raise ValueError(f"the parts {self.scales.dims} need {self.dim} channels, got {z.shape[-1]}")
        return z.reshape(1, -1, self.dim).split(self.scales.dims, -1)


class _Prediction(nn.Module):
    """What a part is expected to be given the next coarser one; in eval by blocks, so that codes do not depend on the batch."""

    factor = 1

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.linear = nn.Linear(before, after)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x) if self.training else by_blocks(self.linear, x)


def _together(planes: Sequence[Tensor], leading: torch.Size) -> Tensor:
    """`(1, N)` planes to `(*leading, q)` codes."""
    return torch.stack(tuple(planes), -1).reshape(*leading, len(planes))


def _side_by_side(parts: Sequence[Tensor], leading: torch.Size) -> Tensor:
    """`(1, N, d)` parts to `(*leading, D)` vectors."""
    vectors = torch.cat(tuple(parts), -1)
    return vectors.reshape(*leading, vectors.shape[-1])
