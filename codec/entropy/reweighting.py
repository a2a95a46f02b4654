"""A gate for each channel of another context, from what the whole chunk looks like.

Jiang et al. 2025 (MLICv2), arXiv:2504.19119, re-weight the channels of their contexts; the form here is that of Hu et al. 2018,
"Squeeze-and-excitation networks", arXiv:1709.01507.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from codec.entropy.attention import WEIGHT_BITS, TwinNetwork, divide_rounded, exact_sigmoid
from codec.entropy.contexts import Context, ContextChoice, Place, Seen


@dataclass(frozen=True)
class ReweightedContext:
    """A context whose channels are gated.

    Attributes:
        choice: which context.
        hidden: channels of the gate's network.
    """

    choice: ContextChoice
    hidden: int = 16

    def build(self, place: Place) -> Context | None:
        """Nothing where the context adds nothing."""
        inner = self.choice.build(place)
        return None if inner is None else Reweighted(inner, place.features, self.hidden)


class Reweighted(Context):
    """Channels times twice a sigmoid, so 1 before training, of means over the chunk."""

    def __init__(self, inner: Context, features: int, hidden: int) -> None:
        super().__init__()
        self.channels, self.inner = inner.channels, inner
        last = nn.Linear(hidden, self.channels)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.gate = TwinNetwork(nn.Linear(self.channels + features, hidden), last)

    def forward(self, seen: Seen) -> Tensor:
        """Gated."""
        values = self.inner(seen)
        means = torch.cat([values, seen.features], 1).mean((2, 3))
        return 2 * torch.sigmoid(self.gate(means))[:, :, None, None] * values

    def exact(self, seen: Seen) -> Tensor:
        """The same in integers."""
        values = self.inner.exact(seen)
        gates = exact_sigmoid(self.gate.exact(_means(values, seen)))[:, :, None, None]
        return (values * gates + (1 << WEIGHT_BITS - 2)) >> WEIGHT_BITS - 1

    def convert(self, seen: Seen) -> None:
        """The context, then its gate."""
        self.inner.convert(seen)
        self.gate.convert(_means(self.inner.exact(seen), seen))

    def thaw(self) -> None:
        """The context and its gate."""
        self.inner.thaw()
        self.gate.thaw()


def _means(values: Tensor, seen: Seen) -> Tensor:
    """int64 means over space `(B, C)`."""
    planes = torch.cat([values, seen.features], 1).flatten(2)
    return divide_rounded(planes.sum(2), torch.tensor(planes.shape[2]))
