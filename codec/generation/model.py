"""What a generative model of tokens promises: a loss, the code length of held-out codes, and samples that keep what is given."""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from codec.generation.conditions import NOTHING, Condition, Conditions
from codec.generation.sampling import Sampling


class TokenModel(Protocol):
    """A model of planes of codes on one grid `(rows, columns)`; a sound has a row a channel, and a column a frame.

    Attributes:
        alphabets: of the planes.
    """

    alphabets: tuple[int, ...]

    @property
    def conditions(self) -> Conditions:
        """What it may be told."""

    def start(self, vectors: Sequence[Tensor], counts: Sequence[Tensor]) -> None:
        """Begin at what the codes of each plane mean, `(K, D)`, and how often they occur, `(K,)`."""

    def loss(self, codes: Tensor, condition: Condition, random: torch.Generator) -> Tensor:
        """Bits a token of int64 codes `(B, Q, rows, columns)`, differentiable; an estimate where the model draws what it predicts."""

    def code_length(self, codes: Tensor, condition: Condition = NOTHING) -> Tensor:
        """Bits of each of the B grids by the model as it stands, `(B,)`: what a coder would need, or a bound of it."""

    def generate(
        self,
        given: Tensor,
        condition: Condition = NOTHING,
        sampling: Sampling | None = None,
        *,
        random: torch.Generator,
    ) -> Tensor:
        """Codes `(B, Q, rows, columns)` that are those of `given` wherever it is not `EMPTY`."""
