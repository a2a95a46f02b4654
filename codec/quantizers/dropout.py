"""Quantizer dropout: some training batches use only the first stages, so that one stack serves many rates.

Zeghidour et al. 2021 (SoundStream), arXiv:2107.03312; for a share of the batches only: Kumar et al. 2023 (DAC),
"High-Fidelity Audio Compression with Improved RVQGAN", arXiv:2306.06546, which keeps the quality at the full rate.
"""

import torch
from torch import Tensor, nn


class StageDropout(nn.Module):
    """How many of S stages a batch uses: all of them, or in training sometimes the first n, n uniform on 1..S.

    Draws are seeded by a counter in the state dict. So all processes use the same stages, without which their sums over
    processes would wait for each other for ever, and a resumed run continues.

    Args:
        share: of the training batches that use fewer.
    """

    updates: Tensor  # number of training batches seen

    def __init__(self, share: float) -> None:
        super().__init__()
        if not 0 <= share <= 1:
            raise ValueError(f"the share of batches must lie in 0..1, got {share}")
        self.share = share
        self.register_buffer("updates", torch.tensor(0))

    def forward(self, count: int) -> int:
        """Number of stages to use, of `count`."""
        if not self.training or not self.share:
            return count
        generator = torch.Generator().manual_seed(int(self.updates))
        self.updates += 1
        if float(torch.rand((), generator=generator)) >= self.share:
            return count
        return int(torch.randint(1, count + 1, (), generator=generator))
