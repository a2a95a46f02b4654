"""From a trained VideoLatentCodec to one that writes files: integer networks, and tables fitted to what encoders produce."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from codec.entropy import GaussianLikelihood
from codec.entropy.fitting import TableCounts
from codec.entropy.levels import FINEST
from codec.entropy.tables import StoredTables
from codec.models import VideoLatentCodec, save
from codec.models.video_frame import FrameCoder, Reference
from codec.training.exporting import Export, Outcome
from codec.training.video_data import ClipShape, VideoData
from codec.training.video_latent import VideoLatentTraining

CLIP = ClipShape(frames=4, crop=192)


@torch.inference_mode()
def freeze_inter(training: VideoLatentTraining, clips: Tensor) -> float:
    """Make the integers of the inter frames, calibrated on the last frames of clips uint8 `(B, T, 3, H, W)` at all qualities.

    Returns:
        what the integer networks cost there, in percent of the bits.
    """
    model = training.model
    for tables in _fitted(model).values():
        tables.reset()  # a model that training began at may have brought tables of other scales
    levels = torch.linspace(0, 1, len(clips))
    last = training.last_inter(clips, levels)
    if last.past is None or last.motion_before is None:
        raise ValueError(f"clips need at least 3 frames, so that the last one has a past, got {clips.shape[1]}")
    prior, grid = model.inter.prior, tuple(last.latent.shape[-2:])
    prior.amplitudes.freeze()
    gains = [round(float(level) * FINEST / 32) for level in levels]
    planes = [
        prior.analyse(latent[None], 0, torch.full(prior.layout(grid).grids[0], gain))
        for latent, gain in zip(last.latent, gains, strict=True)
    ]
    stacked = [torch.stack(plane) for plane in zip(*planes, strict=True)]
    cost = prior.freeze(stacked, np.rint(last.past.numpy() * 256).astype(np.int64))
    model.inter.motion.freeze([last.motion.double()], last.motion_before.numpy())
    if model.inter.kept is not None and last.kept is not None and last.beside_kept is not None:
        model.inter.kept.freeze([last.kept], last.beside_kept.numpy())
    return cost


@torch.inference_mode()
def fit_inter_tables(model: VideoLatentCodec, clips: Tensor) -> None:
    """Refit the tables of scales to the symbols of clips uint8 `(B, T, 3, H, W)`, coded as in files, each at a gain of its own."""
    inter, stored = model.inter, _fitted(model)
    counts = {name: TableCounts(one.tables) for name, one in stored.items()}
    for i, clip in enumerate(clips):
        gain = round(FINEST * (i + 0.5) / len(clips))
        coder = FrameCoder(model.intra, inter, (clip.shape[2], clip.shape[3]), model.price)
        before: Reference = coder.encode_intra(coder.padded(clip[0]), gain)
        for frame in clip[1:]:
            before = coder.encode_inter(coder.padded(frame), before, gain, *counts.values())
    for name, one in stored.items():
        one.set(counts[name].fitted())


def _fitted(model: VideoLatentCodec) -> dict[str, StoredTables]:
    """The tables that are fitted to symbols."""
    inter = model.inter
    stored = {"hyper": inter.prior.hyper.tables, "motion": inter.motion.tables}
    if isinstance(inter.prior.likelihood, GaussianLikelihood):
        stored["latent"] = inter.prior.likelihood.tables
    return stored


class ExportVideoLatent(Export):
    """Converts to integers and saves `config.yaml`, `model.safetensors`, `card.md`.

    Args:
        folder: of the checkpoint.
        config: the resolved model subtree.
        note: first line of the card.
    """

    def __init__(self, folder: str, config: dict[str, Any], note: str = "") -> None:
        super().__init__(folder, note)
        self.config = config

    def write(self, module: VideoLatentTraining, data: VideoData, outcome: Outcome) -> None:
        """See the class text."""
        cost = export_video(module.cpu().eval(), data)
        card = outcome.card(self.folder.name, self.note, f"cost of integers: {cost:.4f} %")
        save(self.folder, module.model, self.config, card)


def export_video(training: VideoLatentTraining, data: VideoData, calibration: int = 6, fitted: int = 24) -> float:
    """Integers and tables from training clips; returns the cost of the integers in percent."""
    stream = data.crops(shape=CLIP)
    clips = torch.cat([stream.batch((1 << 29) + i) for i in range(calibration)])
    cost = freeze_inter(training, clips)
    fit_inter_tables(training.model, torch.cat([stream.batch((1 << 28) + i) for i in range(fitted)]))
    return cost
