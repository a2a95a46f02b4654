"""Train a model: `python train.py experiment=image_fsq data.root=PICTURES` (also `codec train …`).

A tokenizer of sound: `python train.py --config-name train_sound experiment=audio_speech_16k data.root=MEDIA`.
A learned prior for a trained tokenizer: `--config-name train_prior tokenizer=NAME data.root=PICTURES`, of sound `train_sound_prior`.
A generative model of stored tokens: `--config-name train_generator tokenizer=NAME data.tokens.train=FOLDER data.tokens.val=FOLDER`.
A classifier of stored tokens: `--config-name train_classifier tokenizer=NAME classes=N data.train=FOLDER data.val=FOLDER`.
"""

from pathlib import Path

import hydra
import lightning
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig

from codec.training import parts_of


@hydra.main(version_base="1.3", config_path="configs", config_name="train")
def main(config: DictConfig) -> None:
    """Compose, instantiate, fit."""
    fit(config)


def fit(config: DictConfig) -> None:
    """Train what a composed config says, and write its checkpoint."""
    lightning.seed_everything(config.seed, workers=True)
    torch.set_float32_matmul_precision("high")
    module, data, export = parts_of(config)
    callbacks = [instantiate(callback) for callback in config.callbacks.values()]
    trainer = instantiate(config.trainer, callbacks=[*callbacks, export])
    trainer.fit(module, datamodule=data, ckpt_path=_resume_path(config))


def _resume_path(config: DictConfig) -> str | None:
    """The checkpoint to continue from."""
    return str(Path(config.output) / "last.ckpt") if config.resume == "last" else config.resume


if __name__ == "__main__":
    main()
