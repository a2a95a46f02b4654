"""Train a model: `python train.py experiment=image_fsq data.root=PICTURES` (also `codec train …`).

A tokenizer of sound: `python train.py --config-name train_sound experiment=audio_speech_16k data.root=MEDIA`.
A learned prior for a trained tokenizer: `--config-name train_prior tokenizer=NAME data.root=PICTURES`, of sound `train_sound_prior`.
A generative model of stored tokens: `--config-name train_generator tokenizer=NAME data.tokens.train=FOLDER data.tokens.val=FOLDER`.
"""

from pathlib import Path
from typing import Any, cast

import hydra
import lightning
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from codec.models.checkpoint import build
from codec.training import ExportCheckpoint, ExportGenerator, ExportLatent, ExportPrior, Narrowing


@hydra.main(version_base="1.3", config_path="configs", config_name="train")
def main(config: DictConfig) -> None:
    """Compose, instantiate, fit."""
    fit(config)


def fit(config: DictConfig) -> None:
    """Train what a composed config says, and write its checkpoint."""
    lightning.seed_everything(config.seed, workers=True)
    torch.set_float32_matmul_precision("high")
    module, data, export = _parts(config)
    callbacks = [instantiate(callback) for callback in config.callbacks.values()]
    trainer = instantiate(config.trainer, callbacks=[*callbacks, export])
    trainer.fit(module, datamodule=data, ckpt_path=_resume_path(config))


Parts = tuple[lightning.LightningModule, lightning.LightningDataModule, lightning.Callback]


def _parts(config: DictConfig) -> Parts:
    if "prior" in config:
        return _prior(config)
    if "generator" in config:
        return _generator(config)
    if "loss" in config:
        return _tokenizer(config)
    model = _plain(config.model)
    export = ExportLatent(str(Path(config.output) / config.name), model, config.note)
    return instantiate(config.training, model=build(model)), instantiate(config.data), export


def _tokenizer(config: DictConfig) -> Parts:
    model = _plain(config.model)
    module = instantiate(config.training, model=build(model), fidelity=config.loss.fidelity, loss=config.loss.weights)
    narrowing = Narrowing(**config.get("export", {}))
    export = ExportCheckpoint(str(Path(config.output) / config.name), model, config.note, narrowing)
    return module, instantiate(config.data), export


def _prior(config: DictConfig) -> Parts:
    prior = _plain(config.prior)
    data = instantiate(config.tokens, instantiate(config.data))
    export = ExportPrior(str(Path(config.output) / config.name), prior)
    return instantiate(config.training, prior=build(prior)), data, export


def _generator(config: DictConfig) -> Parts:
    model = _plain(config.generator)
    export = ExportGenerator(str(Path(config.output) / config.name), model, config.note)
    return instantiate(config.training, model=build(model)), instantiate(config.data), export


def _plain(config: DictConfig) -> dict[str, Any]:
    return cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))


def _resume_path(config: DictConfig) -> str | None:
    """The checkpoint to continue from."""
    return str(Path(config.output) / "last.ckpt") if config.resume == "last" else config.resume


if __name__ == "__main__":
    main()
