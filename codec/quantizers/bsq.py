"""Binary spherical quantization: signs of a vector on the unit sphere, so that the error is bounded.

Zhao, Xiong, Krähenbühl 2024, "Image and Video Tokenization with Binary Spherical Quantization", arXiv:2406.07548.
"""

from codec.quantizers.implicit import Spherical
from codec.quantizers.lfq import LFQ


class BSQ(Spherical, LFQ):
    """Lookup-free quantization of directions: codes are the corners {-1, 1}^L / sqrt(L) of a cube inside the unit sphere.

    Arguments, losses and the split of bits into codes are LFQ's; the gradient reaches the unit vector. The squared error is at most
    2 - 2 / sqrt(L).
    """

    @property
    def amplitude(self) -> float:
        """Corners lie on the sphere."""
        return self.dim**-0.5
