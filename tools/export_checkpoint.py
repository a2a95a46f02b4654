"""Make a shippable checkpoint from a training run that was stopped early, and fill in its card.

python tools/export_checkpoint.py runs/NAME/last.ckpt OUT --overrides experiment=image_tokens_f8 data.root=PICTURES
python tools/export_checkpoint.py runs/NAME/last.ckpt OUT --config-name train_latent --overrides data.root=PICTURES
python tools/export_checkpoint.py runs/NAME/last.ckpt OUT --config-name train_sound --overrides experiment=audio_speech_16k data.root=MEDIA
"""

import argparse
from pathlib import Path
from typing import Any, cast

import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from omegaconf import OmegaConf

from codec.models import LatentCodec, SoundCodec, TokenCodec, save
from codec.models.checkpoint import build
from codec.training.export import Narrowing, Tokenizing, count_codes, count_picture_codes
from codec.training.export_latent import export_latent
from codec.training.pack import ImagePack
from codec.training.sound_data import SoundData, clip_of
from codec.training.sound_tokens import clip_codes

CONFIGS = Path(__file__).resolve().parents[1] / "configs"


def averaged_weights(path: Path) -> dict[str, torch.Tensor]:
    """The model's averaged weights in a Lightning checkpoint."""
    state = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    return {name.removeprefix("model."): value for name, value in state.items() if name.startswith("model.")}


def fill_tokenizer(model: Tokenizing, weights: dict[str, torch.Tensor]) -> None:
    """All but the prior, which is fitted anew."""
    kept = {name: value for name, value in weights.items() if not name.startswith("prior.")}
    missing, unexpected = model.load_state_dict(kept, strict=False)
    if unexpected or any(not name.startswith("prior.") for name in missing):
        raise SystemExit(f"the checkpoint does not fit this config: missing {missing}, unexpected {unexpected}")
    model.eval()


def fill_pictures(model: TokenCodec, weights: dict[str, torch.Tensor], pack: ImagePack) -> None:
    """Everything, the prior from the pictures."""
    fill_tokenizer(model, weights)
    model.prior.fit(count_picture_codes(model, pack))


def fill_sound(
    model: SoundCodec, weights: dict[str, torch.Tensor], data: SoundData, narrowing: Narrowing, config: dict[str, Any]
) -> dict[str, Any]:
    """Everything, narrowed, the prior from the clips; the config of what it is now."""
    fill_tokenizer(model, weights)
    narrowed = narrowing.whole(model, config)
    clips = (clip_of(pack, i).samples[None] for pack in data.packs(data.train, model.rate) for i in range(len(pack)))
    model.prior.fit(count_codes(model, clips, lambda samples: list(clip_codes(model, samples))))
    return narrowed


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
    parser.add_argument("--config-name", default="train", choices=("train", "train_latent", "train_sound"))
    parser.add_argument("--overrides", nargs="*", default=[])
    parser.add_argument("--card", type=Path, help="text of the card")
    arguments = parser.parse_args()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = compose(arguments.config_name, arguments.overrides)
    model_config = cast(dict[str, Any], OmegaConf.to_container(config.model, resolve=True))
    model, weights = build(model_config), averaged_weights(arguments.checkpoint)
    data = instantiate(config.data)
    if isinstance(model, LatentCodec):
        fill_latent(model, weights, data.packs()[0])
    elif isinstance(model, SoundCodec):
        model_config = fill_sound(model, weights, data, Narrowing(**config.get("export", {})), model_config)
    else:
        fill_pictures(cast(TokenCodec, model), weights, data.packs()[0])
    card = arguments.card.read_text() if arguments.card else f"# {arguments.out.name}\n"
    print(save(arguments.out, cast(Tokenizing | LatentCodec, model), model_config, card))


if __name__ == "__main__":
    main()
