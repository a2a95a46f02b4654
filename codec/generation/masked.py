"""Masked models: all that is known of a grid is seen at once, and a few steps fill what is not, the surest codes first.

Chang et al. 2022, "MaskGIT", arXiv:2202.04200; Weber et al. 2024, "MaskBit", arXiv:2409.16211; Borsos et al. 2023, "SoundStorm",
arXiv:2305.09636, for several planes, coarse to fine; Mentzer et al. 2023, "M2T", arXiv:2304.07313: with a fixed order of positions
the same model gives exact code lengths.
"""

import math
from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor

from codec.entropy import LatticePass, lattice_passes
from codec.generation.conditions import NOTHING, Condition, Conditions, told_apart
from codec.generation.patterns import EMPTY
from codec.generation.sampling import Sampling, draw, guided, gumbel
from codec.generation.word_model import WordModel
from codec.generation.words import DigitPlanes, Words
from codec.nn import GridTransformer

AT_ONCE = 1024  # positions whose probabilities are held
ScheduleName = Literal["cosine", "arccos"]


class MaskedModel(WordModel):
    """Predicts codes from all others that are known.

    Args:
        words: of each plane, or of each digit of all planes where `digits` are given.
        trunk: the network.
        conditions: what it may be told; None for nothing.
        digits: split codes first, and mask digits by themselves, as in MaskBit.
        schedule: share that is still unknown when a part of the steps is done.
        period: spacing of the first positions of the fixed order, a power of two.
        axes: along which that order goes; 1 for sound.
        ordered: share of training steps whose masks are those of the fixed order, so that code lengths are short; the other
            masks are random.
    """

    def __init__(
        self,
        words: Sequence[Words],
        trunk: GridTransformer,
        *,
        conditions: Conditions | None = None,
        digits: DigitPlanes | None = None,
        schedule: ScheduleName = "cosine",
        period: int = 8,
        axes: int = 2,
        ordered: float = 0.5,
    ) -> None:
        super().__init__(words)
        if digits is not None and digits.digit_alphabets != self.alphabets:
            raise ValueError(f"digits are {digits.digit_alphabets}, words for {self.alphabets}")
        self.alphabets = self.alphabets if digits is None else digits.alphabets
        self.trunk, self.conditions, self.digits = trunk, conditions or Conditions(trunk.dim), digits
        self.passes = lattice_passes(period, 1, axes)
        self._schedule, self._ordered = schedule, ordered

    def start(self, vectors: Sequence[Tensor], counts: Sequence[Tensor]) -> None:
        """As of `TokenModel`; digits that are masked by themselves start from nothing."""
        if self.digits is not None:
            self.digits.start(vectors)
            return
        super().start(vectors, counts)

    def loss(self, codes: Tensor, condition: Condition, random: torch.Generator) -> Tensor:
        """As of `TokenModel`, an estimate: of the fixed order's code length, or of random masks."""
        planes = self._split(codes)
        q = torch.randint(planes.shape[1], (len(planes),), generator=random, device=random.device)
        ordered = float(torch.rand((), generator=random, device=random.device)) < self._ordered
        known, wanted = self._ordered_mask(planes, q, random) if ordered else self._random_mask(planes, q, random)
        hidden = self.network(planes.masked_fill(~known, EMPTY), condition)
        bits = torch.cat([self._bits(hidden, planes, plane, wanted[:, plane]) for plane in range(planes.shape[1])])
        weights = torch.ones_like(bits)
        if ordered:  # a sample weighs the same, however many codes its pass has
            weights = torch.cat([(1 / n).repeat_interleave(n) for n in wanted.flatten(2).sum(2).T.contiguous()])
        mean = (bits * weights).sum() / weights.sum()
        return mean * (planes.shape[1] / codes.shape[1])

    @torch.no_grad()
    def code_length(self, codes: Tensor, condition: Condition = NOTHING) -> Tensor:
        """As of `TokenModel`, exact for the fixed order: plane by plane, in each pass by pass."""
        planes, total = self._split(codes), torch.zeros(len(codes), device=codes.device)
        known = torch.zeros_like(planes, dtype=torch.bool)
        for q, cells in self._steps(planes):
            if not bool(cells.any()):
                continue
            hidden = self.network(planes.masked_fill(~known, EMPTY), condition)
            wanted = cells.expand(planes[:, q].shape)
            total = total + self._bits(hidden, planes, q, wanted).view(len(codes), -1).sum(1)
            known[:, q] |= cells
        return total

    @torch.no_grad()
    def generate(
        self,
        given: Tensor,
        condition: Condition = NOTHING,
        sampling: Sampling | None = None,
        *,
        random: torch.Generator,
    ) -> Tensor:
        """As of `TokenModel`: plane by plane; digits that are masked by themselves all at once."""
        sampling, known = sampling or Sampling(), self._split(given)
        planes = list(range(known.shape[1]))
        for group in [planes] if self.digits is not None else [[q] for q in planes]:
            steps = sampling.steps if group[0] == 0 else max(1, sampling.steps // 2)
            known = self._filled(known, group, condition, sampling, steps=steps, random=random)
        return known if self.digits is None else self.digits.join(known)

    def network(self, planes: Tensor, condition: Condition = NOTHING) -> Tensor:
        """Planes `(B, Q, rows, columns)`, `EMPTY` where unknown, to what is made of each position, `(B, rows, columns, dim)`."""
        embedded = torch.stack([words.embed(plane) for words, plane in zip(self._words, planes.unbind(1), strict=True)])
        grid = planes.shape[2], planes.shape[3]
        hidden: Tensor = self.trunk(embedded.sum(0) + self.conditions(condition, len(planes), grid))
        return hidden

    def nearest_to_expected(self, planes: Tensor, q: int, vectors: Tensor) -> Tensor:
        """Codes `(n,)` of plane q where it is `EMPTY`: whose vectors, of `(K, D)`, are nearest to the mean of all by their likelihood."""
        hidden = self.network(planes)[planes[:, q] == EMPTY]
        means = (self._words[q].log_probabilities(part).exp() @ vectors for part in hidden.split(AT_ONCE))
        return torch.cat([torch.cdist(mean, vectors).argmin(1) for mean in means])

    def _filled(
        self,
        known: Tensor,
        group: Sequence[int],
        condition: Condition,
        sampling: Sampling,
        *,
        steps: int,
        random: torch.Generator,
    ) -> Tensor:
        """Planes with those of the group known everywhere."""
        at_first = (known[:, group] == EMPTY).flatten(1).sum(1)
        for step in range(steps):
            done = (step + 1) / steps
            drawn, confidence = self._drawn(known, group, condition, sampling, random)
            confidence = confidence + sampling.noise * (1 - done) * gumbel(confidence, random)
            left = (at_first * self._unknown_share(done)).floor().long() if step + 1 < steps else 0 * at_first
            known = known.clone()
            known[:, group] = torch.where(_surest(known[:, group] == EMPTY, confidence, left), drawn, known[:, group])
        return known

    def _drawn(
        self, known: Tensor, group: Sequence[int], condition: Condition, sampling: Sampling, random: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """For all that is unknown in planes of the group: a code, and how likely it is."""
        hidden = [self.network(known, one) for one in told_apart(condition, sampling.guidance)]
        drawn = known[:, group].clone()
        confidence = torch.zeros(drawn.shape, device=known.device)
        for i, q in enumerate(group):
            wanted = known[:, q] == EMPTY
            found = guided([self._words[q].log_probabilities(one[wanted]) for one in hidden], sampling.guidance)
            drawn[:, i][wanted], confidence[:, i][wanted] = draw(found, sampling, random)
        return drawn, confidence

    def _bits(self, hidden: Tensor, planes: Tensor, q: int, wanted: Tensor) -> Tensor:
        return self._words[q].code_bits(hidden[wanted], planes[:, q][wanted])

    def _random_mask(self, planes: Tensor, q: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """What is known, and what is wanted of plane q of each of the B: inside gaps later planes are unknown; digits have no order."""
        gaps, shares = _gaps(planes, random), self._unknown_share_of(_uniform((len(planes), 1, 1, 1), random))
        unknown = (_uniform(planes.shape, random) < shares).to(planes.device) & gaps
        own = _one_hot(q, planes)
        idle = ~(unknown & own).flatten(1).any(1)  # something is always wanted
        unknown[..., 0, 0] |= own[..., 0, 0] & idle[:, None]
        if self.digits is not None:
            return ~unknown, unknown
        return _earlier(q, planes) | (own & ~unknown) | ~(own | gaps), own & unknown

    def _ordered_mask(self, planes: Tensor, q: Tensor, random: torch.Generator) -> tuple[Tensor, Tensor]:
        """The same for a pass of the fixed order, drawn as often as its share of the positions."""
        masks = torch.stack([self._cells(one, planes) for one in self.passes])
        shares = masks.flatten(1).float().mean(1).to(random.device)
        p = torch.multinomial(shares, len(planes), replacement=True, generator=random).to(planes.device)
        done, own = (masks.cumsum(0) - masks.int())[p] > 0, _one_hot(q, planes)
        return _earlier(q, planes) | (own & done[:, None]), own & masks[p][:, None]

    def _steps(self, planes: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Plane and bool `(rows, columns)` of each step of the fixed order."""
        for q in range(planes.shape[1]):
            for one in self.passes:
                yield q, self._cells(one, planes)

    def _cells(self, one: LatticePass, planes: Tensor) -> Tensor:
        _, row, column = one.positions((1, planes.shape[2], planes.shape[3]))
        cells = torch.zeros(planes.shape[2:], dtype=torch.bool, device=planes.device)
        cells[row, column] = True
        return cells

    def _unknown_share(self, done: float) -> float:
        return float(self._unknown_share_of(torch.tensor(done)))

    def _unknown_share_of(self, done: Tensor) -> Tensor:
        return torch.cos(done * math.pi / 2) if self._schedule == "cosine" else torch.acos(done) / (math.pi / 2)

    def _split(self, codes: Tensor) -> Tensor:
        return codes if self.digits is None else self.digits.split(codes)


def _surest(unknown: Tensor, confidence: Tensor, left: Tensor) -> Tensor:
    """bool `(B, planes, rows, columns)`: what becomes known, so that `left` of each of the B stay unknown, but at least one code does."""
    flat = confidence.masked_fill(~unknown, -math.inf).flatten(1)
    still = unknown.flatten(1).sum(1)
    wanted = (still - left).clamp_min(0).maximum((still > 0).long())
    ranks = flat.argsort(1, descending=True).argsort(1)
    return (ranks < wanted[:, None]).view_as(unknown) & unknown


def _gaps(planes: Tensor, random: torch.Generator) -> Tensor:
    """bool `(B, 1, rows, columns)`: squares of which codes may be unknown; everywhere in half of the B."""
    side = 1 << int(torch.randint(5, (), generator=random, device=random.device))
    rows, columns = (-(-length // side) + 1 for length in planes.shape[2:])
    squares = _uniform((len(planes), rows, columns), random) < _uniform((len(planes), 1, 1), random)
    down, right = torch.randint(side, (2,), generator=random, device=random.device).tolist()
    cells = squares.repeat_interleave(side, 1).repeat_interleave(side, 2)
    cells = cells[:, down : down + planes.shape[2], right : right + planes.shape[3]]
    everywhere = _uniform((len(planes), 1, 1), random) < 0.5
    return (cells | everywhere)[:, None].to(planes.device)


def _uniform(shape: Sequence[int], random: torch.Generator) -> Tensor:
    return torch.rand(tuple(shape), generator=random, device=random.device)


def _one_hot(q: Tensor, planes: Tensor) -> Tensor:
    """bool `(B, Q, rows, columns)`: plane q of each of the B."""
    return (_numbers(planes) == q.to(planes.device)[:, None, None, None]).expand(planes.shape)


def _earlier(q: Tensor, planes: Tensor) -> Tensor:
    """The same of the planes before it."""
    return (_numbers(planes) < q.to(planes.device)[:, None, None, None]).expand(planes.shape)


def _numbers(planes: Tensor) -> Tensor:
    return torch.arange(planes.shape[1], device=planes.device)[:, None, None]
