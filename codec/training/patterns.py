"""A loss on what repeats with the patches: the dots and grids that a decoder puts where it should invent texture."""

from torch import Tensor, nn
from torch.nn import functional as F


class PatchPattern(nn.Module):
    """Distortion of pixels in [0, 1]. Term: `pattern`, the squared error that stays when neighbouring patches are averaged.

    A discriminator asks for texture, and the cheapest one is the same few dots in every patch. Texture that differs from patch to
    patch cancels in the average over `span` x `span` patches, to 1 / span² of its energy; what repeats stays whole.

    Args:
        patch: side of a patch in pixels, the decoder's stride.
        span: patches averaged each way.
    """

    def __init__(self, patch: int = 8, span: int = 4) -> None:
        super().__init__()
        self.patch, self.span = patch, span

    def forward(self, pixels: Tensor, decoded: Tensor) -> dict[str, Tensor]:
        """`(B, 3, H, W)` each, sides a multiple of the patch and at least `span` patches, to scalars by name."""
        patches = F.pixel_unshuffle(decoded - pixels, self.patch)
        return {"pattern": F.avg_pool2d(patches, self.span, stride=1).square().mean()}
