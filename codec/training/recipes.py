"""From a composed config to what a trainer fits: what is trained, on what, and what is written at the end."""

from pathlib import Path
from typing import Any, cast

import lightning
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from codec.models.checkpoint import build
from codec.training.classifier import ExportClassifier
from codec.training.export import ExportCheckpoint, Narrowing
from codec.training.export_latent import ExportLatent
from codec.training.export_video import ExportVideoLatent
from codec.training.exporting import Export, Outcome
from codec.training.generator import ExportGenerator
from codec.training.prior import ExportPrior
from codec.training.video_latent import VideoLatentTraining

Parts = tuple[lightning.LightningModule, lightning.LightningDataModule, Export]


def parts_of(config: DictConfig) -> Parts:
    """By the key that the config has: `prior`, `generator`, `classifier`, `loss` for tokenizers; without any a latent codec."""
    kinds = {"prior": _prior, "generator": _generator, "classifier": _classifier, "loss": _tokenizer}
    return next((make for key, make in kinds.items() if key in config), _latent)(config)


def export_stopped(config: DictConfig, checkpoint: Path, folder: Path) -> None:
    """Write what the run of a config would have written, were a Lightning checkpoint its last step, with averaged weights if it had any.

    Raises:
        RuntimeError: the weights are those of another config.
    """
    module, data, export = parts_of(config)
    saved = torch.load(checkpoint, map_location="cpu", weights_only=True)
    module.load_state_dict(saved["state_dict"])
    trainer = lightning.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.strategy.connect(module)
    data.trainer = trainer  # sounds are read at the rate of what it trains
    export.folder = folder
    export.write(module.eval(), data, Outcome(saved["global_step"], {}))


def _latent(config: DictConfig) -> Parts:
    model = plain(config.model)
    module = instantiate(config.training, model=build(model))
    export = ExportVideoLatent if isinstance(module, VideoLatentTraining) else ExportLatent
    return module, instantiate(config.data), export(_output(config), model, config.note)


def _tokenizer(config: DictConfig) -> Parts:
    model = plain(config.model)
    module = instantiate(config.training, model=build(model), fidelity=config.loss.fidelity, loss=config.loss.weights)
    export = ExportCheckpoint(_output(config), model, config.note, Narrowing(**config.get("export", {})))
    return module, instantiate(config.data), export


def _prior(config: DictConfig) -> Parts:
    prior = plain(config.prior)
    data = instantiate(config.tokens, instantiate(config.data))
    return instantiate(config.training, prior=build(prior)), data, ExportPrior(_output(config), prior)


def _generator(config: DictConfig) -> Parts:
    model = plain(config.generator)
    export = ExportGenerator(_output(config), model, config.note)
    return instantiate(config.training, model=build(model)), instantiate(config.data), export


def _classifier(config: DictConfig) -> Parts:
    module = instantiate(config.training, model=build(plain(config.classifier)))
    return module, instantiate(config.data), ExportClassifier(f"{_output(config)}.safetensors")


def _output(config: DictConfig) -> str:
    return str(Path(config.output) / config.name)


def plain(config: DictConfig) -> dict[str, Any]:
    """Resolved, as plain values."""
    return cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))
