"""Transforms of a frame given its prediction: the pyramid of a picture on what the prediction lacks, told the prediction.

Li, Li, Lu 2021, "Deep contextual video compression", arXiv:2109.15047: coding given a context cannot cost more than coding the
difference. Here the difference is where training begins: step 0 is a classical codec of residuals, at the principal components
of their 8x8 patches, and what is learned is improvement.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.nn.blocks import ConvBlock, start_at_zero
from codec.nn.patch import PatchBasis
from codec.nn.pyramid import GAIN, SIZE, STRIDE, PyramidSynthesis, level_features, spread_of


class ConditionalAnalysis(nn.Module):
    """Pixels and their prediction `(B, 3, H, W)` in [0, 1] to normalised latents `(B, latent_dim, H / 8, W / 8)`.

    Args:
        latent_dim: channels of the latent.
        width: channels of the network.
        depth: number of blocks.
        knots: hat functions of the level that the network sees.
    """

    spread: Tensor  # (latent_dim, 1, 1): deviation of each channel before it is normalised, in sample units

    def __init__(self, latent_dim: int, *, width: int = 96, depth: int = 3, knots: int = 8) -> None:
        super().__init__()
        self.stride, self.knots = STRIDE, knots
        self.linear = nn.Conv2d(SIZE, latent_dim, 1, bias=False)
        self.enter = nn.Conv2d(2 * SIZE, width, 1)
        self.level = nn.Conv2d(knots, width, 1, bias=False)
        self.blocks = nn.Sequential(*(ConvBlock(width) for _ in range(depth)))
        self.leave = nn.Conv2d(width, latent_dim, 1)
        self.register_buffer("spread", torch.ones(latent_dim, 1, 1))
        start_at_zero(self.leave)

    @torch.no_grad()
    def start_from(self, basis: PatchBasis) -> None:
        """Set the linear part to the basis of residuals, whose mean is 0; the network adds nothing yet."""
        self.linear.weight.copy_((GAIN * basis.directions)[..., None, None])
        self.spread.copy_(spread_of(basis)[:, None, None])

    def forward(self, x: Tensor, prediction: Tensor, levels: Tensor) -> Tensor:
        """Shapes as in the class text, levels `(B, 1, H / 8, W / 8)` in [0, 1]; sides must be multiples of 8."""
        context = F.pixel_unshuffle(prediction, STRIDE)
        residual = F.pixel_unshuffle(x, STRIDE) - context
        entered = self.enter(torch.cat([8 * residual, 4 * context - 2], 1))
        learned = self.leave(self.blocks(entered + self.level(level_features(levels, self.knots))))
        with torch.autocast(x.device.type, enabled=False):
            return (self.linear(residual) / GAIN + learned.float() / 8) / self.spread


class ConditionalSynthesis(PyramidSynthesis):
    """Normalised latents `(B, latent_dim, h, w)` and a prediction `(B, 3, 8 h, 8 w)` to pixels, about [0, 1], not clamped.

    Args:
        latent_dim: channels of the latent.
        width: channels at 1/8 resolution.
        depth: blocks there.
        middle_width: channels at 1/4 resolution.
        middle_depth: blocks there.
        mend_width: channels at 1/2 resolution.
        knots: hat functions of the level that the network sees.
    """

    def __init__(
        self,
        latent_dim: int,
        *,
        width: int = 96,
        depth: int = 4,
        middle_width: int = 32,
        middle_depth: int = 2,
        mend_width: int = 16,
        knots: int = 8,
    ) -> None:
        super().__init__(
            latent_dim,
            width=width,
            depth=depth,
            middle_width=middle_width,
            middle_depth=middle_depth,
            mend_width=mend_width,
            knots=knots,
        )
        self.context = nn.Conv2d(SIZE, width, 1)

    @torch.no_grad()
    def start_from(self, basis: PatchBasis) -> None:
        """Set the linear part to the transposed basis of residuals; the networks add nothing yet."""
        super().start_from(basis)
        nn.init.zeros_(self.linear.bias)  # type: ignore[arg-type]

    def forward(self, n: Tensor, levels: Tensor, prediction: Tensor | None = None) -> Tensor:
        """Latents, levels `(B, 1, h, w)` in [0, 1] and a prediction, grey where there is none, to pixels."""
        if prediction is None:
            prediction = n.new_full((len(n), 3, STRIDE * n.shape[2], STRIDE * n.shape[3]), 0.5)
        context = self.context(4 * F.pixel_unshuffle(prediction, STRIDE) - 2)
        entered = self.enter(n) + context + self.level(level_features(levels, self.knots))
        learned = self.leave(self.blocks(entered))
        with torch.autocast(n.device.type, enabled=False):
            patches = self.linear(n.float() * self.spread / GAIN) + learned.float() / 8
        return self.mended(prediction + F.pixel_shuffle(patches, STRIDE))
