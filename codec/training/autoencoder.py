"""What trainings of tokenizers share, whatever the medium: the start from data, one step, counts of codes, groups of weights."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import lightning
import torch
from torch import Tensor, nn

from codec.evaluation import CodebookUsage
from codec.models import load_as
from codec.models.tokenizer import Tokenizer
from codec.nn.low_bit import plain_state
from codec.quantizers import Quantized
from codec.training.balancer import BalancedSum
from codec.training.discriminators import Adversarial
from codec.training.losses import Distortion, WeightedSum
from codec.training.optimisation import Optimisation, adamw

Model = TypeVar("Model", bound=Tokenizer[Any])


@dataclass(frozen=True)
class Start:
    """Where a run begins.

    Attributes:
        from_data: at a linear transform of the data and at k-means of latents.
        transform: checkpoint whose encoder and decoder begin the run in place of the linear transform; the codebook is new.
        keep_codes_of: checkpoint whose encoder, quantizer and priors stay as they are and whose decoder begins the run: only the
            decoder is trained, and decodes that checkpoint's files.
        batches: of crops that are seen before the first step.
    """

    from_data: bool = True
    transform: str | None = None
    keep_codes_of: str | None = None
    batches: int = 40


class AutoencoderTraining(lightning.LightningModule, Generic[Model]):
    """Reconstruction and quantizer losses; codebook usage, perplexity, and counts of recent codes for the static prior.

    Args:
        model: what is trained.
        fidelity: distortion terms; one with weights of its own, a discriminator, is trained beside the model.
        loss: weights of all terms.
        start: where the run begins.
        optimisation: AdamW and schedule.
        total_steps: length of the run.
        usage_window: training batches over which usage and perplexity are counted.
    """

    counts: Tensor  # (Q, K) hits of recent training batches, for the static prior

    def __init__(
        self,
        model: Model,
        fidelity: Distortion,
        loss: WeightedSum | BalancedSum,
        *,
        start: Start,
        optimisation: Optimisation,
        total_steps: int,
        usage_window: int,
    ) -> None:
        super().__init__()
        self.start, self.keep_codes_of = start, start.keep_codes_of
        if self.keep_codes_of is not None:
            model = decoder_only(load_as(type(model), self.keep_codes_of), model)
        self.model, self.fidelity, self.loss = model, fidelity, loss
        self.optimisation, self.total_steps, self.usage_window = optimisation, total_steps, usage_window
        sizes = self.model.quantizer.codebook_sizes
        self.register_buffer("counts", torch.zeros(len(sizes), max(sizes)))
        self._usage = [CodebookUsage(size) for size in sizes]

    @abstractmethod
    def samples(self, batch: Tensor) -> Tensor:
        """A batch of crops as the encoder takes it."""

    @abstractmethod
    def start_transform_from(self, batches: Sequence[Tensor]) -> None:
        """Set the linear parts of encoder and decoder from batches of samples."""

    @abstractmethod
    def codes_of(self, samples: Tensor) -> list[Tensor]:
        """Planes of codes of one training file `(1, C, *space)`, to be counted."""

    def latents(self, samples: Tensor) -> Tensor:
        """`(B, C, *space)` to `(B, *grid, D)`."""
        found: Tensor = self.model.encoder(samples)
        return found.movedim(1, -1)

    def synthesis(self, vectors: Tensor) -> Tensor:
        """The way back."""
        found: Tensor = self.model.decoder(vectors.movedim(-1, 1))
        return found

    def further_terms(self, samples: Tensor, quantized: Quantized) -> dict[str, Tensor]:
        """Losses of the codes themselves, by name; none."""
        return {}

    def worth_starting(self, latents: Tensor) -> Tensor:
        """Which of `(N, D)` latents the quantizer starts from."""
        return latents

    def judged(self, samples: Tensor, decoded: Tensor) -> tuple[Tensor, Tensor]:
        """The part of both on which losses are taken."""
        return samples, decoded

    def decode_kept(self, codes: Tensor) -> Tensor:
        """Vectors of codes that do not change, for the decoder to learn from."""
        return self.model.quantizer.decode(codes)

    def on_fit_start(self) -> None:
        """Set the transform and the codebook from data, unless a checkpoint brought them."""
        if not self.start.from_data or self.keep_codes_of is not None or self.trainer.ckpt_path is not None:
            return
        crops = self.trainer.datamodule.crops()  # type: ignore[attr-defined]
        batches = [self.samples(crops.batch(-1 - i & 0x7FFFFFFF)) for i in range(self.start.batches)]
        model = self.model
        if self.start.transform is None:
            self.start_transform_from(batches)
        else:
            trained = load_as(type(model), self.start.transform)
            for part, source in ((model.encoder, trained.encoder), (model.decoder, trained.decoder)):
                cast(nn.Module, part).load_state_dict(plain_state(cast(nn.Module, source)))
        with torch.no_grad():
            latents = [self.latents(batch.to(self.device)).flatten(0, -2) for batch in batches]
            model.quantizer.start(self.worth_starting(torch.cat(latents)))

    def train(self, mode: bool = True) -> "AutoencoderTraining[Model]":
        """Parts that are kept stay in eval mode."""
        super().train(mode)
        if self.keep_codes_of is not None:
            for part in (self.model.encoder, self.model.quantizer, self.model.prior):
                cast(nn.Module, part).eval()
        return self

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        """One step on a batch of crops."""
        samples = self.samples(batch)
        quantized = self._quantize(samples)
        decoded = self.synthesis(quantized.vectors).float()
        further = self.further_terms(samples, quantized)
        samples, decoded = self.judged(samples, decoded)
        terms = self.fidelity(samples, decoded) | quantized.losses | further
        total = self.loss(terms, decoded) if isinstance(self.loss, BalancedSum) else self.loss(terms)
        self._count(quantized.codes)
        self.log_dict(
            {f"train/{name}": value.detach() for name, value in terms.items()} | {"train/loss": total.detach()}
        )
        return total

    def _quantize(self, samples: Tensor) -> Quantized:
        """Codes that are kept are those of files: full precision, and nothing learns from them."""
        quantizer = self.model.quantizer
        if self.keep_codes_of is None:
            return quantizer(self.latents(samples))
        with torch.no_grad(), torch.autocast(samples.device.type, enabled=False):
            codes = quantizer.encode(self.latents(samples))
            return Quantized(self.decode_kept(codes), codes)

    def _count(self, codes: Tensor) -> None:
        """Follow the hits of each code `(..., q)`, of which dropout may leave out the last; log them once a window."""
        decay = 1 - 1 / self.usage_window
        for q, plane in enumerate(codes.unbind(-1)):
            flat = plane.flatten().cpu()
            self._usage[q].update(flat)
            self.counts[q].mul_(decay).add_(torch.bincount(flat, minlength=self.counts.shape[1]).to(self.counts))
        if (self.global_step + 1) % self.usage_window == 0:
            self.log_usage("train", self._usage)
            self._usage = [CodebookUsage(usage.alphabet) for usage in self._usage]

    def log_usage(self, stage: str, usages: Sequence[CodebookUsage]) -> None:
        """Usage and perplexity of each plane that had codes."""
        for q, usage in enumerate(usages):
            if usage.tokens:
                self.log_dict({f"{stage}/usage_{q}": usage.usage, f"{stage}/perplexity_{q}": usage.perplexity})

    def on_validation_epoch_start(self) -> None:
        """Fit the integer tables to recent training codes, unless they are kept."""
        sizes = self.model.quantizer.codebook_sizes
        if self.keep_codes_of is None:
            scaled = self.counts * 100
            self.model.prior.fit([scaled[q, :size].round().long().cpu() for q, size in enumerate(sizes)])
        self.seen = [CodebookUsage(size) for size in sizes]

    def on_validation_epoch_end(self) -> None:
        """Usage and perplexity over the validation media."""
        self.log_usage("val", self.seen)

    def configure_optimizers(self) -> Any:
        """AdamW with warm-up, constant, cosine; a discriminator is a group with its own rate and the same schedule."""
        groups = [{"params": [parameter for parameter in self.model.parameters() if parameter.requires_grad]}]
        parts = cast(nn.Module, self.fidelity).modules()
        groups += [part.parameter_group() for part in parts if isinstance(part, Adversarial)]
        return adamw(groups, self.optimisation, self.total_steps)

    def configure_gradient_clipping(
        self, optimizer: Any, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Each group by its own norm: a discriminator's gradient must not shorten the model's."""
        if gradient_clip_val:
            for group in optimizer.param_groups:
                torch.nn.utils.clip_grad_norm_(group["params"], gradient_clip_val)


def decoder_only(kept: Model, model: Model) -> Model:
    """The kept model with the decoder of `model`, which begins at the kept weights; nothing else has gradients."""
    decoder = cast(nn.Module, model.decoder)
    decoder.load_state_dict(plain_state(cast(nn.Module, kept.decoder)))
    kept.decoder, kept.learned_prior = model.decoder, None
    return kept
