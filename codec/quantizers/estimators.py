"""How the decoder's gradient crosses the quantizer; the forward value is always `q`."""

from torch import Tensor, nn

from codec.quantizers.base import pass_gradient


class StraightThrough(nn.Module):
    """Copy the gradient unchanged (Bengio et al. 2013, arXiv:1308.3432); gain exactly 1."""

    def forward(self, z: Tensor, q: Tensor) -> Tensor:
        """`(..., D)` each; the value of `q` with the gradient of `z`."""
        return pass_gradient(z, q.detach())


class Rotation(nn.Module):
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
