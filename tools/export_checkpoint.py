"""Make a shippable checkpoint from a training run that was stopped early, and fill in its card.

python tools/export_checkpoint.py runs/NAME/last.ckpt OUT --overrides experiment=image_tokens_f8 data.root=PICTURES
"""

import argparse
from pathlib import Path
from typing import Any, cast

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf

from codec.models import TokenCodec, save
from codec.models.checkpoint import build
from codec.training.export import count_codes

CONFIGS = Path(__file__).resolve().parents[1] / "configs"


def averaged_weights(path: Path) -> dict[str, torch.Tensor]:
    """The model's averaged weights in a Lightning checkpoint; the prior is left out, as it is fitted anew."""
    state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    model = {name.removeprefix("model."): value for name, value in state.items() if name.startswith("model.")}
    return {name: value for name, value in model.items() if not name.startswith("prior.")}


def main() -> None:
    """Build, load, count, save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--overrides", nargs="*", default=[])
    parser.add_argument("--card", type=Path, help="text of the card")
    arguments = parser.parse_args()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = compose("train", arguments.overrides)
    model_config = cast(dict[str, Any], OmegaConf.to_container(config.model, resolve=True))
    model = cast(TokenCodec, build(model_config))
    missing, unexpected = model.load_state_dict(averaged_weights(arguments.checkpoint), strict=False)
    if unexpected or any(not name.startswith("prior.") for name in missing):
        raise SystemExit(f"the checkpoint does not fit this config: missing {missing}, unexpected {unexpected}")
    model.eval()
    model.prior.fit(count_codes(model, instantiate(config.data).packs()[0]))
    card = arguments.card.read_text() if arguments.card else f"# {arguments.out.name}\n"
    print(save(arguments.out, model, model_config, card))


if __name__ == "__main__":
    main()
