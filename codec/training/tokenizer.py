"""Train a TokenCodec: one Lightning module whose validation goes through the real file."""

from typing import Any, Protocol, cast

import lightning
import torch
from torch import Tensor

from codec.entropy import ideal_bits
from codec.evaluation import CodebookUsage, psnr
from codec.models import TokenCodec, load_as
from codec.nn import PatchBasis, channels_last, principal_basis
from codec.quantizers import Quantized
from codec.training.discriminators import Adversarial
from codec.training.losses import Distortion, WeightedSum
from codec.training.optimisation import Optimisation, adamw
from codec.types import Media


class StartsFromBasis(Protocol):
    """A backbone whose linear part can be set to a basis of patches."""

    def start_from(self, basis: PatchBasis) -> None:
        """Set the linear part; what is learned on top begins at zero."""


class TokenizerTraining(lightning.LightningModule):
    """Reconstruction and quantizer losses; codebook usage, perplexity, and real bytes beside estimated bits.

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

    counts: Tensor  # (Q, K) hits of recent training batches, for the static prior

    def __init__(
        self,
        model: TokenCodec,
        fidelity: Distortion,
        loss: WeightedSum,
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
        super().__init__()
        self.keep_codes_of = keep_codes_of
        model = model if keep_codes_of is None else decoder_only(load_as(TokenCodec, keep_codes_of), model)
        self.model, self.fidelity, self.loss = channels_last(model), fidelity, loss
        self.optimisation, self.total_steps = optimisation, total_steps
        self.start_from_data, self.start_batches, self.latent_step = start_from_data, start_batches, latent_step
        self.start_transform, self.usage_window = start_transform, usage_window
        sizes = self.model.quantizer.codebook_sizes
        self.register_buffer("counts", torch.zeros(len(sizes), max(sizes)))
        self._usage = [CodebookUsage(size) for size in sizes]

    def on_fit_start(self) -> None:
        """Set the transform and the codebook from data, unless a checkpoint brought them."""
        if not self.start_from_data or self.keep_codes_of is not None or self.trainer.ckpt_path is not None:
            return
        crops = self.trainer.datamodule.crops()  # type: ignore[attr-defined]
        batches = [crops.batch(-1 - i & 0x7FFFFFFF).float() / 255 for i in range(self.start_batches)]
        model = self.model
        if self.start_transform is None:
            basis = principal_basis(batches, model.latent_dim, model.stride, self.latent_step)
            for backbone in (model.encoder, model.decoder):
                cast(StartsFromBasis, backbone).start_from(basis)
        else:
            trained = load_as(TokenCodec, self.start_transform)
            for part, source in ((model.encoder, trained.encoder), (model.decoder, trained.decoder)):
                cast(torch.nn.Module, part).load_state_dict(cast(torch.nn.Module, source).state_dict())
        with torch.no_grad():
            latents = [model.encoder(batch.to(self.device)).movedim(1, -1).flatten(0, 2) for batch in batches]
            model.quantizer.start(torch.cat(latents))

    def train(self, mode: bool = True) -> "TokenizerTraining":
        """Parts that are kept stay in eval mode."""
        super().train(mode)
        if self.keep_codes_of is not None:
            for part in (self.model.encoder, self.model.quantizer, self.model.prior):
                cast(torch.nn.Module, part).eval()
        return self

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        """One step on uint8 crops `(B, 3, H, W)`."""
        pixels = (batch.float() / 255).contiguous(memory_format=torch.channels_last)
        quantized = self._quantize(pixels)
        decoded = self.model.decoder(quantized.vectors.movedim(-1, 1)).float()
        terms = self.fidelity(pixels, decoded) | quantized.losses
        total = self.loss(terms)
        self._count(quantized.codes)
        self.log_dict(
            {f"train/{name}": value.detach() for name, value in terms.items()} | {"train/loss": total.detach()}
        )
        return total

    def _quantize(self, pixels: Tensor) -> Quantized:
        """Codes that are kept are those of files: full precision, and nothing learns from them."""
        quantizer = self.model.quantizer
        if self.keep_codes_of is None:
            return quantizer(self.model.encoder(pixels).movedim(1, -1))
        with torch.no_grad(), torch.autocast(pixels.device.type, enabled=False):
            codes = quantizer.encode(self.model.encoder(pixels).movedim(1, -1))
            return Quantized(quantizer.decode(codes), codes)

    def _count(self, codes: Tensor) -> None:
        """Follow the hits of each code; log usage and perplexity once a window."""
        decay = 1 - 1 / self.usage_window
        for q, usage in enumerate(self._usage):
            flat = codes[..., q].flatten().cpu()
            usage.update(flat)
            self.counts[q].mul_(decay).add_(torch.bincount(flat, minlength=self.counts.shape[1]).to(self.counts))
        if (self.global_step + 1) % self.usage_window == 0:
            for q, usage in enumerate(self._usage):
                self.log_dict({f"train/usage_{q}": usage.usage, f"train/perplexity_{q}": usage.perplexity})
                self._usage[q] = CodebookUsage(usage.alphabet)

    def on_validation_epoch_start(self) -> None:
        """Fit the integer tables to recent training codes, unless they are kept."""
        sizes = self.model.quantizer.codebook_sizes
        if self.keep_codes_of is None:
            scaled = self.counts * 100
            self.model.prior.fit([scaled[q, :size].round().long().cpu() for q, size in enumerate(sizes)])
        self._seen = [CodebookUsage(size) for size in sizes]

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        """One whole picture uint8 `(1, 3, H, W)` through the real file and back."""
        media = Media("image", batch[0].cpu())
        codes = self.model.encode(batch)
        data = self.model.compress(media)
        decoded = self.model.decompress(data)
        pixels = batch.shape[-1] * batch.shape[-2]
        estimated = ideal_bits(self.model.prior, [plane.codes[0] for plane in codes.planes])
        for usage, plane in zip(self._seen, codes.planes, strict=True):
            usage.update(plane.codes)
        values = {
            "val/psnr": psnr(media.samples, decoded.samples),
            "val/real_bpp": 8 * len(data) / pixels,
            "val/estimated_bpp": estimated / pixels,
        }
        self.log_dict(values, on_epoch=True, batch_size=1)
        if batch_idx < 4:
            self._show(batch_idx, media.samples, decoded.samples)

    def on_validation_epoch_end(self) -> None:
        """Usage and perplexity over the validation pictures."""
        for q, usage in enumerate(self._seen):
            self.log_dict({f"val/usage_{q}": usage.usage, f"val/perplexity_{q}": usage.perplexity})

    def _show(self, index: int, original: Tensor, decoded: Tensor) -> None:
        for logger in self.loggers:
            if isinstance(logger, lightning.pytorch.loggers.TensorBoardLogger):
                pair = torch.cat([original, decoded], dim=2)
                logger.experiment.add_image(f"val/original_and_decoded_{index}", pair, self.global_step)

    def configure_optimizers(self) -> Any:
        """AdamW with warm-up, constant, cosine; a discriminator is a group with its own rate and the same schedule."""
        groups = [{"params": [parameter for parameter in self.model.parameters() if parameter.requires_grad]}]
        parts = cast(torch.nn.Module, self.fidelity).modules()
        groups += [part.parameter_group() for part in parts if isinstance(part, Adversarial)]
        return adamw(groups, self.optimisation, self.total_steps)

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Each group by its own norm: a discriminator's gradient must not shorten the model's."""
        if gradient_clip_val:
            for group in optimizer.param_groups:
                torch.nn.utils.clip_grad_norm_(group["params"], gradient_clip_val)


def decoder_only(kept: TokenCodec, model: TokenCodec) -> TokenCodec:
    """The kept model with the decoder of `model`, which begins at the kept weights; nothing else has gradients."""
    decoder = cast(torch.nn.Module, model.decoder)
    decoder.load_state_dict(cast(torch.nn.Module, kept.decoder).state_dict())
    return TokenCodec(
        kept.encoder,
        kept.quantizer,
        model.decoder,
        kept.prior,
        latent_dim=kept.latent_dim,
        tile=kept.tile,
        chunk=kept.chunk,
    )
