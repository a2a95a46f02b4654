"""What priors of small planes share: passes over ever denser lattices, a network for each and its integer twin, and what it sees."""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from codec.entropy.exact import IntegerNetwork
from codec.entropy.layers import leaky_sequential
from codec.entropy.schedule import LatticePass
from codec.entropy.tables import LOGIT_BITS

CROSS = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))  # where planes beside are seen


class PassNetworks(nn.Module):
    """A network of three layers for each pass; what it says is 0 at first.

    Args:
        passes: in their order.
        inputs: of each pass's network, in 1/256.
        outputs: in 1/256.
        width: hidden channels.
    """

    def __init__(self, passes: Sequence[LatticePass], inputs: Sequence[int], outputs: int, width: int) -> None:
        super().__init__()
        self.passes = passes
        self.networks = nn.ModuleList(_network(seen, outputs, width) for seen in inputs)
        self.twins = nn.ModuleList(
            IntegerNetwork(cast(nn.Sequential, network), input_bits=LOGIT_BITS, output_bits=LOGIT_BITS)
            for network in self.networks
        )

    def float_twins(self) -> frozenset[str]:
        """All floats."""
        return frozenset(name for name, tensor in self.state_dict().items() if tensor.is_floating_point())

    def thaw(self) -> None:
        """Make the float networks from the integers."""
        for network, twin in zip(self.networks, self.twins, strict=True):
            cast(IntegerNetwork, twin).restore(cast(nn.Sequential, network))

    def convert(self, p: int, inputs: Tensor) -> None:
        """Make the twin of pass p, calibrated on inputs `(n, inputs)`."""
        cast(IntegerNetwork, self.twins[p]).convert(cast(nn.Sequential, self.networks[p]), inputs)


def _network(inputs: int, outputs: int, width: int) -> nn.Sequential:
    last = nn.Linear(width, outputs)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    return leaky_sequential(nn.Linear(inputs, width), nn.Linear(width, width), last)


def looked_up(
    planes: Tensor, frame: Tensor, row: Tensor, column: Tensor, offsets: Sequence[tuple[int, int]]
) -> tuple[Tensor, Tensor]:
    """Of planes `(B, P, rows, columns)` the values `(n, k, P)` at k offsets from n positions, 0 outside; bool `(n, k)`, whether inside."""
    shifts = torch.tensor(offsets, device=planes.device, dtype=torch.int64).reshape(-1, 2)
    rows, columns = row[:, None] + shifts[:, 0], column[:, None] + shifts[:, 1]
    inside = (rows >= 0) & (rows < planes.shape[2]) & (columns >= 0) & (columns < planes.shape[3])
    height, width = planes.shape[2] - 1, planes.shape[3] - 1
    found = planes[frame[:, None], :, rows.clamp(0, height), columns.clamp(0, width)]
    return torch.where(inside[..., None], found, 0), inside
