"""Train the inter frames of a VideoLatentCodec for every rate at once, on clips that are coded frame after frame.

The intra codec stays as it is and makes the first frame of each clip. Gradients pass through all frames after it, so that what
is kept for later frames pays (Lu et al. 2020, "Content adaptive and error propagation aware deep video compression",
arXiv:2003.11282). Vectors are searched on the fly; their prior is trained beside, on what they cost.
"""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, cast

import lightning
import torch
from torch import Tensor

from codec.entropy import FINEST, FIXED_POINT, float_planes
from codec.entropy.rounding import NOISE, Priced, Rounding
from codec.models import LatentCodec, VideoLatentCodec, load_as
from codec.models.video_frame import UNIT, motion_price
from codec.models.video_kept import LARGE, beside_kept, kept_blocks, with_kept
from codec.nn import PatchBasis, channels_last, find_motion, predict, principal_basis, spread_of
from codec.training.latent import uniform_step
from codec.training.optimisation import Optimisation, adamw

SHOWN = (0.1, 0.35, 0.6)  # levels at which validation measures


@dataclass(frozen=True)
class Given:
    """What a frame of a batch is coded from: latents `(B, C, h, w)`, planes of the past, vectors and those of the frame before.

    The first frame after an intra frame has no past. Flags of kept blocks, and what lies beside them, are None where none are kept.
    """

    latent: Tensor
    past: Tensor | None
    motion: Tensor
    motion_before: Tensor | None
    kept: Tensor | None
    beside_kept: Tensor | None


@dataclass(frozen=True)
class Before:
    """What is left of a frame of a batch: its picture `(B, 3, H, W)`; but of an intra frame its vectors, latents, sizes of late, flags."""

    picture: Tensor
    motion: Tensor | None = None
    latents: Tensor | None = None
    sizes: Tensor | None = None
    kept: Tensor | None = None


@dataclass(frozen=True)
class Step:
    """What one frame was coded from, what it cost: bits `(B,)` each, and what is left: squared error `(B,)` of full scale 255."""

    given: Given
    bits: Tensor
    motion_bits: Tensor
    kept_bits: Tensor
    error: Tensor

    @property
    def all_bits(self) -> Tensor:
        """Of latents, vectors and flags."""
        return self.bits + self.motion_bits + self.kept_bits


class VideoLatentTraining(lightning.LightningModule):
    """Bits a pixel + lambda * squared error of each frame, divided by sqrt(lambda) so that no quality outweighs the others.

    Args:
        model: what is trained.
        optimisation: AdamW and schedule.
        total_steps: length of the run.
        intra: checkpoint of the intra codec, of the model's intra config.
        start_model: checkpoint of the same config whose weights begin the run in place of the PCA of residuals; it may be one
            that keeps no blocks.
        rounded_from: fraction of the run after which latents are rounded as in files and the analysis is fixed.
        jitter: of a frame's level around that of its clip, so that quality may change from frame to frame.
        boost: by how much the level of the intra frame may be higher, drawn evenly from 0.
        lead: frames after the intra frame that are coded without a gradient, at most, drawn evenly from 0 for each batch; what
            is lost from frame to frame over a long way is then seen at little cost.
        start_batches: batches of clips that the PCA sees before the first step.
    """

    def __init__(
        self,
        model: VideoLatentCodec,
        *,
        optimisation: Optimisation,
        total_steps: int,
        intra: str = "image-latent",
        start_model: str | None = None,
        rounded_from: float = 0.8,
        jitter: float = 0.06,
        boost: float = 0.3,
        lead: int = 0,
        start_batches: int = 60,
    ) -> None:
        super().__init__()
        self.model = channels_last(model)
        self.optimisation, self.total_steps = optimisation, total_steps
        self.intra, self.start_model = intra, start_model
        self.rounded_from, self.jitter, self.boost = rounded_from, jitter, boost
        self.lead, self.start_batches = lead, start_batches

    def on_fit_start(self) -> None:
        """Take the intra codec, and begin at the PCA of residuals and the steps that suit each quality."""
        model = self.model
        if self.start_model is not None:
            self._start_from(load_as(VideoLatentCodec, self.start_model))
        elif self.trainer.ckpt_path is None:
            model.intra.load_state_dict(load_as(LatentCodec, self.intra).state_dict())
            self._start_inter()
        model.intra.eval().requires_grad_(False)

    def train(self, mode: bool = True) -> "VideoLatentTraining":
        """The intra codec stays in eval mode."""
        super().train(mode)
        self.model.intra.eval()
        return self

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        """One step on uint8 clips `(B, T, 3, H, W)`, sides multiples of the hyper-latent's cells."""
        if batch.shape[1] < self.lead + 2:
            raise ValueError(
                f"clips of {batch.shape[1]} frames are too short for a lead of {self.lead}: they need {self.lead + 2}"
            )
        torch.manual_seed(
            self.trainer.world_size * self.global_step + self.global_rank
        )  # so that resume continues exactly
        rounded = self.global_step >= self.rounded_from * self.total_steps
        rounding: Rounding = Priced(self.model.price) if rounded else NOISE
        level = torch.rand(len(batch), device=batch.device)
        first = (level + self.boost * torch.rand_like(level)).clamp(0, 1)
        lead = int(torch.randint(self.lead + 1, ()))
        clips = batch[:, : batch.shape[1] - self.lead + lead]
        steps, prices = self._code(clips, level, first, rounding, fixed_analysis=rounded, lead=lead)
        area = batch.shape[-1] * batch.shape[-2]
        rates = torch.stack([step.all_bits / area for step in steps])
        errors = torch.stack([step.error for step in steps])
        loss = ((rates + prices * errors) * (0.1 / prices.sqrt())).mean()
        self.log_dict({"train/loss": loss.detach(), "train/bpp": rates.mean().detach()})
        return loss

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        """The first frames of one video uint8 `(1, T, 3, H, W)` at a few levels, rounded as in files; bits by the float networks."""
        height, width = (side // 32 * 32 for side in batch.shape[-2:])
        losses = []
        for shown in SHOWN:
            level = torch.full((1,), shown, device=batch.device)
            first = (level + self.model.structure.intra / FINEST).clamp(0, 1)
            steps, prices = self._code(batch[..., :height, :width], level, first, Priced(self.model.price), jitter=0.0)
            bpp = torch.stack([step.all_bits / (height * width) for step in steps])
            moving = torch.stack([step.motion_bits for step in steps]).sum() / (height * width * len(steps))
            error = torch.stack([step.error for step in steps])
            losses.append(((bpp + prices * error) * (0.1 / prices.sqrt())).mean())
            decibels = (20 * math.log10(255) - 10 * error.log10()).mean()
            flags = [step.given.kept for step in steps if step.given.kept is not None]
            if flags:
                self.log(f"val/kept_{shown}", torch.stack(flags).float().mean(), on_epoch=True, batch_size=1)
            values = {f"val/bpp_{shown}": bpp.mean(), f"val/psnr_{shown}": decibels, f"val/motion_bpp_{shown}": moving}
            self.log_dict(values, on_epoch=True, batch_size=1)
        self.log("val/loss", torch.stack(losses).mean(), on_epoch=True, batch_size=1)

    def configure_optimizers(self) -> Any:
        """AdamW with warm-up, constant, cosine."""
        return adamw(self.model.inter.parameters(), self.optimisation, self.total_steps)

    def _code(
        self,
        batch: Tensor,
        level: Tensor,
        first: Tensor,
        rounding: Rounding,
        *,
        fixed_analysis: bool = False,
        jitter: float | None = None,
        lead: int = 0,
    ) -> tuple[list[Step], Tensor]:
        """All frames after the first and its lead, at about the levels `(B,)`, that of the first aside; costs and prices `(frames, B)`."""
        clips = batch.float() / 255
        grid = [side // self.model.stride for side in batch.shape[-2:]]
        before = Before(self._first(clips[:, 0], first, grid))
        steps, prices = [], []
        for t in range(1, clips.shape[1]):
            own = (level + (self.jitter if jitter is None else jitter) * torch.randn_like(level)).clamp(0, 1)
            with torch.set_grad_enabled(torch.is_grad_enabled() and t > lead):
                step, before = self._frame(clips[:, t], own, before, rounding, fixed_analysis=fixed_analysis)
            if t > lead:
                steps.append(step)
                prices.append(self.model.intra.distortion_price(own))
        return steps, torch.stack(prices)

    def _frame(
        self, frame: Tensor, level: Tensor, before: Before, rounding: Rounding, *, fixed_analysis: bool
    ) -> tuple[Step, Before]:
        """Frames `(B, 3, H, W)` at levels `(B,)`: what they cost, and what is left of them."""
        inter, grid = self.model.inter, [side // self.model.stride for side in frame.shape[-2:]]
        levels = level.view(-1, 1, 1, 1).expand(-1, 1, *grid)
        pixels = frame.contiguous(memory_format=torch.channels_last)
        found = self._search(pixels, before.picture, self.model.intra.distortion_price(level), before.motion)
        motion_bits = inter.motion(found, before.motion)
        prediction = predict(before.picture, found).contiguous(memory_format=torch.channels_last)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not fixed_analysis):
            latent = inter.analysis(pixels, prediction, levels)
        beside = None
        if before.latents is not None and before.sizes is not None:
            beside = float_planes(before.latents, before.sizes, self._finer(found, grid), UNIT)
        coded = inter.prior(latent, levels, rounding, beside)
        decoded = inter.synthesis(coded.latents, levels, prediction).float()
        latents, flags, seen, kept_bits = coded.latents.detach(), None, None, torch.zeros_like(level)
        if inter.kept is not None:
            price = self.model.intra.distortion_price(level)
            flags = kept_blocks(pixels, decoded.detach(), prediction.detach(), price, found, before.kept)
            large = (latents.abs() >= LARGE / FIXED_POINT).sum(1)
            seen = beside_kept(large, found, before.kept, (level * FINEST).round().long())
            kept_bits, decoded = inter.kept(flags, seen), with_kept(flags, prediction, decoded)
        error = (decoded - pixels).square().flatten(1).mean(1) * 255**2
        given = Given(latent.detach(), beside, found, before.motion, flags, seen)
        sizes = torch.zeros_like(latents) if before.sizes is None else before.sizes
        after = Before(decoded.clamp(0, 1), found, latents, (sizes + latents.abs()) / 2, flags)
        return Step(given, coded.bits, motion_bits, kept_bits, error), after

    def last_inter(self, clips: Tensor, levels: Tensor) -> Given:
        """What the last frame of clips uint8 `(B, T, 3, H, W)`, T at least 3, is coded from, at levels `(B,)`."""
        steps, _ = self._code(clips, levels, levels, Priced(self.model.price), jitter=0.0)
        return steps[-1].given

    @torch.no_grad()
    def _first(self, pixels: Tensor, level: Tensor, grid: list[int]) -> Tensor:
        """The intra frame, rounded as in files."""
        intra, levels = self.model.intra, level.view(-1, 1, 1, 1).expand(-1, 1, *grid)
        latent = intra.analysis(pixels.contiguous(memory_format=torch.channels_last))
        coded = cast(Any, intra.prior)(latent, levels, Priced(intra.price))
        return intra.synthesis(coded.latents, levels).float().clamp(0, 1)

    @torch.no_grad()
    def _search(self, pixels: Tensor, picture: Tensor, prices: Tensor, vectors: Tensor | None) -> Tensor:
        """The vectors of each clip of a batch."""

        def search(i: int) -> Tensor:
            past = None if vectors is None else vectors[i].cpu()
            return find_motion(pixels[i], picture[i], motion_price(float(prices[i])), past)

        with ThreadPoolExecutor(
            max(1, torch.get_num_threads())
        ) as pool:  # compiled loops that let go of the interpreter
            return torch.stack(list(pool.map(search, range(len(pixels))))).to(pixels.device)

    def _finer(self, motion: Tensor, grid: list[int]) -> Tensor:
        return motion.repeat_interleave(2, 2).repeat_interleave(2, 3)[..., : grid[0], : grid[1]]

    def _start_from(self, other: VideoLatentCodec) -> None:
        """Take all weights that it has; it has all but those of kept blocks."""
        state = other.state_dict()
        if other.inter.kept is None and self.model.inter.kept is not None:
            state |= {f"inter.kept.{name}": tensor for name, tensor in self.model.inter.kept.state_dict().items()}
        self.model.load_state_dict(state)

    @torch.no_grad()
    def _start_inter(self) -> None:
        """Transforms at the PCA of what vectors leave over, amplitudes at the steps of a uniform quantiser."""
        model, inter = self.model, self.model.inter
        clips = self.trainer.datamodule.crops()  # type: ignore[attr-defined]

        def residuals() -> Any:
            for i in range(self.start_batches):
                batch = clips.batch(-1 - i & 0x7FFFFFFF)[:, :2].float() / 255
                found = self._search(batch[:, 1], batch[:, 0], torch.full((len(batch),), 0.01), None)
                yield batch[:, 1] - predict(batch[:, 0], found)

        basis: PatchBasis = principal_basis(
            residuals(), inter.latent_dim, model.stride, uniform_step(model.intra.finest)
        )
        for transform in (inter.analysis, inter.synthesis):
            cast(Any, transform).start_from(basis)
        values = inter.prior.amplitudes.values
        prices = model.intra.distortion_price(torch.linspace(0, 1, len(values)))
        steps = torch.tensor([uniform_step(float(price)) for price in prices])[:, None]
        values.copy_(torch.log2(spread_of(basis) / steps))
