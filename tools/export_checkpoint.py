"""Make a shippable checkpoint from a training run that was stopped early, and fill in its card.

python tools/export_checkpoint.py runs/NAME/last.ckpt OUT --overrides experiment=image_tokens_f8 data.root=PICTURES
python tools/export_checkpoint.py runs/NAME/last.ckpt OUT --config-name train_latent --overrides data.root=PICTURES
"""

import argparse
from pathlib import Path
from typing import Any, cast

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf

from codec.models import LatentCodec, TokenCodec, save
from codec.models.checkpoint import build
from codec.training.export import count_codes
from codec.training.export_latent import export_latent
from codec.training.pack import ImagePack

CONFIGS = Path(__file__).resolve().parents[1] / "configs"


def averaged_weights(path: Path) -> dict[str, torch.Tensor]:
    """The model's averaged weights in a Lightning checkpoint."""
    state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    return {name.removeprefix("model."): value for name, value in state.items() if name.startswith("model.")}


def fill_tokens(model: TokenCodec, weights: dict[str, torch.Tensor], pack: ImagePack) -> None:
    """All but the prior, which is fitted anew."""
    kept = {name: value for name, value in weights.items() if not name.startswith("prior.")}
    missing, unexpected = model.load_state_dict(kept, strict=False)
    if unexpected or any(not name.startswith("prior.") for name in missing):
        raise SystemExit(f"the checkpoint does not fit this config: missing {missing}, unexpected {unexpected}")
    model.eval()
    model.prior.fit(count_codes(model, pack))


def fill_latent(model: LatentCodec, weights: dict[str, torch.Tensor], pack: ImagePack) -> None:
    """Everything; then integers and tables anew."""
    model.load_state_dict(weights)
    model.eval()
    print(f"the integer networks cost {export_latent(model, pack):.3f} %")


def main() -> None:
    """Build, load, fit, save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--config-name", default="train", choices=("train", "train_latent"))
    parser.add_argument("--overrides", nargs="*", default=[])
    parser.add_argument("--card", type=Path, help="text of the card")
    arguments = parser.parse_args()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = compose(arguments.config_name, arguments.overrides)
    model_config = cast(dict[str, Any], OmegaConf.to_container(config.model, resolve=True))
    model, weights = build(model_config), averaged_weights(arguments.checkpoint)
    pack = instantiate(config.data).packs()[0]
    if isinstance(model, LatentCodec):
        fill_latent(model, weights, pack)
    else:
        fill_tokens(cast(TokenCodec, model), weights, pack)
    card = arguments.card.read_text() if arguments.card else f"# {arguments.out.name}\n"
    print(save(arguments.out, cast(TokenCodec | LatentCodec, model), model_config, card))


if __name__ == "__main__":
    main()
