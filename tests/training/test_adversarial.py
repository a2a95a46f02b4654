"""Perceptual and adversarial training: what is kept does not move by a bit, resume is exact, a discriminator learns."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from codec.errors import UsageError
from codec.models import load
from codec.training import Adversarial, Distortions, Fidelity, PatchDiscriminator, PatchPattern, Perceptual, WeightedSum
from codec.training.windows import same_window
from tests.conftest import synthetic_picture

TINY = Path(__file__).parents[1] / "golden" / "tiny"
SMALL = [
    "experiment=image_tokens_f8_perceptual", f"training.keep_codes_of={TINY}", "name=sharper", "data.crop=48",
    "data.batch_size=2", "data.root=pictures", "data.cache=cache", "trainer.limit_val_batches=1",
    "trainer.val_check_interval=10", "trainer.log_every_n_steps=5", "trainer.accelerator=cpu",
    "callbacks.resume.every_n_train_steps=6", "+loss.fidelity.parts.features.side=32",
    "+loss.fidelity.parts.adversary.discriminator.widths=[8,16]", "loss.fidelity.parts.adversary.starts_at_step=3",
]  # fmt: skip
needs_network = pytest.mark.skipif(
    find_spec("efficientnet_lite_pytorch") is None, reason="extra `perceptual` is absent"
)
SHAPE = [
    "model.latent_dim=6", "model.quantizer.codebook.dim=6", "model.encoder.width=8", "model.encoder.depth=1",
    "model.decoder.width=8", "model.decoder.depth=1", "+model.decoder.mend_width=4",
]  # fmt: skip


def train(folder: Path, output: str, *overrides: str) -> None:
    command = [sys.executable, "-W", "ignore", str(Path.cwd() / "train.py"), f"output={output}"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, *SMALL, *SHAPE, *overrides],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures, and a decoder trained on them for 12 steps."""
    folder = tmp_path_factory.mktemp("adversarial")
    (folder / "pictures").mkdir()
    for i in range(4):
        picture = synthetic_picture(64, 80, i).permute(1, 2, 0).numpy()
        Image.fromarray(picture).save(folder / "pictures" / f"{i:05}.png")
    train(folder, "once", "total_steps=12")
    return folder


@needs_network
def test_only_the_decoder_moves(folder: Path) -> None:
    """Same hash, so the same files; every tensor outside the decoder equal to the last bit."""
    kept, trained = load(TINY), load(folder / "once" / "sharper")
    assert trained.coding_hash() == kept.coding_hash()
    before, after = kept.state_dict(), trained.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved
    assert all(name.startswith("decoder.") for name in moved)
    picture = synthetic_picture(40, 56)[None]
    codes = kept.encode(picture)
    assert torch.equal(codes.planes[0].codes, trained.encode(picture).planes[0].codes)
    assert not torch.equal(kept.decode(codes), trained.decode(codes))
    assert "steps: 12" in (folder / "once" / "sharper" / "card.md").read_text()


@needs_network
def test_resume_continues_exactly(folder: Path) -> None:
    """Decoder, discriminator, its running vectors and its count of steps, to the last bit."""
    train(folder, "twice", "total_steps=12", "trainer.max_steps=6")
    train(folder, "twice", "total_steps=12", "resume=last")
    once, twice = (torch.load(folder / run / "last.ckpt", weights_only=True) for run in ("once", "twice"))
    for part in ("current_model_state", "state_dict"):
        assert once[part].keys() == twice[part].keys()
        assert not [name for name, tensor in once[part].items() if not torch.equal(tensor, twice[part][name])]
    assert any("discriminator" in name for name in once["state_dict"])
    assert not any("_conv_stem" in name for name in once["state_dict"])  # the frozen classifier is not saved


def textures(blurred: bool) -> Tensor:
    """Noise, or noise without its fine grain: `(8, 3, 64, 64)` in [0, 1]."""
    noise = torch.rand(8, 3, 64, 64)
    return torch.nn.functional.avg_pool2d(noise, 3, stride=1, padding=1) if blurred else noise


def test_a_discriminator_learns_to_tell_blur() -> None:
    adversary = Adversarial(PatchDiscriminator([8, 16]), starts_at_step=3, side=48, learning_rate=5e-3)
    optimizer = torch.optim.AdamW([adversary.parameter_group()])
    losses = []
    for step in range(40):
        terms = adversary(textures(blurred=False), textures(blurred=True))
        assert (terms["adversarial"] == 0) == (step < 3)
        optimizer.zero_grad()
        terms["discriminator"].backward()
        optimizer.step()
        losses.append(terms["discriminator"].item())
    assert losses[0] > 0.9
    assert losses[-1] < 0.5
    adversary.eval()
    adversary(textures(blurred=False), textures(blurred=True))
    assert adversary.steps == 40


def test_the_two_gradients_touch_different_weights() -> None:
    adversary = Adversarial(PatchDiscriminator([8]), starts_at_step=0)
    decoded = torch.rand(2, 3, 32, 32, requires_grad=True)
    terms = adversary(torch.rand(2, 3, 32, 32), decoded)
    terms["adversarial"].backward()
    assert decoded.grad is not None
    assert decoded.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in adversary.parameters())
    decoded.grad = None
    terms["discriminator"].backward()
    assert decoded.grad is None
    assert all(parameter.grad is not None for parameter in adversary.parameters())


def test_a_logit_sees_46_pixels() -> None:
    pixels = torch.rand(1, 3, 128, 128, requires_grad=True)
    logits = PatchDiscriminator([4, 4, 4])(pixels)[0].logits
    logits[0, 0, 7, 7].backward()
    assert pixels.grad is not None
    seen = pixels.grad[0].abs().sum(0) > 0
    assert (int(seen.any(0).sum()), int(seen.any(1).sum())) == (46, 46)


def test_what_repeats_costs_more_than_what_differs() -> None:
    pixels = torch.rand(1, 3, 96, 96)
    dots = 0.1 * torch.randn(1, 3, 8, 8)
    grain = 0.1 * torch.randn(1, 3, 96, 96)
    repeated, different = (PatchPattern()(pixels, pixels + r)["pattern"] for r in (dots.repeat(1, 1, 12, 12), grain))
    assert PatchPattern()(pixels, pixels)["pattern"] == 0
    torch.testing.assert_close(repeated, dots.square().mean())
    assert different < repeated / 8


def test_the_window_follows_from_the_pixels() -> None:
    pixels, decoded = torch.rand(2, 3, 40, 40), torch.rand(2, 3, 40, 40)
    one, two = same_window(pixels, decoded, 16), same_window(pixels, decoded, 16)
    assert one[0].shape == (2, 3, 16, 16)
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert torch.equal(same_window(pixels, pixels, 16)[0], one[0])
    assert same_window(pixels, decoded, 96)[0].shape == pixels.shape
    corners = {float(same_window(p := torch.rand(1, 1, 40, 40), p, 16)[0][0, 0, 0, 0]) for _ in range(5)}
    assert len(corners) == 5


@needs_network
def test_parts_give_the_terms_that_weights_name() -> None:
    pixels, decoded = torch.rand(2, 3, 40, 40), torch.rand(2, 3, 40, 40, requires_grad=True)
    terms = Distortions({"a": Fidelity(), "b": Perceptual(side=32, pictures=1)})(pixels, decoded)
    assert terms.keys() == {"mse", "effnet"}
    WeightedSum({"mse": 1.0, "effnet": 0.1})(terms).backward()
    assert decoded.grad is not None
    assert not list(Perceptual(side=32).parameters())
    with pytest.raises(ValueError, match=r"without a weight \['effnet'\]"):
        WeightedSum({"mse": 1.0})(terms)
    with pytest.raises(ValueError, match=r"two distortions give the terms \['mse'\]"):
        Distortions({"a": Fidelity(), "b": Fidelity(decibels=True)})(pixels, decoded)


def test_without_the_network_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """None in `sys.modules` is Python's own way to say that a package cannot be imported."""
    monkeypatch.setitem(sys.modules, "efficientnet_lite_pytorch", None)
    with pytest.raises(UsageError, match="efficientnet_lite_pytorch: pip install"):
        Perceptual()
