"""Make a shippable checkpoint from a training run that was stopped early: what the run itself would have written as its last step.

python tools/export_checkpoint.py runs/NAME/last.ckpt OUT --overrides experiment=image_tokens_f8 data.root=PICTURES
python tools/export_checkpoint.py runs/NAME/last.ckpt OUT --config-name train_latent --overrides data.root=PICTURES
python tools/export_checkpoint.py runs/NAME/last.ckpt OUT --config-name train_sound --overrides experiment=audio_speech_16k data.root=MEDIA

Averaged weights are taken where the run averaged. Config and overrides are those of the run.
"""

import argparse
from pathlib import Path

from hydra import compose, initialize_config_dir

from codec.training import export_stopped

CONFIGS = Path(__file__).resolve().parents[1] / "configs"


def main() -> None:
    """Build, load, export."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--config-name", default="train", help="as in training")
    parser.add_argument("--overrides", nargs="*", default=[], help="as in training")
    parser.add_argument("--card", type=Path, help="text of the card, in place of a plain one")
    arguments = parser.parse_args()
    with initialize_config_dir(str(CONFIGS), version_base="1.3"):
        config = compose(arguments.config_name, arguments.overrides)
    try:
        export_stopped(config, arguments.checkpoint, arguments.out)
    except RuntimeError as error:
        raise SystemExit(f"{arguments.checkpoint} does not fit this config: {error}") from error
    if arguments.card:
        (arguments.out / "card.md").write_text(arguments.card.read_text())
    print(arguments.out)


if __name__ == "__main__":
    main()
