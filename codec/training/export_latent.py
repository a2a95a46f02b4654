"""From a trained LatentCodec to one that writes files: integer networks, and tables fitted to what encoders produce."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from codec.entropy import GaussianLikelihood, GroupedLatentPrior, RoundedLatent, walk
from codec.entropy.fitting import TableCounts
from codec.entropy.latent import OFFSET_UNIT
from codec.entropy.levels import FINEST
from codec.entropy.tables import StoredTables
from codec.models import LatentCodec, save
from codec.training.datamodule import ImageData
from codec.training.exporting import Export, Outcome
from codec.training.latent import LatentTraining
from codec.training.pack import ImagePack


@torch.inference_mode()
def freeze_latent(model: LatentCodec, crops: Sequence[Tensor]) -> float:
    """Make the prior's integers, calibrated on crops uint8 `(3, H, W)` of one size at qualities from end to end.

    Returns:
        what the integer networks cost there, in percent of the bits.
    """
    prior, planes = model.prior, []
    if not isinstance(prior, GroupedLatentPrior):
        planes = [prior.analyse(model.analyse(crop[None]), 0) for crop in crops]
        return prior.freeze([torch.stack(plane) for plane in zip(*planes, strict=True)])
    for tables in _fitted(prior):
        tables.reset()  # a model that training began at may have brought tables of other scales
    prior.amplitudes.freeze()
    for i, crop in enumerate(crops):
        latent = model.analyse(crop[None])
        offset = round(i * FINEST / max(1, len(crops) - 1) / OFFSET_UNIT)
        grid = prior.layout(latent.shape[-2:]).grids[0]
        planes.append(prior.analyse(latent, 0, torch.full(grid, offset)))
    return prior.freeze([torch.stack(plane) for plane in zip(*planes, strict=True)])


@torch.inference_mode()
def fit_tables(model: LatentCodec, pictures: Sequence[Tensor], gains: Sequence[int]) -> None:
    """Refit the tables of scales to the symbols of pictures uint8 `(3, H, W)`, each at one of the gains in turn."""
    prior = model.prior
    if not isinstance(prior, GroupedLatentPrior):
        return
    stored = _fitted(prior)
    counts = [TableCounts(one.tables) for one in stored]
    for i, picture in enumerate(pictures):
        latent, gain = model.analyse(picture[None]), gains[i % len(gains)]
        flat = [plane.reshape(-1).numpy().astype(np.float64) for plane in prior.analyse(latent, gain)]
        walk(prior, prior.layout(latent.shape[-2:], gain), RoundedLatent(flat, model.price), *counts)
    for one, count in zip(stored, counts, strict=True):
        one.set(count.fitted())


def _fitted(prior: GroupedLatentPrior) -> list[StoredTables]:
    """The tables that are fitted to symbols."""
    likelihood = prior.likelihood
    return [prior.hyper.tables, *([likelihood.tables] if isinstance(likelihood, GaussianLikelihood) else [])]


class ExportLatent(Export):
    """Converts to integers and saves `config.yaml`, `model.safetensors`, `card.md`.

    Args:
        folder: of the checkpoint.
        config: the resolved model subtree.
        note: first line of the card.
        calibration: crops on which the integer networks are calibrated.
        pictures: to which the tables are fitted.
    """

    def __init__(
        self, folder: str, config: dict[str, Any], note: str = "", *, calibration: int = 24, pictures: int = 300
    ) -> None:
        super().__init__(folder, note)
        self.config = config
        self.calibration, self.pictures = calibration, pictures

    def write(self, module: LatentTraining, data: ImageData, outcome: Outcome) -> None:
        """See the class text."""
        model = module.model.cpu().eval()
        cost = export_latent(model, data.packs()[0], self.calibration, self.pictures)
        card = outcome.card(self.folder.name, self.note, f"cost of integers: {cost:.4f} %")
        save(self.folder, model, self.config, card)


def export_latent(model: LatentCodec, pack: ImagePack, calibration: int = 24, pictures: int = 300) -> float:
    """Integers and tables from a training pack; returns the cost of the integers in percent."""
    count = min(pictures, len(pack))
    chosen = [torch.from_numpy(pack[i * len(pack) // count].copy()).permute(2, 0, 1) for i in range(count)]
    crops = [picture[:, :256, :256] for picture in chosen if min(picture.shape[1:]) >= 256][:calibration]
    if not crops:
        raise ValueError("the training pack has no picture of 256x256 pixels to calibrate on")
    cost = freeze_latent(model, crops)
    fit_tables(model, chosen, gains=[round(FINEST * (i + 0.5) / 16) for i in range(16)])
    return cost
