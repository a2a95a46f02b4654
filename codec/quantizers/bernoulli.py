"""Binary latents: each channel is a coin that the encoder loads; training tosses it, eval takes the likelier side.

Wang et al. 2023, "Binary Latent Diffusion", arXiv:2304.04820.
"""

import numpy as np
import torch
from torch import Tensor, nn

from codec.quantizers.digits import Digits
from codec.quantizers.implicit import Implicit
from codec.quantizers.processes import process_number


class Bernoulli(Implicit):
    """One bit per channel, with vectors in {0, 1}; `Projected` around it is the paper's linear embedding of the bits.

    The gradient reaches the probabilities unchanged, so a logit receives p (1 - p) of it. Loss `binariness`: mean of p (1 - p),
    small when coins are sure (weight 0 in the paper). Bits are split over codes as by LFQ. Draws are seeded by the number of
    training batches seen and the process, so that a resumed run draws the same.

    Args:
        bits: D, one coin a channel.
        digits_per_code: bits that share a code, at most 62; all of them unless given.
        estimator: how the gradient of the bits reaches the probabilities.
    """

    updates: Tensor  # number of training batches seen

    def __init__(self, bits: int, *, digits_per_code: int | None = None, estimator: nn.Module | None = None) -> None:
        super().__init__(estimator)
        self.digits = Digits([2] * bits, digits_per_code)
        self.dim, self.codebook_sizes = bits, self.digits.codebook_sizes
        self.register_buffer("updates", torch.tensor(0))

    def place(self, z: Tensor) -> Tensor:
        """Logits to probabilities of one."""
        return torch.sigmoid(z)

    def choose(self, placed: Tensor) -> Tensor:
        """The likelier side; a fair coin falls on zero."""
        return self.digits.pack((placed > 0.5).long())

    def decode(self, codes: Tensor) -> Tensor:
        """int64 `(..., Q)` codes to `(..., D)` bits as floats."""
        return self.digits.unpack(codes).float()

    def losses(self, placed: Tensor, q: Tensor) -> dict[str, Tensor]:
        """How unsure the coins are."""
        return {"binariness": (placed * (1 - placed)).mean()}

    @torch.no_grad()
    def _sample(self, placed: Tensor) -> Tensor:
        generator = torch.Generator(placed.device)
        generator.manual_seed(int(np.random.SeedSequence((int(self.updates), process_number())).generate_state(1)[0]))
        self.updates += 1
        draws = torch.rand(placed.shape, generator=generator, device=placed.device)
        return self.digits.pack((draws < placed).long())
