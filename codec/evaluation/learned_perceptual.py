"""LPIPS, through the package `lpips`, whose backbone torchvision downloads when it is first used.

Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric", arXiv:1801.03924.
"""

import io
import pickle
import warnings
from contextlib import redirect_stderr, redirect_stdout
from http.client import HTTPException
from typing import Literal

from torch import Tensor, nn

from codec.errors import UsageError

Backbone = Literal["alex", "vgg", "squeeze"]
SMALLEST_SIDE = {"alex": 31, "vgg": 16, "squeeze": 17}  # pixels, so that the deepest map has a position


class LPIPSDistance(nn.Module):
    """LPIPS version 0.1, the number of the literature: frozen, always in eval mode, differentiable in both pictures.

    Args:
        backbone: `alex` for reports, `vgg` as a loss, as its authors advise; `squeeze` is small.

    Raises:
        UsageError: the package is not installed (the extra `perceptual`), or the backbone is neither in torch's cache nor can
            it be downloaded.
    """

    def __init__(self, backbone: Backbone = "alex") -> None:
        super().__init__()
        self.network = _pretrained(backbone).requires_grad_(False).eval()
        self.smallest_side = SMALLEST_SIDE[backbone]

    def train(self, mode: bool = True) -> "LPIPSDistance":
        """Stays in eval mode: its dropout never acts."""
        return super().train(False)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Two float batches `(B, 3, H, W)` in [0, 1] to distances `(B,)`."""
        if a.shape != b.shape or a.ndim != 4 or a.shape[1] != 3 or min(a.shape[2:]) < self.smallest_side:
            raise ValueError(
                f"expected two batches (B, 3, H, W) of one shape with sides of at least {self.smallest_side} pixels,"
                f" got {tuple(a.shape)} and {tuple(b.shape)}"
            )
        distances: Tensor = self.network(a, b, normalize=True)
        return distances.flatten()


def _pretrained(backbone: Backbone) -> nn.Module:
    """The package's network; what it and torch say meanwhile is dropped, as all that matters is in the error."""
    try:
        import lpips
    except ImportError as error:
        raise UsageError(f"LPIPS needs the package {error.name}: pip install lpips (the extra `perceptual`)") from error
    said = io.StringIO()
    try:
        with warnings.catch_warnings(), redirect_stdout(said), redirect_stderr(said):
            warnings.simplefilter("ignore")
            network: nn.Module = lpips.LPIPS(net=backbone, verbose=False)
    except (OSError, HTTPException, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = " ".join(str(getattr(error, "reason", error)).split()) or type(error).__name__
        raise UsageError(
            f"LPIPS needs the {backbone} weights of torchvision, which could not be loaded: {reason}"
        ) from error
    return network
