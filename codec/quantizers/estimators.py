"""How the decoder's gradient crosses the quantizer; the forward value is always `q`."""

from torch import Tensor, nn

from codec.quantizers.base import pass_gradient
from codec.quantizers.distances import Euclidean


class Estimator(nn.Module):
    """What a quantizer asks for its gradient; most estimators look at the vector and its codeword alone.

    Those that look at all codewords (`IndexBackpropagation`, `GumbelSoftmax`) override `cross`, and `choose` where the
    gradient belongs to a random choice; they need a `VectorQuantizer` around them.
    """

    def forward(self, z: Tensor, q: Tensor) -> Tensor:
        """`(..., D)` each; the value of `q` with a gradient to `z`."""
        raise ValueError(f"{type(self).__name__} looks at all codewords: give it to a VectorQuantizer")

    def choose(self, z: Tensor, e: Tensor, distance: Euclidean) -> Tensor:
        """Codes `(N,)` of a training batch, of placed vectors `(N, D)` and codewords `(K, D)`."""
        return distance.assign(z, e)

    def cross(self, z: Tensor, q: Tensor, e: Tensor, distance: Euclidean) -> Tensor:
        """As `forward`, of `(N, D)`; `q` and all codewords `e` `(K, D)` carry their gradients."""
        return self(z, q)

    def losses(self, z: Tensor, vectors: Tensor) -> dict[str, Tensor]:
        """Loss terms that go with the estimator, of `(N, D)` vectors and what `cross` made of them."""
        return {}


class StraightThrough(Estimator):
    """Copy the gradient unchanged (Bengio et al. 2013, arXiv:1308.3432); gain exactly 1."""

    def forward(self, z: Tensor, q: Tensor) -> Tensor:
        """`(..., D)` each; the value of `q` with the gradient of `z`."""
        return pass_gradient(z, q.detach())


class Synchronised(Estimator):
    """Copy the gradient to `z`, and a share of it to the codeword too: both move in one step.

    Huh et al. 2023, "Straightening Out the Straight-Through Estimator", arXiv:2305.08842; gain exactly 1.

    Args:
        share: of the decoder's gradient that the codeword receives.
    """

    def __init__(self, share: float = 0.2) -> None:
        super().__init__()
        self.share = share

    def forward(self, z: Tensor, q: Tensor) -> Tensor:
        """`(..., D)` each; the value of `q` with the gradient of `z`, and `share` of it for `q`."""
        return pass_gradient(z, q.detach()) + self.share * (q - q.detach())


class Rotation(Estimator):
    """Send the gradient back through the rotation and scaling that carry z onto q; gain |q| / |z|.

    Fifty et al. 2024, "Restructuring Vector Quantization with the Rotation Trick", arXiv:2410.06424. Where z and q point
    in opposite directions the rotation is not defined and the gradient is copied.
    """

    def forward(self, z: Tensor, q: Tensor) -> Tensor:
        """`(..., D)` each; the value of `q` with the rotated gradient of `z`."""
        q = q.detach()
        turned = self._turn(z, q)
        return q + (turned - turned.detach())

    def _turn(self, z: Tensor, q: Tensor) -> Tensor:
        z_length = z.detach().norm(dim=-1, keepdim=True).clamp_min(1e-6)
        q_length = q.norm(dim=-1, keepdim=True).clamp_min(1e-6)
        u, v = z.detach() / z_length, q / q_length
        w = u + v
        opposite = (u * v).sum(-1, keepdim=True) < -0.999
        w = w / w.norm(dim=-1, keepdim=True).clamp_min(1e-6)
        turned = z - 2 * (z * w).sum(-1, keepdim=True) * w + 2 * (z * u).sum(-1, keepdim=True) * v
        return (turned * (q_length / z_length)).where(~opposite, z)
