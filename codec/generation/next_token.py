"""Language models of codes: any interleaving pattern, one step after the other.

Yu et al. 2022, "Vector-quantized Image Modeling with Improved VQGAN", arXiv:2110.04627; Sun et al. 2024, "Autoregressive Model Beats
Diffusion: Llama for Scalable Image Generation", arXiv:2406.06525; Copet et al. 2023, "Simple and Controllable Music Generation",
arXiv:2306.05284, for delays. Trained on the bytes of JPEG files it is Han et al. 2024, "JPEG-LM", arXiv:2408.08459.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from codec.generation.conditions import NOTHING, Condition, Conditions, told_apart
from codec.generation.patterns import EMPTY, Flatten, Pattern, Places, deinterleave, interleave
from codec.generation.sampling import Sampling
from codec.generation.targets import Targets
from codec.generation.word_model import CausalModel
from codec.generation.words import Words


class SeenSoFar(Protocol):
    """What a trunk remembers between steps."""


class Trunk(Protocol):
    """A causal network, `codec.nn.SequenceTransformer` or `LlamaTrunk`.

    Attributes:
        dim: channels.
    """

    dim: int

    def new_cache(self) -> SeenSoFar:
        """Where nothing has been seen yet."""

    def __call__(self, x: Tensor, cache: SeenSoFar | None = None) -> Tensor:
        """`(B, N, dim)`, those that follow what the cache has seen, to the same, normed."""


class NextTokenModel(CausalModel):
    """Predicts the codes of each step of a pattern from those of all steps before.

    Args:
        words: of each plane.
        trunk: the network.
        pattern: order of the codes, no more than one of a plane in a step; position by position by default.
        conditions: what it may be told; None for nothing.
    """

    def __init__(
        self,
        words: Sequence[Words],
        trunk: Trunk,
        *,
        pattern: Pattern | None = None,
        conditions: Conditions | None = None,
    ) -> None:
        super().__init__(words)
        self.trunk, self.pattern = trunk, pattern if pattern is not None else Flatten()
        self.targets = Targets(trunk.dim, len(words), conditions or Conditions(trunk.dim))
        self.begin = nn.Parameter(0.02 * torch.randn(trunk.dim))

    @torch.no_grad()
    def generate(
        self,
        given: Tensor,
        condition: Condition = NOTHING,
        sampling: Sampling | None = None,
        *,
        random: torch.Generator,
    ) -> Tensor:
        """As of `TokenModel`; a given code is seen by those that come later only."""
        sampling, (batch, planes), grid = sampling or Sampling(), given.shape[:2], _grid(given)
        places = self.pattern.places([grid] * planes)
        sequence = interleave(list(given.unbind(1)), self.pattern)
        told = [self.targets(places, one, batch, grid) for one in told_apart(condition, sampling.guidance)]
        caches = [self.trunk.new_cache() for _ in told]
        before = self.begin.expand(batch, -1)
        for step, row_planes in enumerate(places.planes.tolist()):
            hidden = [
                self.trunk((before + target[:, step])[:, None], cache)[:, 0]
                for target, cache in zip(told, caches, strict=True)
            ]
            for row, q in enumerate(row_planes):
                if q != EMPTY:
                    sequence[:, step, row] = self._filled(q, sequence[:, step, row], hidden, sampling, random)
            before = self._embedded(sequence[:, step : step + 1], _step(places, step))[:, 0]
        return torch.stack(deinterleave(sequence, [grid] * planes, self.pattern), 1)

    def _bits(self, codes: Tensor, condition: Condition) -> Tensor:
        """`(B,)`."""
        grid = _grid(codes)
        places = self.pattern.places([grid] * codes.shape[1])
        self._check(places)
        sequence = interleave(list(codes.unbind(1)), self.pattern)
        seen = self._embedded(sequence, places)
        shifted = torch.cat([self.begin.expand(len(codes), 1, -1), seen[:, :-1]], 1)
        hidden = self.trunk(shifted + self.targets(places, condition, len(codes), grid))
        total = torch.zeros(len(codes), device=codes.device)
        for q, words in enumerate(self._words):
            steps, rows = (places.planes == q).nonzero(as_tuple=True)
            wanted = sequence[:, steps, rows]
            there = wanted != EMPTY
            bits = hidden.new_zeros(wanted.shape, dtype=torch.float32)
            bits[there] = words.code_bits(hidden[:, steps][there], wanted[there])
            total = total + bits.sum(1)
        return total

    def _embedded(self, sequence: Tensor, places: Places) -> Tensor:
        """Codes `(B, steps, rows)` to vectors `(B, steps, dim)`, those of the rows added up."""
        total = self.begin.new_zeros(*sequence.shape[:2], len(self.begin))
        for q, words in enumerate(self._words):
            steps, rows = (places.planes == q).nonzero(as_tuple=True)
            total = total.index_add(1, steps.to(total.device), words.embed(sequence[:, steps, rows]).to(total.dtype))
        return total

    def _check(self, places: Places) -> None:
        for step in places.planes[: len(places.planes) // 2 + 1]:
            filled = step[step != EMPTY]
            if len(filled.unique()) < len(filled):
                raise ValueError("a pattern with several codes of one plane in a step needs a masked model")

    @property
    def conditions(self) -> Conditions:
        """What it may be told."""
        return self.targets.conditions


def _grid(codes: Tensor) -> tuple[int, int]:
    return codes.shape[2], codes.shape[3]


def _step(places: Places, step: int) -> Places:
    return Places(places.planes[step : step + 1], places.positions[step : step + 1])
