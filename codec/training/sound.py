"""Train a SoundCodec: one Lightning module whose validation goes through the real file."""

import io
import math
from collections.abc import Sequence
from typing import Literal, Protocol, runtime_checkable

import lightning
import torch
from torch import Tensor

from codec.entropy import ideal_bits
from codec.evaluation import MelDistance, pesq, si_sdr
from codec.models import SoundCodec
from codec.nn import LappedBasis, lapped_basis, spectral_basis
from codec.training.autoencoder import AutoencoderTraining, Start
from codec.training.balancer import BalancedSum
from codec.training.losses import Distortion, WeightedSum
from codec.training.optimisation import Optimisation
from codec.training.sound_data import Clip
from codec.training.sound_tokens import clip_codes
from codec.types import Codes, Media

SILENCE = 1e-3  # latents this much shorter than usual, 60 dB, are silence: the range of a gain is not theirs
BASES = {"principal": lapped_basis, "spectrum": spectral_basis}
SHOWN = 2  # clips of each validation that can be listened to


@runtime_checkable
class StartsFromLapped(Protocol):
    """A backbone whose linear part can be set to a lapped transform; others begin at random."""

    def start_from(self, basis: LappedBasis) -> None:
        """Set the linear part; what is learned on top begins at zero."""


class SoundTraining(AutoencoderTraining[SoundCodec]):
    """Training of a tokenizer of sound; validation has files, and what their first planes give, measured as reports do.

    The decoder's last frames lack what follows, so no loss is taken there.

    Args:
        model: what is trained.
        fidelity: distortion terms; one with weights of its own, a discriminator, is trained beside the model.
        loss: weights of all terms.
        optimisation: AdamW and schedule.
        total_steps: length of the run.
        planes: numbers of first planes at which validation measures too.
        pesq: measure PESQ in validation, which raises where a clip is not speech.
        warmup_frames: at the start of a crop that no loss is taken of, as what lies before them is unknown.
        start_from_data: begin at a lapped transform of the data, where the backbones have one, and k-means of latents.
        start_basis: `principal` components of the lapped transform, or its `spectrum` as it is, for quantizers that know bands.
        start_transform: checkpoint whose encoder and decoder begin the run in place of it; the codebook is new.
        keep_codes_of: checkpoint whose encoder, quantizer and priors stay as they are and whose decoder begins the run: only the
            decoder is trained, at all numbers of `planes`, and decodes that checkpoint's files.
        start_batches: batches of crops that are seen before the first step.
        usage_window: training batches over which usage and perplexity are counted.
    """

    def __init__(
        self,
        model: SoundCodec,
        fidelity: Distortion,
        loss: WeightedSum | BalancedSum,
        *,
        optimisation: Optimisation,
        total_steps: int,
        planes: Sequence[int] = (),
        pesq: bool = False,
        warmup_frames: int = 0,
        start_from_data: bool = True,
        start_basis: Literal["principal", "spectrum"] = "principal",
        start_transform: str | None = None,
        keep_codes_of: str | None = None,
        start_batches: int = 40,
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
        if start_basis not in BASES:
            raise ValueError(f"a basis is one of {', '.join(BASES)}, got {start_basis!r}")
        self.planes, self.pesq, self.warmup_frames, self.start_basis = tuple(planes), pesq, warmup_frames, start_basis
        _check_planes(self.model, self.planes)
        self._mel = [MelDistance(self.model.rate)]  # in a list, as it is no part of the model

    def samples(self, batch: Tensor) -> Tensor:
        """Float crops `(B, 1, N)`, full scale 1, of whole frames."""
        hop, kept = self.model.hop, batch.shape[-1] // self.model.hop - self.warmup_frames - self.model.delay
        if batch.shape[-1] % hop or kept < 1:
            raise ValueError(
                f"crops have {batch.shape[-1]} samples, a frame {hop}: use whole frames, and more than the"
                f" {self.warmup_frames + self.model.delay} on which no loss is taken"
            )
        return batch

    def start_transform_from(self, batches: Sequence[Tensor]) -> None:
        """A lapped transform of the data, for backbones that have one."""
        halves = [half for half in (self.model.encoder, self.model.decoder) if isinstance(half, StartsFromLapped)]
        if halves:
            basis = BASES[self.start_basis](batches, self.model.latent_dim, self.model.hop)
            for half in halves:
                half.start_from(basis)

    def codes_of(self, samples: Tensor) -> list[Tensor]:
        """The whole clip at once."""
        return list(clip_codes(self.model, samples))

    def worth_starting(self, latents: Tensor) -> Tensor:
        """All but silence."""
        lengths = latents.norm(dim=1)
        return latents[lengths > SILENCE * lengths.square().mean().sqrt()]

    def judged(self, samples: Tensor, decoded: Tensor) -> tuple[Tensor, Tensor]:
        """Whole samples whose past is known well enough."""
        hop = self.model.hop
        part = slice(self.warmup_frames * hop, samples.shape[-1] - self.model.delay * hop)
        return samples[..., part], decoded[..., part]

    def decode_kept(self, codes: Tensor) -> Tensor:
        """Of a number of first planes that the step draws, as no dropout of the quantizer does it here."""
        choices = (*self.planes, codes.shape[-1])
        generator = torch.Generator().manual_seed(self.global_step)
        chosen = choices[int(torch.randint(len(choices), (), generator=generator))]
        return self.model.quantizer.decode(codes[..., :chosen])

    def on_validation_epoch_start(self) -> None:
        """Fit the tables; nothing that files depend on changes until training goes on."""
        super().on_validation_epoch_start()
        self.model.seal()

    def validation_step(self, clip: Clip, batch_idx: int) -> None:
        """One whole clip through the real file and back, and through the codes of its first planes."""
        media = Media("audio", clip.samples.cpu(), rate=self.model.rate)
        data = self.model.compress(media)
        decoded = self.model.decompress(data).samples
        codes = self.model.read_codes(io.BytesIO(data))
        for usage, plane in zip(self.seen, codes.planes, strict=True):
            usage.update(plane.codes)
        ideal = ideal_bits(self.model.prior, [plane.codes[0] for plane in codes.planes])
        scale = self.model.rate / media.samples.shape[1] / 1000
        values = {"kbps": 8 * len(data) * scale, "ideal_kbps": ideal * scale}
        values |= self._measured(media.samples[0], decoded[0], clip.name, len(codes.planes))
        for count in self.planes:
            first = self.model.decode(Codes(codes.planes[:count]))[0, 0, : media.samples.shape[1]]
            found = self._measured(media.samples[0], first, clip.name, count)
            values |= {f"{name}_{count}": value for name, value in found.items()}
        self.log_dict({f"val/{clip.kind}/{name}": value for name, value in values.items()}, on_epoch=True, batch_size=1)
        if batch_idx < SHOWN:
            self._show(batch_idx, media.samples[0], decoded[0])

    def _measured(self, waveform: Tensor, decoded: Tensor, clip: str, planes: int) -> dict[str, float]:
        """Measures of a sound `(N,)` from so many planes, by name."""
        mel = self._mel[0](waveform[None], decoded[None])
        values = {"mel": float(mel), "si_sdr": si_sdr(waveform, decoded)}
        if self.pesq:
            values["pesq"] = pesq(waveform, decoded, self.model.rate, clip)
        return values | {"nominal_kbps": nominal_kbps(self.model, planes)}

    def _show(self, index: int, original: Tensor, decoded: Tensor) -> None:
        for logger in self.loggers:
            if isinstance(logger, lightning.pytorch.loggers.TensorBoardLogger):
                for name, sound in (("original", original), ("decoded", decoded)):
                    logger.experiment.add_audio(
                        f"val/{name}_{index}", sound.clamp(-1, 1), self.global_step, self.model.rate
                    )


def nominal_kbps(model: SoundCodec, planes: int) -> float:
    """Thousands of bits a second that the first planes take with no prior at all."""
    bits = sum(math.log2(size) for size in model.quantizer.codebook_sizes[:planes])
    return bits * model.rate / model.hop / 1000


def _check_planes(model: SoundCodec, planes: Sequence[int]) -> None:
    """Each number of planes can be decoded."""
    for count in planes:
        if count not in model.plane_counts:
            raise ValueError(f"validation planes must be of {list(model.plane_counts)}, got {list(planes)}")
