"""Train a model: `python train.py experiment=image_fsq data.root=PICTURES` (also `codec train …`)."""

from pathlib import Path
from typing import Any, cast

import hydra
import lightning
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from codec.models.checkpoint import build
from codec.training import ExportCheckpoint


@hydra.main(version_base="1.3", config_path="configs", config_name="train")
def main(config: DictConfig) -> None:
    """Compose, instantiate, fit."""
    lightning.seed_everything(config.seed, workers=True)
    torch.set_float32_matmul_precision("high")
    model_config = cast(dict[str, Any], OmegaConf.to_container(config.model, resolve=True))
    module = instantiate(
        config.training,
        model=build(model_config),
        fidelity=config.loss.fidelity,
        loss=config.loss.weights,
    )
    callbacks = [instantiate(callback) for callback in config.callbacks.values()]
    export = ExportCheckpoint(str(Path(config.output) / config.name), model_config, config.note)
    trainer = instantiate(config.trainer, callbacks=[*callbacks, export])
    trainer.fit(module, datamodule=instantiate(config.data), ckpt_path=_resume_path(config))


def _resume_path(config: DictConfig) -> str | None:
    """The checkpoint to continue from."""
    return str(Path(config.output) / "last.ckpt") if config.resume == "last" else config.resume


if __name__ == "__main__":
    main()
