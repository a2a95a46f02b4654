"""VQ-Diffusion: codes are masked and replaced step by step, and a network learns the way back.

Gu et al. 2022, "Vector Quantized Diffusion Model for Text-to-Image Synthesis", arXiv:2111.14822. As replaced codes look like any
others, the sampler may revise what it has drawn. Code lengths are those of the variational bound.

There the network says what a code was, all told, and has to learn to repeat what it sees. Here it says what a code may be, and what is
seen in its place counts by Bayes' rule: what is seen is right most of the time, and that need not be learned.

Legend: K codes; a, b, g the probabilities that a code is kept, becomes a given other code, is masked: a + K b + g = 1.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from codec.generation.conditions import NOTHING, Condition, Conditions, told_apart
from codec.generation.patterns import EMPTY
from codec.generation.sampling import Sampling, draw, guided
from codec.generation.targets import FREQUENCIES, sinusoids
from codec.generation.word_model import WordModel
from codec.generation.words import Words
from codec.nn import GridTransformer

NEARLY = 1e-5  # a code is masked, or replaced, so rarely at the start, and so rarely not masked in the end
LEAST = 1e-30  # probability whose logarithm is still taken
AT_ONCE = 16  # positions whose probabilities stay in a processor's cache


@dataclass(frozen=True)
class Corruption:
    """Of one code from a time to a later one.

    Attributes:
        kept: a.
        masked: g.
    """

    kept: float
    masked: float

    def replaced(self, alphabet: int) -> float:
        """b."""
        return max(0.0, 1 - self.kept - self.masked) / alphabet

    def since(self, earlier: "Corruption") -> "Corruption":
        """From that time on, where both are since the start."""
        return Corruption(self.kept / earlier.kept, 1 - (1 - self.masked) / (1 - earlier.masked))


class DiffusionModel(WordModel):
    """Predicts codes from a grid in which some are masked and some are wrong.

    Args:
        words: of each plane.
        trunk: the network.
        times: T.
        conditions: what it may be told; None for nothing.
        replaced: share of the codes not masked that are any others, in the end.
        direct: weight of the code length of the codes themselves, beside that of the steps between times.
        measured: codes of a plane at which a training step is measured, drawn from all: each takes a distribution over the whole codebook.
    """

    def __init__(
        self,
        words: Sequence[Words],
        trunk: GridTransformer,
        *,
        times: int = 100,
        conditions: Conditions | None = None,
        replaced: float = 0.1,
        direct: float = 0.05,
        measured: int = 256,
    ) -> None:
        super().__init__(words)
        self.trunk, self.conditions = trunk, conditions or Conditions(trunk.dim)
        self.time = nn.Linear(2 * FREQUENCIES, trunk.dim)
        self.times, self._replaced, self._direct, self._measured = times, replaced, direct, measured

    def corruption(self, time: int) -> Corruption:
        """From time 0 to that; almost everything is masked at time T."""
        if time == 0:
            return Corruption(1.0, 0.0)
        done = (time - 1) / max(1, self.times - 1)
        masked = NEARLY + done * (1 - 2 * NEARLY)
        return Corruption((1 - masked) * (1 - NEARLY - done * self._replaced), masked)

    def loss(self, codes: Tensor, condition: Condition, random: torch.Generator) -> Tensor:
        """As of `TokenModel`, an estimate of the bound from one time, and a little of the codes themselves."""
        time = 1 + int(torch.randint(self.times, (), generator=random, device=random.device))
        each = codes[:, 0].numel()
        chosen = torch.randperm(each, generator=random, device=random.device)[: self._measured].to(codes.device)
        bits = [
            self.times * step + self._direct * direct
            for step, direct in self._bits(codes, time, condition, random, chosen)
        ]
        return torch.stack(bits).mean()

    @torch.no_grad()
    def code_length(self, codes: Tensor, condition: Condition = NOTHING) -> Tensor:
        """As of `TokenModel`, a bound: all times, each with one grid drawn for it."""
        random = torch.Generator(codes.device).manual_seed(0)
        total = torch.zeros(len(codes), device=codes.device)
        for time in range(1, self.times + 1):
            steps = torch.stack([step for step, _ in self._bits(codes, time, condition, random)])
            total = total + steps.view(len(steps), len(codes), -1).sum((0, 2))
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
        """As of `TokenModel`; at the last step what is still masked is drawn as well."""
        sampling = sampling or Sampling()
        times = torch.linspace(self.times, 0, sampling.steps + 1).round().long().tolist()
        codes = given.clone()
        for time, earlier in pairwise(times):
            hidden = [self._network(codes, time, one) for one in told_apart(condition, sampling.guidance)]
            for q, words in enumerate(self._words):
                found = guided([words.log_probabilities(one[:, q].flatten(0, 2)) for one in hidden], sampling.guidance)
                back = self._back(codes[:, q].flatten(), found.exp(), time, earlier)
                drawn, _ = draw(back.clamp_min(LEAST).log(), sampling, random)
                drawn = torch.where(drawn == words.alphabet, EMPTY, drawn).view_as(codes[:, q])
                codes[:, q] = torch.where(given[:, q] == EMPTY, drawn, given[:, q])
        return codes

    def corrupted(self, codes: Tensor, time: int, random: torch.Generator) -> Tensor:
        """Codes `(B, Q, rows, columns)` at that time, `EMPTY` where masked."""
        way = self.corruption(time)
        chance = torch.rand(codes.shape, generator=random, device=random.device).to(codes.device)
        alphabets = torch.tensor(self.alphabets, device=codes.device)[:, None, None]
        anything = torch.rand(codes.shape, generator=random, device=random.device).to(codes.device)
        replaced = torch.where(chance < way.kept, codes, (anything * alphabets).long().minimum(alphabets - 1))
        return replaced.masked_fill(chance >= 1 - way.masked, EMPTY)

    def _bits(
        self, codes: Tensor, time: int, condition: Condition, random: torch.Generator, chosen: Tensor | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """For each plane the bits of the step back from that time, and of the codes themselves, of all codes `(n,)` or the chosen ones."""
        seen = self.corrupted(codes, time, random)
        hidden = self._network(seen, time, condition)
        for q, words in enumerate(self._words):
            wanted, now, given = codes[:, q].flatten(), seen[:, q].flatten(), hidden[:, q].flatten(0, 2)
            if chosen is not None:
                wanted, now, given = wanted[chosen], now[chosen], given[chosen]
            parts = zip(given.split(AT_ONCE), wanted.split(AT_ONCE), now.split(AT_ONCE), strict=True)
            found = [self._step(words, *part, time) for part in parts]
            step, direct = (torch.cat(nats) / math.log(2) for nats in zip(*found, strict=True))
            yield step, direct

    def _step(self, words: Words, hidden: Tensor, wanted: Tensor, now: Tensor, time: int) -> tuple[Tensor, Tensor]:
        """Nats `(n,)` of the step back from a time, and of the codes themselves."""
        found = words.log_probabilities(hidden)
        direct = self._direct_nats(found, wanted, now, time)
        return direct if time == 1 else self._apart(found, wanted, now, time), direct

    def _direct_nats(self, found: Tensor, wanted: Tensor, now: Tensor, time: int) -> Tensor:
        """Of the codes themselves, once what is seen in their place is counted."""
        way, of_wanted = self.corruption(time), found.gather(1, wanted[:, None])[:, 0]
        of_now, replaced = found.gather(1, now.clamp_min(0)[:, None])[:, 0], way.replaced(found.shape[1])
        evidence = (replaced + way.kept * (wanted == now)) / (replaced + way.kept * of_now.exp())
        return -torch.where(now == EMPTY, of_wanted, of_wanted + evidence.log())

    def _apart(self, found: Tensor, wanted: Tensor, now: Tensor, time: int) -> Tensor:
        """Divergence in nats `(n,)` of the step back that is predicted from that of the truth."""
        truth = nn.functional.one_hot(wanted, found.shape[1]).to(found)
        true_back = self._back(now, truth, time, time - 1)
        back = self._back(now, found.exp(), time, time - 1)
        return (true_back * (true_back.clamp_min(LEAST).log() - back.clamp_min(LEAST).log())).sum(1)

    def _back(self, now: Tensor, shares: Tensor, time: int, earlier: int) -> Tensor:
        """Probabilities `(n, K + 1)`, the mask last, of codes at an earlier time.

        Args:
            now: int64 `(n,)` at `time`, `EMPTY` where masked.
            shares: `(n, K)`, probabilities of the codes at time 0 before now is seen.
            time: of now.
            earlier: before it.
        """
        alphabet, before = shares.shape[1], self.corruption(earlier)
        step = self.corruption(time).since(before)
        masked = (now == EMPTY)[:, None]
        is_now = torch.zeros_like(shares).scatter_(1, now.clamp_min(0)[:, None], 1.0)
        reached = before.replaced(alphabet) + before.kept * shares
        towards = torch.where(masked, step.masked, step.replaced(alphabet) + step.kept * is_now)
        back = torch.cat([reached * towards, before.masked * masked], 1)
        return back / back.sum(1, keepdim=True)

    def _network(self, seen: Tensor, time: int, condition: Condition) -> Tensor:
        """`(B, Q, rows, columns, dim)`, the same for all planes of a position."""
        embedded = torch.stack([words.embed(plane) for words, plane in zip(self._words, seen.unbind(1), strict=True)])
        at = self.time(sinusoids(torch.full((1, 1), time, device=seen.device)))
        told = self.conditions(condition, len(seen), (seen.shape[2], seen.shape[3]))
        hidden: Tensor = self.trunk(embedded.sum(0) + at[0] + told)
        return hidden[:, None].expand(-1, seen.shape[1], -1, -1, -1)
