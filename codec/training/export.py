"""Write the shippable checkpoint when training ends: tables fitted to a count of the whole training set."""

from pathlib import Path
from typing import Any, cast

import lightning
import torch
from omegaconf import OmegaConf
from torch import Tensor

from codec.models import TokenCodec, find, load_as, save
from codec.training.datamodule import ImageData
from codec.training.pack import ImagePack
from codec.training.tokenizer import TokenizerTraining


@torch.inference_mode()
def count_codes(model: TokenCodec, pack: ImagePack) -> list[Tensor]:
    """Hits of every code over whole pictures: int64 `(K,)` for each code at a position."""
    counts = [torch.zeros(size, dtype=torch.int64) for size in model.quantizer.codebook_sizes]
    for i in range(len(pack)):
        picture = torch.from_numpy(pack[i].copy()).permute(2, 0, 1)[None]
        for count, plane in zip(counts, model.encode(picture).planes, strict=True):
            count += torch.bincount(plane.codes.flatten(), minlength=len(count))
    return counts


class ExportCheckpoint(lightning.Callback):
    """After training, fit the prior to the training set and save `config.yaml`, `model.safetensors`, `card.md`.

    Where only a decoder was trained, the checkpoint is the one whose codes were kept, priors and all, with the new decoder.

    Args:
        folder: of the checkpoint.
        config: the resolved model subtree.
        note: first line of the card.
    """

    def __init__(self, folder: str, config: dict[str, Any], note: str = "") -> None:
        self.folder, self.config, self.note = Path(folder), config, note

    def on_fit_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """Averaged weights are in place by now."""
        if not trainer.is_global_zero:
            return
        module = cast(TokenizerTraining, pl_module)
        model, config = module.model.cpu().eval(), self.config
        if module.keep_codes_of is None:
            model.prior.fit(count_codes(model, cast(ImageData, trainer.datamodule).packs()[0]))  # type: ignore[attr-defined]
        else:
            model, config = with_decoder(module.keep_codes_of, model, config)
        save(self.folder, model, config, self._card(trainer))

    def _card(self, trainer: lightning.Trainer) -> str:
        lines = [f"# {self.folder.name}", "", self.note, "", f"- steps: {trainer.global_step}"]
        lines += [f"- {name}: {float(value):.4f}" for name, value in sorted(trainer.callback_metrics.items())]
        return "\n".join(lines) + "\n"


def with_decoder(kept: str, trained: TokenCodec, config: dict[str, Any]) -> tuple[TokenCodec, dict[str, Any]]:
    """A checkpoint's model and config with a trained decoder in the place of its own."""
    model, stored = load_as(TokenCodec, kept), OmegaConf.load(find(kept).folder / "config.yaml")
    model.decoder = trained.decoder
    return model, cast(dict[str, Any], OmegaConf.to_container(stored)) | {"decoder": config["decoder"]}
