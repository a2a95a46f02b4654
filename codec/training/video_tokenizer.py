"""Train a VideoTokenCodec on clips; validation goes through the real file."""

from collections.abc import Sequence
from typing import Any, Protocol, cast

import torch
from torch import Tensor

from codec.evaluation import psnr
from codec.models import VideoTokenCodec
from codec.nn import BlockBasis, block_basis, channels_last, grouped
from codec.quantizers import Quantized
from codec.training.autoencoder import AutoencoderTraining, Start
from codec.training.balancer import BalancedSum
from codec.training.losses import Distortion, WeightedSum
from codec.training.optimisation import Optimisation, adamw
from codec.training.semantic import SemanticDistillation
from codec.types import Media


class StartsFromBlocks(Protocol):
    """A network whose linear part can be set to a basis of blocks of frames."""

    def start_from(self, basis: BlockBasis) -> None:
        """Set the linear part; what is learned on top begins at zero."""


class VideoTokenizerTraining(AutoencoderTraining[VideoTokenCodec]):
    """Training of a tokenizer of video.

    Args:
        model: what is trained.
        fidelity: distortion terms, of each frame by itself.
        loss: weights of all terms.
        optimisation: AdamW and schedule.
        total_steps: length of the run.
        start_from_data: begin at the PCA of blocks and what the quantizer makes of latents; the networks must know `start_from`.
        start_transform: checkpoint whose encoder and decoder begin the run in place of the PCA.
        keep_codes_of: checkpoint of which only the decoder is trained on.
        start_batches: batches of clips that are seen before the first step.
        latent_step: one unit of the latent in sample units (0 to 1), for the PCA start.
        usage_window: training batches over which usage and perplexity are counted.
        semantic: distils a frozen network of pictures into the codes; its term needs a weight.
    """

    def __init__(
        self,
        model: VideoTokenCodec,
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
        semantic: SemanticDistillation | None = None,
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
        self.model, self.latent_step, self.semantic = channels_last(self.model), latent_step, semantic

    def samples(self, batch: Tensor) -> Tensor:
        """uint8 clips `(B, T, 3, H, W)` to groups of frames `(B, 3, G group, H, W)` in [0, 1], the first frame alone in its group."""
        return grouped(batch.float().transpose(1, 2) / 255, self.model.group)

    def latents(self, samples: Tensor) -> Tensor:
        """`(B, 3, G group, H, W)` to `(B, G, h, w, D)`."""
        return self.model.encoder(samples)[0].movedim(1, -1)

    def synthesis(self, vectors: Tensor) -> Tensor:
        """The way back."""
        return self.model.decoder(vectors.movedim(-1, 1))[0]

    def judged(self, samples: Tensor, decoded: Tensor) -> tuple[Tensor, Tensor]:
        """Frame by frame `(B T, 3, H, W)`, without the copies of the first one."""
        first = self.model.group - 1
        own, found = (frames[:, :, first:].transpose(1, 2).flatten(0, 1) for frames in (samples, decoded))
        return own, found

    def further_terms(self, samples: Tensor, quantized: Quantized) -> dict[str, Tensor]:
        """What the codes do not say of the last frame of each group."""
        if self.semantic is None:
            return {}
        last = samples[:, :, self.model.group - 1 :: self.model.group].transpose(1, 2)
        return {"semantic": self.semantic(quantized.vectors.flatten(0, 1), last.flatten(0, 1))}

    def configure_optimizers(self) -> Any:
        """The same, with the head of the distillation."""
        if self.semantic is None:
            return super().configure_optimizers()
        return adamw([*self.model.parameters(), *self.semantic.parameters()], self.optimisation, self.total_steps)

    def codes_of(self, samples: Tensor) -> list[Tensor]:
        """Those of a whole video."""
        return [plane.codes for plane in self.model.encode(samples).planes]

    def start_transform_from(self, batches: Sequence[Tensor]) -> None:
        """The PCA of blocks."""
        basis = block_basis(list(batches), self.model.latent_dim, self.model.group, self.latent_step)
        for network in (self.model.encoder, self.model.decoder):
            cast(StartsFromBlocks, network).start_from(basis)

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        """The first frames of one video uint8 `(1, T, 3, H, W)` through the real file and back."""
        media = Media("video", batch[0].transpose(0, 1).contiguous().cpu())
        data = self.model.compress(media)
        decoded = self.model.decompress(data)
        for usage, plane in zip(self.seen, self.model.encode(media.samples[None]).planes, strict=True):
            usage.update(plane.codes)
        pairs = zip(media.samples.unbind(1), decoded.samples.unbind(1), strict=True)
        scores = torch.tensor([psnr(original, found) for original, found in pairs])
        values = {"val/psnr": float(scores.mean()), "val/real_bpp": 8 * len(data) / media.samples[0].numel()}
        self.log_dict(values, on_epoch=True, batch_size=1)
