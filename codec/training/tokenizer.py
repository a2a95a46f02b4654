"""Train a TokenCodec: one Lightning module whose validation goes through the real file."""

from collections.abc import Sequence
from typing import Protocol, cast

import lightning
import torch
from torch import Tensor

from codec.entropy import ideal_bits
from codec.evaluation import psnr
from codec.models import TokenCodec
from codec.nn import PatchBasis, channels_last, principal_basis
from codec.training.autoencoder import AutoencoderTraining, Start
from codec.training.balancer import BalancedSum
from codec.training.losses import Distortion, WeightedSum
from codec.training.optimisation import Optimisation
from codec.types import Media


class StartsFromBasis(Protocol):
    """A backbone whose linear part can be set to a basis of patches."""

    def start_from(self, basis: PatchBasis) -> None:
        """Set the linear part; what is learned on top begins at zero."""


class TokenizerTraining(AutoencoderTraining[TokenCodec]):
    """Training of a tokenizer of pictures; validation has real bytes beside estimated bits.

    Args:
        model: what is trained.
        fidelity: distortion terms; one with weights of its own, a discriminator, is trained beside the model.
        loss: weights of all terms.
        optimisation: AdamW and schedule.
        total_steps: length of the run.
        start_from_data: begin at the PCA of patches and k-means of latents; the backbone must know `start_from`.
        start_transform: checkpoint whose encoder and decoder begin the run in place of the PCA; the codebook is new.
        keep_codes_of: checkpoint whose encoder, quantizer and priors stay as they are and whose decoder begins the run in place
            of the PCA: only the decoder is trained, and decodes that checkpoint's files.
        start_batches: batches of crops that PCA and k-means see before the first step.
        latent_step: one unit of the latent in sample units (0 to 1), for the PCA start.
        usage_window: training batches over which usage and perplexity are counted.
    """

    def __init__(
        self,
        model: TokenCodec,
        fidelity: Distortion,
        loss: WeightedSum | BalancedSum,
        *,
        optimisation: Optimisation,
        total_steps: int,
        start_from_data: bool = True,
        start_transform: str | None = None,
        keep_codes_of: str | None = None,
        start_batches: int = 40,
        latent_step: float = 80 / 255,
        usage_window: int = 500,
    ) -> None:
        super().__init__(
            model,
            fidelity,
            loss,
            start=Start(start_from_data, start_transform, keep_codes_of, start_batches),
            optimisation=optimisation,
            total_steps=total_steps,
            usage_window=usage_window,
        )
        self.model, self.latent_step = channels_last(self.model), latent_step

    def samples(self, batch: Tensor) -> Tensor:
        """uint8 crops `(B, 3, H, W)` to pixels in [0, 1]."""
        return (batch.float() / 255).contiguous(memory_format=torch.channels_last)

    def codes_of(self, samples: Tensor) -> list[Tensor]:
        """Those of a whole picture."""
        return [plane.codes for plane in self.model.encode(samples).planes]

    def start_transform_from(self, batches: Sequence[Tensor]) -> None:
        """The PCA of patches."""
        model = self.model
        basis = principal_basis(batches, model.latent_dim, model.stride, self.latent_step)
        for backbone in (model.encoder, model.decoder):
            cast(StartsFromBasis, backbone).start_from(basis)

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        """One whole picture uint8 `(1, 3, H, W)` through the real file and back."""
        media = Media("image", batch[0].cpu())
        codes = self.model.encode(batch)
        data = self.model.compress(media)
        decoded = self.model.decompress(data)
        pixels = batch.shape[-1] * batch.shape[-2]
        estimated = ideal_bits(self.model.prior, [plane.codes[0] for plane in codes.planes])
        for usage, plane in zip(self.seen, codes.planes, strict=True):
            usage.update(plane.codes)
        values = {
            "val/psnr": psnr(media.samples, decoded.samples),
            "val/real_bpp": 8 * len(data) / pixels,
            "val/estimated_bpp": estimated / pixels,
        }
        self.log_dict(values, on_epoch=True, batch_size=1)
        if batch_idx < 4:
            self._show(batch_idx, media.samples, decoded.samples)

    def _show(self, index: int, original: Tensor, decoded: Tensor) -> None:
        for logger in self.loggers:
            if isinstance(logger, lightning.pytorch.loggers.TensorBoardLogger):
                pair = torch.cat([original, decoded], dim=2)
                logger.experiment.add_image(f"val/original_and_decoded_{index}", pair, self.global_step)
