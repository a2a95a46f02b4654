"""Stored tokens train generative models, whose checkpoints the command line draws pictures and sounds from."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from torch import Tensor

from codec.errors import ModelMismatchError, ModelNotFoundError
from codec.generation import find_generator, load_generator
from codec.media import read_image
from codec.models import load
from tests.conftest import synthetic_picture

GOLDEN = Path(__file__).parents[1] / "golden"
QUICK = [
    "total_steps=4", "data.batch_size=2", "trainer.accelerator=cpu", "trainer.val_check_interval=4",
    "trainer.log_every_n_steps=2", "generator.trunk.dim=16", "generator.trunk.depth=2",
    "generator.trunk.heads=2",
]  # fmt: skip
WORDS = "{_target_: codec.generation.TableWords, radices: %s, dim: 16, code_dim: 4, key_dim: 4}"
PICTURES = [
    "generator=maskgit", f"generator.words=[{WORDS % [8, 8]}]", "data.crop=[4,4]",
    "generator.conditions.dim=16", "+generator.conditions.classes=2", "generator.conditions.coarse_dim=6",
    "+generator.conditions.coarse_step=2",
]  # fmt: skip
SOUNDS = ["generator=gpt_delay", f"generator.words=[{','.join([WORDS % [16]] * 4)}]", "data.crop=[1,16]"]


def run(folder: Path, *command: object, code: int = 0, checkpoints: str = "runs-*") -> str:
    """A command of this suite in a fresh process; what it says on stderr."""
    paths = os.pathsep.join([str(GOLDEN), *map(str, folder.glob(checkpoints))])
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CODEC_CHECKPOINTS": paths}
    words = [sys.executable, "-W", "ignore", *map(str, command)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment, cwd=folder)
    assert done.returncode == code, done.stderr[-3000:]
    return done.stderr


def codec(folder: Path, *arguments: object, code: int = 0, checkpoints: str = "runs-*") -> str:
    return run(folder, "-m", "codec", *arguments, code=code, checkpoints=checkpoints)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tokens of pictures with classes and of sounds, and a model of each after four steps."""
    folder = tmp_path_factory.mktemp("generators")
    (folder / "pictures").mkdir()
    (folder / "sounds").mkdir()
    random = np.random.default_rng(0)
    for i in range(4):
        pixels = synthetic_picture(64, 72, i).permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(folder / "pictures" / f"{i}.png")
        (folder / "pictures" / f"{i}.cls").write_text(str(i % 2))
        soundfile.write(folder / "sounds" / f"{i}.wav", 0.1 * random.standard_normal(4000), 8000)
    for kind, model, extra in ("pictures", "tiny", PICTURES), ("sounds", "tiny-sound", SOUNDS):
        codec(folder, "tokenize", kind, f"tokens-{kind}", "--model", model)
        tokens = [f"data.tokens.{part}=tokens-{kind}" for part in ("train", "val")]
        train = [Path.cwd() / "train.py", "--config-name", "train_generator", f"tokenizer={model}"]
        run(folder, *train, *tokens, f"output=runs-{kind}", f"name={kind}-generator", *QUICK, *extra)
    return folder


def test_the_checkpoint_says_whose_codes_it_models(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CODEC_CHECKPOINTS", str(folder / "runs-pictures"))
    tiny, sound = (load(GOLDEN / name).coding_hash("static").hex() for name in ("tiny", "tiny-sound"))
    info = find_generator(tiny)
    assert (info.name, info.tokenizer) == ("pictures-generator", "tiny")
    assert "val/bits_a_token_told" in (info.folder / "card.md").read_text()
    assert load_generator(info).alphabets == (64,)
    with pytest.raises(ModelNotFoundError, match=r"known: pictures-generator \(of tiny\)"):
        find_generator(sound)
    with pytest.raises(ModelMismatchError, match="models the codes of tiny"):
        find_generator(sound, "pictures-generator")


def test_pictures_are_drawn(folder: Path) -> None:
    codec(folder, "generate", "drawn.png", "--model", "tiny", "--size", "40x24", "--steps", "2", "--count", "2")
    first, second = (read_image(folder / "drawn" / f"000{i}.png").samples for i in (1, 2))
    assert first.shape == (3, 24, 40)
    assert not torch.equal(first, second)
    told = ["--label", "1", "--coarse", "pictures/1.png", "--guidance", "2", "--steps", "2"]
    codec(folder, "generate", "told.lmc", "--model", "tiny", *told)
    codec(folder, "decode", "told.lmc", "told.png")
    assert read_image(folder / "told.png").samples.shape == (3, 64, 72)


def codes_in(file: Path) -> Tensor:
    tiny: Any = load(GOLDEN / "tiny")
    with file.open("rb") as source:
        return tiny.read_codes(source).planes[0].codes


def test_what_is_not_masked_stays(folder: Path) -> None:
    codec(folder, "encode", "pictures/0.png", "whole.lmc", "--model", "tiny")
    codec(folder, "decode", "whole.lmc", "whole.png")
    mask = np.zeros((64, 72), np.uint8)
    mask[20:30, 33:47] = 255
    Image.fromarray(mask).save(folder / "mask.png")
    codec(folder, "generate", "mended.lmc", "--model", "tiny", "--prompt", "pictures/0.png", "--mask", "mask.png")
    before, after = (codes_in(folder / name) for name in ("whole.lmc", "mended.lmc"))
    differ = (before != after)[0].nonzero()
    assert len(differ)
    assert differ.amin(0).tolist() >= [2, 4]
    assert (differ.amax(0) <= torch.tensor([3, 5])).all()
    codec(folder, "generate", "half.png", "--model", "tiny", "--prompt", "pictures/0.png", "--keep", "0.5")


def test_files_are_coded_with_a_generator(folder: Path) -> None:
    codec(folder, "encode", "pictures/2.png", "plain.lmc", "--model", "tiny")
    codec(folder, "encode", "pictures/2.png", "coded.lmc", "--model", "tiny", "--prior", "generator")
    for name in "plain", "coded":
        codec(folder, "decode", f"{name}.lmc", f"{name}.png")
        codec(folder, "verify", f"{name}.lmc")
    same = [read_image(folder / f"{name}.png").samples for name in ("plain", "coded")]
    assert torch.equal(*same)
    assert (folder / "plain.lmc").read_bytes()[:13] != (folder / "coded.lmc").read_bytes()[:13]
    (folder / "elsewhere").mkdir()
    assert "no model" in run(folder / "elsewhere", "-m", "codec", "decode", "../coded.lmc", "no.png", code=5)
    assert "no generative model" in codec(
        folder, "encode", "sounds/0.wav", "no.lmc", "--model", "tiny-sound", "--prior", "generator", code=5
    )
    assert "has no tokens" in codec(folder, "encode", "pictures/2.png", "no.lmc", "--prior", "generator", code=2)


def test_files_are_coded_in_raster_order(folder: Path) -> None:
    """A model that does nothing else comes first as a coder; what is lost of its files is made by the masked one."""
    train = [Path.cwd() / "train.py", "--config-name", "train_generator", "tokenizer=tiny", "generator=raster"]
    tokens = [f"data.tokens.{part}=tokens-pictures" for part in ("train", "val")]
    words = f"generator.words=[{WORDS % [8, 8]}]"
    run(folder, *train, *tokens, *QUICK, words, "data.crop=[4,4]", "output=rasters", "name=tiny-raster-generator")
    codec(folder, "encode", "pictures/2.png", "masked.lmc", "--model", "tiny", "--prior", "generator")
    both: Any = {"checkpoints": "r[ua][ns]*s*"}
    codec(folder, "encode", "pictures/2.png", "raster.lmc", "--model", "tiny", "--prior", "generator", **both)
    assert (folder / "raster.lmc").read_bytes()[:13] != (folder / "masked.lmc").read_bytes()[:13]
    for name in "raster", "masked":
        codec(folder, "decode", f"{name}.lmc", f"{name}.png", **both)
    assert torch.equal(*(read_image(folder / f"{name}.png").samples for name in ("raster", "masked")))
    data = bytearray((folder / "raster.lmc").read_bytes())
    data[-20] ^= 1
    (folder / "lost.lmc").write_bytes(bytes(data))
    codec(folder, "decode", "lost.lmc", "lost.png", "--conceal", **both)
    assert "no generative model" in codec(
        folder, "decode", "lost.lmc", "no.png", "--conceal", checkpoints="rasters", code=5
    )
    codec(
        folder, "generate", "drawn-raster.png", "--model", "tiny", "--prompt", "pictures/0.png", checkpoints="rasters"
    )
    assert read_image(folder / "drawn-raster.png").samples.shape == (3, 64, 72)


def test_lost_codes_are_made_up(folder: Path) -> None:
    codec(folder, "encode", "pictures/3.png", "damaged.lmc", "--model", "tiny")
    data = bytearray((folder / "damaged.lmc").read_bytes())
    data[-20] ^= 1  # in the second of two sections of codes
    (folder / "damaged.lmc").write_bytes(bytes(data))
    codec(folder, "decode", "damaged.lmc", "refused.png", code=4)
    codec(folder, "decode", "damaged.lmc", "grey.png", "--partial")
    codec(folder, "decode", "damaged.lmc", "made.png", "--conceal")
    grey, made = (read_image(folder / f"{name}.png").samples.int() for name in ("grey", "made"))
    assert torch.equal(grey[:, :, :56], made[:, :, :56])
    assert not torch.equal(grey, made)
    codec(folder, "encode", "sounds/1.wav", "sound.lmc", "--model", "tiny-sound")
    assert "no generative model" in codec(folder, "decode", "sound.lmc", "no.wav", "--conceal", code=5)


def test_sounds_go_on(folder: Path) -> None:
    codec(folder, "generate", "more.wav", "--model", "tiny-sound", "--prompt", "sounds/0.wav", "--seconds", "0.5")
    codec(folder, "encode", "sounds/0.wav", "prompt.lmc", "--model", "tiny-sound")
    codec(folder, "decode", "prompt.lmc", "prompt.wav")
    more, rate = soundfile.read(folder / "more.wav")
    prompt, _ = soundfile.read(folder / "prompt.wav")
    assert rate == 8000
    assert len(more) == 8000
    np.testing.assert_array_equal(more[:3000], prompt[:3000])


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--model", "tiny", "--prompt", "sounds/0.wav"], 2, "no file of pictures"),
        (["--model", "tiny-sound", "--prompt", "pictures/0.png"], 2, "no file of sound"),
        (["--model", "tiny-sound", "--size", "8x8"], 2, "--size is for pictures"),
        (["--model", "tiny", "--seconds", "1"], 2, "--seconds is for sound"),
        (["--model", "tiny", "--label", "2"], 2, "classes 0..1, got 2"),
        (["--model", "tiny", "--mask", "mask.png"], 2, "a mask needs a prompt"),
        (["--model", "tiny", "--prompt", "nowhere.png"], 3, "does not exist"),
        (["--model", "tiny", "--generator", "nobody"], 5, "no generative model 'nobody'"),
        (["--model", "tiny", "--size", "0x8"], 2, "expected width and height"),
        (["--model", "tiny", "--top-p", "1.5"], 2, "at most 1"),
    ],
)
def test_what_cannot_be(folder: Path, arguments: list[str], code: int, said: str) -> None:
    assert said in codec(folder, "generate", "never.png", *arguments, code=code)
    assert not (folder / "never.png").exists()


def test_an_output_that_exists(folder: Path) -> None:
    (folder / "there.png").write_bytes(b"mine")
    assert "exists" in codec(folder, "generate", "there.png", "--model", "tiny", code=2)
    assert (folder / "there.png").read_bytes() == b"mine"


def test_a_classifier_is_trained_on_tokens(folder: Path) -> None:
    train = [Path.cwd() / "train.py", "--config-name", "train_classifier", "tokenizer=tiny", "classes=2"]
    data = ["data.train=tokens-pictures", "data.val=tokens-pictures", "data.crop=[4,4]", "data.batch_size=4"]
    small = ["classifier.vector_dim=6", "classifier.trunk.dim=16", "classifier.trunk.window=[4,4]", "total_steps=4"]
    quick = ["trainer.accelerator=cpu", "trainer.val_check_interval=4", "trainer.log_every_n_steps=2"]
    run(folder, *train, *data, *small, *quick, "output=runs-classifier")
    assert (folder / "runs-classifier" / "classifier.safetensors").is_file()


def test_bytes_of_jpeg_files_are_words_too(folder: Path) -> None:
    train = [Path.cwd() / "train.py", "--config-name", "train_generator", "generator=jpeg_lm", "data=jpeg"]
    kind = ["tokenizer=jpeg:16:25:300", "data.crop=[1,300]"]
    words = f"generator.words=[{WORDS % [257]}]"
    run(
        folder, *train, *kind, *QUICK, words, "data.tokens.images.root=pictures", "data.tokens.images.cache=cache",
        "output=runs-jpeg", "name=jpeg-generator",
    )  # fmt: skip
    codec(folder, "generate", "bytes.png", "--model", "jpeg:16:25:300", "--temperature", "0.5")
    assert read_image(folder / "bytes.png").samples.shape == (3, 16, 16)
    assert "no generative model" in codec(folder, "generate", "no.png", "--model", "jpeg:16:26:300", code=5)
    assert "--size" in codec(folder, "generate", "no.png", "--model", "jpeg:16:25:300", "--size", "8x8", code=2)
