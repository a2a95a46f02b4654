"""The classic transform: four convolutions of stride 2 with divisive normalisation between them, and the way back.

Ballé, Minnen, Singh, Hwang, Johnston 2018, arXiv:1802.01436; Minnen, Ballé, Toderici 2018, arXiv:1809.02736. Layers stand in
the order of the reference implementations, so that their weights go over as they are. Widths are in channels.
"""

from itertools import pairwise

from torch import Tensor, nn

from codec.nn.gdn import GDN

STRIDE = 16
HALO = 2  # 30 pixels each way


class ClassicAnalysis(nn.Module):
    """Pixels `(B, 3, H, W)` in [0, 1] to latents `(B, latent_dim, H / 16, W / 16)`, in steps, not of unit variance.

    Args:
        latent_dim: channels of the latent.
        width: channels of the three stages before it.
    """

    def __init__(self, latent_dim: int, *, width: int = 128) -> None:
        super().__init__()
        self.stride, self.halo = STRIDE, HALO
        layers: list[nn.Module] = []
        for before, after in pairwise((3, width, width, width, latent_dim)):
            layers += [halving(before, after), GDN(after)]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        """Shapes as in the class text; sides must be multiples of 16."""
        return self.layers(x)


class ClassicSynthesis(nn.Module):
    """Latents `(B, latent_dim, h, w)` to pixels `(B, 3, 16 h, 16 w)`, about [0, 1], not clamped: the mirror of the analysis.

    Args:
        latent_dim: channels of the latent.
        width: channels of the three stages after it.
    """

    def __init__(self, latent_dim: int, *, width: int = 128) -> None:
        super().__init__()
        self.stride, self.halo = STRIDE, HALO
        layers: list[nn.Module] = []
        for before, after in pairwise((latent_dim, width, width, width, 3)):
            layers += [doubling(before, after), GDN(after, inverse=True)]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, n: Tensor, levels: Tensor | None = None) -> Tensor:
        """Latents to pixels; the levels `(B, 1, h, w)` of quality are not looked at."""
        return self.layers(n)


def halving(before: int, after: int) -> nn.Conv2d:
    """Convolution to half as many rows and columns, rounded up."""
    return nn.Conv2d(before, after, 5, stride=2, padding=2)


def doubling(before: int, after: int) -> nn.ConvTranspose2d:
    """Transposed convolution to twice as many rows and columns."""
    return nn.ConvTranspose2d(before, after, 5, stride=2, padding=2, output_padding=1)
