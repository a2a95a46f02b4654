"""Train a LatentCodec for every rate at once: each crop at a quality of its own, rate plus distortion at that quality's price.

The last part of a run quantises as an encoder will (`price`), with the analysis fixed: tables and synthesis learn what files
hold, where noise is a poor stand-in for rounding (nearly all elements of a coarse picture are nearly zero).
"""

import math
from typing import Any, cast

import lightning
import torch
from torch import Tensor

from codec.entropy import GroupedLatentPrior
from codec.entropy.hyper import REDUCTION
from codec.entropy.rounding import NOISE, Priced
from codec.models import LatentCodec, load_as
from codec.nn import channels_last, principal_basis, spread_of
from codec.training.optimisation import Optimisation, adamw
from codec.training.tokenizer import StartsFromBasis

SHOWN = (0.1, 0.5, 0.9)  # levels at which validation measures


class LatentTraining(lightning.LightningModule):
    """Bits a pixel + lambda * squared error, divided by sqrt(lambda) so that no quality outweighs the others.

    Args:
        model: what is trained.
        optimisation: AdamW and schedule.
        total_steps: length of the run.
        start_from_data: begin at the PCA of patches; transform and prior must know how.
        start_model: checkpoint of the same config whose weights begin the run in place of the PCA.
        level: train for this one quality only, in [0, 1]; None for all.
        mixed: share of crops in which each cell has one of two levels, for regions of interest.
        rounded_from: fraction of the run after which latents are rounded as in files and the analysis is fixed.
        start_batches: batches of crops that the PCA sees before the first step.
    """

    def __init__(
        self,
        model: LatentCodec,
        *,
        optimisation: Optimisation,
        total_steps: int,
        start_from_data: bool = True,
        start_model: str | None = None,
        level: float | None = None,
        mixed: float = 0.2,
        rounded_from: float = 0.8,
        start_batches: int = 150,
    ) -> None:
        super().__init__()
        self.model = channels_last(model)
        self.optimisation, self.total_steps = optimisation, total_steps
        self.start_from_data, self.start_model, self.level = start_from_data, start_model, level
        self.mixed, self.rounded_from, self.start_batches = mixed, rounded_from, start_batches

    def on_fit_start(self) -> None:
        """Begin at the PCA of patches and the steps that suit each quality, unless a checkpoint brought weights."""
        if not self.start_from_data or self.trainer.ckpt_path is not None:
            return
        if self.start_model is not None:
            self.model.load_state_dict(load_as(LatentCodec, self.start_model).state_dict())
            return
        crops = self.trainer.datamodule.crops()  # type: ignore[attr-defined]
        batches = (crops.batch(-1 - i & 0x7FFFFFFF).float() / 255 for i in range(self.start_batches))
        model = self.model
        basis = principal_basis(batches, model.latent_dim, model.stride, uniform_step(model.finest))
        for transform in (model.analysis, model.synthesis):
            cast(StartsFromBasis, transform).start_from(basis)
        with torch.no_grad():
            values = cast(GroupedLatentPrior, model.prior).amplitudes.values
            levels = torch.linspace(0, 1, len(values))[:, None]
            steps = torch.tensor([uniform_step(self._price(float(level))) for level in levels])[:, None]
            values.copy_(torch.log2(spread_of(basis) / steps))

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        """One step on uint8 crops `(B, 3, H, W)`, sides multiples of the hyper-latent's cells."""
        torch.manual_seed(
            self.trainer.world_size * self.global_step + self.global_rank
        )  # so that resume continues exactly
        pixels = (batch.float() / 255).contiguous(memory_format=torch.channels_last)
        levels = self._draw_levels(batch)
        rounded = self.global_step >= self.rounded_from * self.total_steps
        with torch.set_grad_enabled(not rounded):
            latent = self.model.analysis(pixels)
        coded = self.model.prior(latent, levels, Priced(self.model.price) if rounded else NOISE)
        errors = (self.model.synthesis(coded.latents, levels).float() - pixels).square().mean(1, keepdim=True) * 255**2
        prices = self.model.distortion_price(levels)
        area = pixels.shape[-1] * pixels.shape[-2]
        rate, distortion = coded.bits / area, (_finer(prices, pixels) * errors).flatten(1).mean(1)
        loss = ((rate + distortion) * (0.1 / prices.log().flatten(1).mean(1).exp().sqrt())).mean()
        self.log_dict({"train/loss": loss.detach(), "train/bpp": rate.mean().detach()})
        return loss

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        """One whole picture uint8 `(1, 3, H, W)` at a few levels, rounded as in files; bits by the float networks."""
        cell = REDUCTION * self.model.stride
        height, width = (side // cell * cell for side in batch.shape[-2:])
        pixels = batch[..., :height, :width].float() / 255
        losses = []
        for level in SHOWN if self.level is None else (self.level,):
            levels = pixels.new_full((1, 1, height // self.model.stride, width // self.model.stride), level)
            coded = self.model.prior(self.model.analysis(pixels), levels, Priced(self.model.price))
            decoded = self.model.synthesis(coded.latents, levels).float().clamp(0, 1)
            bpp = coded.bits.sum() / (height * width)
            error = (decoded - pixels).square().mean() * 255**2
            price = self._price(level)
            losses.append((bpp + price * error) * 0.1 / math.sqrt(price))
            values = {f"val/bpp_{level}": bpp, f"val/psnr_{level}": 20 * math.log10(255) - 10 * error.log10()}
            self.log_dict(values, on_epoch=True, batch_size=1)
        self.log("val/loss", torch.stack(losses).mean(), on_epoch=True, batch_size=1)

    def configure_optimizers(self) -> Any:
        """AdamW with warm-up, constant, cosine."""
        return adamw(self.model.parameters(), self.optimisation, self.total_steps)

    def _price(self, level: float) -> float:
        return float(self.model.distortion_price(torch.tensor(level)))

    def _draw_levels(self, batch: Tensor) -> Tensor:
        """One level a crop, or two of which each cell has one: `(B, 1, h, w)` on the latent's grid."""
        if self.level is not None:
            size = (side // self.model.stride for side in batch.shape[-2:])
            return torch.full((batch.shape[0], 1, *size), self.level, device=batch.device)
        cell = REDUCTION * self.model.stride
        count, rows, columns = batch.shape[0], batch.shape[-2] // cell, batch.shape[-1] // cell
        two = torch.rand(count, 2, 1, 1, device=batch.device)
        chosen = torch.rand(count, 1, rows, columns, device=batch.device) < 0.5
        chosen &= torch.rand(count, 1, 1, 1, device=batch.device) < self.mixed
        coarse = torch.where(chosen, two[:, :1], two[:, 1:])
        return coarse.repeat_interleave(REDUCTION, 2).repeat_interleave(REDUCTION, 3)


def uniform_step(price: float) -> float:
    """Step of an orthonormal transform, in sample units, at which a bit more pays: at high rates D = step^2 / 12 a coefficient."""
    return math.sqrt(18 / (math.log(2) * price)) / 255


def _finer(levels: Tensor, pixels: Tensor) -> Tensor:
    factor = pixels.shape[-1] // levels.shape[-1]
    return levels.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
