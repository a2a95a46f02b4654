"""Hyperpriors with contexts, by config: groups of channels in turn, each in one pass or in two by a checkerboard.

One class holds the mean-scale hyperprior (one group, no context), the checkerboard (He et al. 2021, arXiv:2103.15306),
channel slices (Minnen, Singh 2020, arXiv:2007.08739) and uneven space-channel groups (He et al. 2022, arXiv:2203.10886):

    groups [320]                    no contexts                       mean-scale hyperprior
    groups [320], checkerboard      NeighbourContext                  checkerboard
    groups [32] * 10                ChannelContext                    channel slices
    groups [16, 16, 32, 64, 192]    both, checkerboard                ELIC
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from codec.coding import FrozenTables, tables_from_pmfs
from codec.entropy.base import FIXED_POINT, Known, Layout, Rows, Step
from codec.entropy.contexts import ContextChoice, Place, Seen
from codec.entropy.driver import batch_bits, percent_more
from codec.entropy.group_pass import ExactPasses, GroupPass
from codec.entropy.hyper import REDUCTION, HyperPath
from codec.entropy.kernels import dequantised
from codec.entropy.levels import FINEST, LevelTable, clip_gain, scaled
from codec.entropy.likelihood import GaussianLikelihood, Likelihood, Spot
from codec.entropy.past import PastPath
from codec.entropy.positions import positions_of
from codec.entropy.rounding import NOISE, Priced, Rounding
from codec.entropy.tables import StoredTables
from codec.nn import level_features

OFFSETS, HYPER, FIRST_GROUP = 0, 1, 2  # planes
OFFSET_UNIT = 32  # gain indices that one unit of an offset is worth
_OFFSET_REACH = 32


@dataclass(frozen=True)
class CodedLatent:
    """What a prior makes of a batch of latents in training.

    Attributes:
        bits: `(B,)`, all planes.
        latents: `(B, channels, h, w)`, normalised and dequantised.
    """

    bits: Tensor
    latents: Tensor


class GroupedLatentPrior(nn.Module):
    """Planes: gain offsets, hyper-latent, then the groups of the latent; from the first group on they may be missing.

    A position's gain index is that of the layout plus 32 times its offset. Groups hold `y = n 2^A`, n the normalised latent and A the
    channel's log2 amplitude at that gain; a missing group decodes to its means.

    Args:
        channels: of the latent.
        groups: sizes of the groups, the most important first.
        checkerboard: two passes a group, even positions first.
        contexts: what passes see beside the hyper features.
        likelihood: of the groups; Gaussian by default.
        past: what passes see of earlier frames, for video.
        hyper_channels: of the hyper-latent.
        hyper_width: hidden channels of its networks.
        features: channels that they give to the passes.
        width: hidden channels of the passes.
        depth: their hidden layers.
        knots: of what depends on the quality.
    """

    def __init__(
        self,
        channels: int,
        *,
        groups: Sequence[int],
        checkerboard: bool = False,
        contexts: Sequence[ContextChoice] = (),
        likelihood: Likelihood | None = None,
        past: PastPath | None = None,
        hyper_channels: int = 48,
        hyper_width: int = 96,
        features: int = 96,
        width: int = 128,
        depth: int = 2,
        knots: int = 8,
    ) -> None:
        super().__init__()
        if sum(groups) != channels or min(groups) < 1:
            raise ValueError(f"groups {list(groups)} must be positive and add up to {channels} channels")
        self.channels, self.groups, self.knots = channels, tuple(groups), knots
        self.codebook_sizes = (0,) * (FIRST_GROUP + len(groups))
        self.droppable_from, self.is_continuous = FIRST_GROUP, True
        self.reductions = (REDUCTION,) * FIRST_GROUP + (1,) * len(groups)
        self.amplitudes = LevelTable(channels, knots)
        self.hyper = HyperPath(
            channels, hyper_channels=hyper_channels, width=hyper_width, features=features, knots=knots
        )
        self.likelihood = GaussianLikelihood() if likelihood is None else likelihood
        self.offset_tables = StoredTables(_offset_tables())
        self.past = past
        seen = features + (0 if past is None else past.features)
        self._phases = 2 if checkerboard else 1
        self.passes = nn.ModuleList(
            GroupPass(
                Place(seen, self.groups[:s], size, phase),
                contexts,
                width=width,
                depth=depth,
                knots=knots,
                parameters=self.likelihood.parameters_per_channel,
            )
            for s, size in enumerate(groups)
            for phase in range(self._phases)
        )

    def layout(self, grid: tuple[int, ...], gain: int = 0, past: NDArray[np.int64] | None = None) -> Layout:
        """Grids of the planes over `(rows, columns)` of the latent, after `past` as of a `Layout`."""
        rows, columns = grid
        coarse = (-(-rows // REDUCTION), -(-columns // REDUCTION))
        groups = tuple((size, rows, columns) for size in self.groups)
        return Layout((coarse, (self.hyper.hyper_channels, *coarse), *groups), gain, past)

    def forward(self, n: Tensor, levels: Tensor, rounding: Rounding = NOISE, past: Tensor | None = None) -> CodedLatent:
        """Code normalised latents `(B, channels, h, w)` at levels `(B, 1, h, w)`, which 4 x 4 positions share.

        Args:
            n: from the analysis.
            levels: of quality.
            rounding: what stands for it.
            past: `(B, P, h, w)`, what is known of earlier frames.
        """
        with torch.autocast(n.device.type, enabled=False):
            amplitude = self.amplitudes(levels)
            y = n.float() * torch.exp2(amplitude)
        z = self.hyper.analyse(y, levels)
        with torch.autocast(n.device.type, enabled=False):
            return self._code(z.float(), y, levels, rounding, past)

    def analyse(self, n: Tensor, gain: int, offsets: Tensor | None = None) -> list[Tensor]:
        """Normalised latents `(1, channels, h, w)` of one chunk to its planes, continuous ones as float64.

        Args:
            n: from the analysis.
            gain: index 0 … 1023.
            offsets: int64 on the hyper-latent's grid, none by default.
        """
        layout = self.layout(n.shape[-2:], gain)
        offsets = torch.zeros(layout.grids[OFFSETS], dtype=torch.int64) if offsets is None else offsets.cpu()
        gains = self._finer(_gains(offsets.numpy(), gain)[None], layout.grids[FIRST_GROUP][1:])
        amplitude = torch.from_numpy(self._exact_amplitude(gains)).double() / FIXED_POINT
        y = n.double().cpu() * torch.exp2(amplitude)
        levels = torch.from_numpy(gains)[:, None].float() / FINEST
        z = self.hyper.analyse(y.float().to(n.device), levels.to(n.device))
        return [offsets, z[0].double().cpu(), *y[0].split(self.groups)]

    def dequantise(self, layout: Layout, known: Known) -> Tensor:
        """Normalised latents float32 `(channels, rows, columns)` of what has been coded."""
        rows, columns = layout.grids[FIRST_GROUP][1:]
        gains = self.gains(layout, known)
        alike = gains.size > 0 and bool(np.all(gains == gains[0, 0]))
        amplitude = self._exact_amplitude(gains[None, :1, :1] if alike else gains[None])[0]
        factors = np.exp2(-amplitude / FIXED_POINT).reshape(self.channels, -1) / FIXED_POINT
        values = np.empty((self.channels, rows * columns), np.float32)
        for s, latents in enumerate(known.latents[FIRST_GROUP:]):
            start, stop = self._span(s)
            dequantised(latents.reshape(stop - start, -1), factors[start:stop], values[start:stop])
        return torch.from_numpy(values).reshape(self.channels, rows, columns)

    def normalised(self, layout: Layout, known: Known) -> NDArray[np.int64]:
        """The same in integers of 1/256, exactly: `(channels, rows, columns)`."""
        rows, columns = layout.grids[FIRST_GROUP][1:]
        amplitude = self._exact_amplitude(self.gains(layout, known)[None])[0]
        latents = np.concatenate([part.reshape(-1, rows, columns) for part in known.latents[FIRST_GROUP:]])
        return scaled(latents, -amplitude)

    def step_sizes(self, levels: Tensor) -> Tensor:
        """One quantisation step in units of the normalised latent, at levels `(B, 1, h, w)`."""
        return torch.exp2(-self.amplitudes(levels)).detach()

    def levels(self, layout: Layout, known: Known) -> Tensor:
        """Level of each position of the latent, float32 `(rows, columns)` in [0, 1]."""
        return torch.from_numpy(self.gains(layout, known)).float() / FINEST

    def gains(self, layout: Layout, known: Known) -> NDArray[np.int64]:
        """Gain index of each position of the latent `(rows, columns)`."""
        coarse = _gains(known.codes[OFFSETS].reshape(layout.grids[OFFSETS]), layout.gain)
        return self._finer(coarse[None], layout.grids[FIRST_GROUP][1:])[0]

    def bits(self, planes: Sequence[Tensor]) -> Tensor:
        """Code length of planes `(B, *grid)`, summed: differentiable in training, of the integer tables in eval."""
        if not self.training:
            return batch_bits(self, planes)
        return self._code(
            planes[HYPER].float(), torch.cat(list(planes[FIRST_GROUP:]), 1), self._levels(planes)
        ).bits.sum()

    def _levels(self, planes: Sequence[Tensor]) -> Tensor:
        gains = self._finer(_rounded_gains(planes[OFFSETS]), planes[FIRST_GROUP].shape[-2:])
        return torch.from_numpy(gains)[:, None].float().to(planes[HYPER].device) / FINEST

    def _code(
        self, z: Tensor, y: Tensor, levels: Tensor, rounding: Rounding = NOISE, past: Tensor | None = None
    ) -> CodedLatent:
        """Continuous z and y in steps through the float networks."""
        batch, _, height, width = y.shape
        hyper, features = self.hyper(z, levels, rounding)
        if self.past is not None:
            features = torch.cat([features, self.past(past, (batch, height, width), y.device)], 1)
        bits = hyper.bits.flatten(1).sum(1)
        hats = level_features(levels, self.knots)
        amplitude = self.amplitudes(levels)
        before = y.new_zeros(batch, 0, height, width)
        for s, size in enumerate(self.groups):
            own = y.new_zeros(batch, height * width, size)
            first = sum(self.groups[:s])
            part, log2 = (_rows(planes[:, first : first + size]) for planes in (y, amplitude))
            for phase, (index, known) in enumerate(self._schedule(height, width, y.device)):
                seen = Seen(features, before, _planes(own, height, width), known)
                parameters = self._pass(s, phase)(seen, hats, index)
                coded = self.likelihood(part[:, index], parameters, log2[:, index], rounding)
                bits = bits + coded.bits.flatten(1).sum(1)
                own = own.index_copy(1, index, coded.values * torch.exp2(-log2[:, index]))
            before = torch.cat([before, _planes(own, height, width)], 1)
        return CodedLatent(bits, before)

    @torch.no_grad()
    def freeze(self, planes: Sequence[Tensor], past: NDArray[np.int64] | None = None) -> float:
        """Make integers from the float networks; returns their cost on continuous planes `(B, *grid)` in percent.

        Offsets count from gain index 0 here, so that the batch can hold many qualities. `past` is `(B, P, h, w)` in 1/256.
        """
        self.amplitudes.freeze()
        coarse = _rounded_gains(planes[OFFSETS])
        latents = self.hyper.freeze(planes[HYPER], coarse)
        values = np.concatenate([plane.double().cpu().numpy() for plane in planes[FIRST_GROUP:]], 1)
        grid = cast(tuple[int, int], values.shape[-2:])
        features = self.hyper.exact_features(latents, coarse, grid)
        if self.past is not None:
            features = np.concatenate([features, self.past.freeze(past, (len(coarse), *grid))], 1)
        exact = self._exact_passes(features, self._finer(coarse, grid))
        values = values.reshape(*values.shape[:2], -1)
        for s, phase in self._order():
            start, stop = self._span(s)
            module, work = self._pass(s, phase), exact.begin(start, stop, phase)
            module.convert(work.seen, self.amplitudes.values.device)
            parameters = module.exact(work.seen).astype(np.int64)
            means, _ = self.likelihood.exact(parameters, work.amplitude)
            residual = values[:, start:stop][:, :, work.index].transpose(0, 2, 1) - means / FIXED_POINT
            found = np.zeros((len(coarse), stop - start, values.shape[2]), np.int64)
            found[:, :, work.index] = (np.rint(residual).astype(np.int64) * FIXED_POINT + means).transpose(0, 2, 1)
            exact.learn(work, found)
        y = torch.cat(list(planes[FIRST_GROUP:]), 1).float()
        before = None if past is None else torch.from_numpy(past / FIXED_POINT).float().to(y.device)
        expected = self._code(planes[HYPER].float(), y, self._levels(planes), Priced(), before).bits.sum()
        offsets = np.rint(planes[OFFSETS].double().cpu().numpy()).astype(np.int64)
        beside = self.offset_tables.tables.bits(np.zeros_like(offsets), offsets).sum()
        return percent_more(float(batch_bits(self, planes, past)) - float(beside), float(expected))

    def float_twins(self) -> frozenset[str]:
        """All floats but those of the hyper-latent's analysis, which has no integers."""
        floats = (name for name, tensor in self.state_dict().items() if tensor.is_floating_point())
        return frozenset(name for name in floats if not name.startswith("hyper.analysis."))

    def thaw(self) -> None:
        """Make the float networks from the integers, for encoders that refine and for more training."""
        self.amplitudes.thaw()
        self.hyper.thaw()
        if self.past is not None:
            self.past.thaw()
        for module in self.passes:
            cast(GroupPass, module).thaw()

    def steps(self, layout: Layout, known: Known) -> Iterator[Step]:
        """Offsets, z, then group by group, pass by pass."""
        if not all(layout.sizes):
            return
        coarse_grid, grid = layout.grids[OFFSETS], cast(tuple[int, int], layout.grids[FIRST_GROUP][1:])
        everywhere = np.arange(layout.sizes[OFFSETS])
        yield Step(OFFSETS, everywhere, Rows(np.zeros_like(everywhere), self.offset_tables.tables))
        coarse = _gains(known.codes[OFFSETS].reshape(coarse_grid), layout.gain)
        yield self.hyper.step(HYPER, coarse)
        features = self.hyper.exact_features(known.latents[HYPER], coarse[None], grid)
        if self.past is not None:
            given = None if layout.past is None else layout.past[None]
            features = np.concatenate([features, self.past.exact(given, (1, *grid))], 1)
        exact = self._exact_passes(features, self._finer(coarse[None], grid))
        for s, phase in self._order():
            start, stop = self._span(s)
            work, plane = exact.begin(start, stop, phase), FIRST_GROUP + s
            spot = Spot(plane, work.index, grid[0] * grid[1])
            coding = self.likelihood.coding(spot, work.amplitude[0])
            self._pass(s, phase).hand_out(work.seen, lambda _, *found, coding=coding: coding.take(*found))
            yield from coding.steps()
            exact.learn(work, known.latents[plane].reshape(1, stop - start, -1))

    def _exact_passes(self, features: NDArray[np.float64], gains: NDArray[np.int64]) -> ExactPasses:
        """The state before the first pass; one amplitude stands for all positions where the gain is the same everywhere."""
        alike = bool(np.all(gains == gains[:, :1, :1]))
        few = gains[:, :1, :1] if alike else gains
        amplitude = self.amplitudes.exact(few.ravel()).reshape(len(gains), -1, self.channels)
        return ExactPasses(features, gains, amplitude, knots=self.knots, phases=self._phases)

    def _span(self, s: int) -> tuple[int, int]:
        """First channel of group s, and the one after its last."""
        start = sum(self.groups[:s])
        return start, start + self.groups[s]

    def _order(self) -> Iterator[tuple[int, int]]:
        return ((s, phase) for s in range(len(self.groups)) for phase in range(self._phases))

    def _pass(self, s: int, phase: int) -> GroupPass:
        return cast(GroupPass, self.passes[s * self._phases + phase])

    def _schedule(self, height: int, width: int, device: torch.device) -> list[tuple[Tensor, Tensor]]:
        """For each phase: flat positions that it codes, and bool `(height, width)` what is known before it."""
        positions, phases = positions_of(height, width, self._phases), range(self._phases)
        return [(torch.from_numpy(positions.index(p)).to(device), positions.known(p, device)) for p in phases]

    def _finer(self, coarse: NDArray[np.int64], grid: tuple[int, ...]) -> NDArray[np.int64]:
        """`(B, rows, columns)` on the hyper-latent's grid to that of the latent."""
        return coarse.repeat(REDUCTION, 1).repeat(REDUCTION, 2)[:, : grid[0], : grid[1]]

    def _exact_amplitude(self, gains: NDArray[np.int64]) -> NDArray[np.int64]:
        """`(B, rows, columns)` to `(B, channels, rows, columns)` in 1/256."""
        found = self.amplitudes.exact(gains.ravel()).reshape(*gains.shape, self.channels)
        return np.ascontiguousarray(found.transpose(0, 3, 1, 2))


def _rows(planes: Tensor) -> Tensor:
    """`(B, C, h, w)` to `(B, h w, C)`."""
    return planes.flatten(2).transpose(1, 2)


def _planes(rows: Tensor, height: int, width: int) -> Tensor:
    """`(B, h w, C)` to `(B, C, h, w)`."""
    return rows.transpose(1, 2).unflatten(2, (height, width))


def _gains(offsets: NDArray[np.int64], gain: int) -> NDArray[np.int64]:
    """Gain index of each position of the hyper-latent."""
    return clip_gain(gain + OFFSET_UNIT * offsets)


def _rounded_gains(offsets: Tensor) -> NDArray[np.int64]:
    return _gains(np.rint(offsets.double().cpu().numpy()).astype(np.int64), 0)


def _offset_tables() -> FrozenTables:
    """One table in which nearly every offset is 0."""
    distance = np.abs(np.arange(-_OFFSET_REACH, _OFFSET_REACH + 1))
    masses = np.where(distance == 0, 0.99, 0.0015 * 0.85**distance)
    return tables_from_pmfs([np.append(masses, 1e-5)], [-_OFFSET_REACH], has_escape=True)
