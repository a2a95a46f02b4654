"""Every sound backbone config obeys the same laws; the folder is the list."""

import copy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor, nn

CONFIGS = sorted(Path("configs/model/sound_backbone").glob("*.yaml"))
PARTS = ["encoder", "decoder"]


@cache
def built(path: Path, part: str) -> Any:
    """Instantiate one half of a config alone; what starts at zero is set to random values, so that all of it shows."""
    torch.manual_seed(0)
    return shake(instantiate(OmegaConf.load(path)[part]).eval())


@cache
def precise(path: Path, part: str) -> Any:
    return copy.deepcopy(built(path, part)).double()


@torch.no_grad()
def shake(module: nn.Module) -> nn.Module:
    for parameter in module.parameters():
        if not parameter.any():
            parameter.normal_(0, 0.1)
    return module


@pytest.fixture(params=CONFIGS, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


def latent_dim(path: Path) -> int:
    encoder = built(path, "encoder")
    return encoder(torch.zeros(1, 1, encoder.hop)).shape[1]


def something(path: Path, part: str, frames: int, dtype: torch.dtype = torch.float32, batch: int = 1) -> Tensor:
    """Noise that the half takes."""
    if part == "encoder":
        return 0.1 * torch.randn(batch, 1, frames * built(path, part).hop, dtype=dtype)
    return torch.randn(batch, latent_dim(path), frames, dtype=dtype)


def by_frame(values: Tensor, frames: int) -> Tensor:
    """`(B, C, N)` frames or samples to `(B, frames, …)`."""
    return values.unflatten(2, (frames, -1)).transpose(1, 2).flatten(2)


@pytest.mark.parametrize("frames", [1, 2, 7])
@torch.no_grad()
def test_shapes(path: Path, frames: int) -> None:
    encoder, decoder = built(path, "encoder"), built(path, "decoder")
    assert encoder.hop == decoder.hop
    z = encoder(something(path, "encoder", frames, batch=2))
    assert z.shape == (2, latent_dim(path), frames)
    assert decoder(z).shape == (2, 1, frames * encoder.hop)


@torch.no_grad()
def test_an_encoder_wants_whole_frames(path: Path) -> None:
    encoder = built(path, "encoder")
    for shape in ((1, 1, encoder.hop + 1), (1, 2, encoder.hop), (1, encoder.hop)):
        with pytest.raises(ValueError, match="pad_to_frames"):
            encoder(torch.zeros(shape))


@pytest.mark.parametrize("part", PARTS)
@torch.no_grad()
def test_stated_past_and_future_are_true(path: Path, part: str) -> None:
    """One frame changes: all that may depend on it lies within the bounds, and both bounds are reached."""
    module = precise(path, part)
    changed = module.future + 2
    frames = changed + module.past + 3
    before = something(path, part, frames, torch.float64)
    after = before.clone()
    width = after.shape[2] // frames
    after[..., changed * width : (changed + 1) * width] += 1
    differs = (by_frame(module(after) - module(before), frames) != 0).any(2)[0].nonzero()[:, 0]
    assert differs.min() == changed - module.future
    assert differs.max() == changed + module.past


@pytest.mark.parametrize("part", PARTS)
@torch.no_grad()
def test_a_packet_with_its_past_computes_what_the_whole_does(path: Path, part: str) -> None:
    module = precise(path, part)
    first, packet = 3, 4  # where the past of the packet begins, and its frames
    inside = slice(module.past, module.past + packet)
    frames = first + module.past + packet + module.future + 2
    x = something(path, part, frames, torch.float64)
    cut = slice(first, frames - 2)
    width = x.shape[2] // frames
    alone = module(x[..., cut.start * width : cut.stop * width])
    alone, whole = by_frame(alone, cut.stop - cut.start), by_frame(module(x), frames)[:, cut]
    torch.testing.assert_close(alone[:, inside], whole[:, inside], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("part", PARTS)
@torch.no_grad()
def test_batch_neighbours_do_not_matter(path: Path, part: str) -> None:
    """Up to rounding, as kernels differ with the shape they are given."""
    module, x = precise(path, part), something(path, part, 5, torch.float64, batch=3)
    together = module(x)
    for place in range(len(x)):
        torch.testing.assert_close(module(x[place : place + 1]), together[place : place + 1])


@pytest.mark.parametrize("part", PARTS)
@torch.no_grad()
def test_silence_and_full_scale_stay_finite(path: Path, part: str) -> None:
    module, x = built(path, part), something(path, part, 4)
    for values in (torch.zeros_like(x), torch.ones_like(x), 10 * x.sign()):
        assert module(values).isfinite().all()


@pytest.mark.parametrize("part", PARTS)
@torch.no_grad()
def test_half_precision(path: Path, part: str) -> None:
    """Near what single precision gives: under autocast and with all weights shortened."""
    module, x = built(path, part), something(path, part, 5)
    expected = module(x)
    with torch.autocast("cpu", torch.bfloat16):
        mixed = module(x)
    short = [copy.deepcopy(module).to(dtype)(x.to(dtype)) for dtype in (torch.bfloat16, torch.float16)]
    for values in (mixed, *short):
        assert (values.float() - expected).norm() < 0.05 * expected.norm()


def test_gradients_reach_all_parameters(path: Path) -> None:
    encoder, decoder = built(path, "encoder"), built(path, "decoder")
    x = something(path, "encoder", 12).requires_grad_()
    named = {f"{part}.{name}": p for part in PARTS for name, p in built(path, part).named_parameters()}
    gradients = torch.autograd.grad((decoder(encoder(x)) - x.detach()).square().mean(), [x, *named.values()])
    for name, gradient in zip(["samples", *named], gradients, strict=True):
        assert gradient.isfinite().all(), name
        assert gradient.any(), name


def test_gradients_are_finite_for_silence(path: Path) -> None:
    encoder, decoder = built(path, "encoder"), built(path, "decoder")
    x = torch.zeros(1, 1, 4 * encoder.hop, requires_grad=True)
    parameters = [*encoder.parameters(), *decoder.parameters()]
    gradients = torch.autograd.grad(decoder(encoder(x)).square().mean(), [x, *parameters])
    assert all(gradient.isfinite().all() for gradient in gradients)
