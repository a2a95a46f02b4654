"""Backbones of video: wavelets there and back, causal networks from a state, block motion and its gradient."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from codec.nn import (
    CausalDecoder,
    CausalEncoder,
    FrameDecoder,
    FrameEncoder,
    find_motion,
    grouped,
    motion_grid,
    predict,
)
from codec.nn.video.haar import from_bands, haar_packet, to_bands
from codec.nn.video.motion import REACH, UNIT

SIZES = {"width": 16, "depth": 2}
NETWORKS: dict[str, Any] = {
    "causal": lambda: (CausalEncoder(6, **SIZES), CausalDecoder(6, **SIZES, mend_width=4)),
    "transformer": lambda: (
        FrameEncoder(6, **SIZES, heads=2, window=(3, 3), reach=2),
        FrameDecoder(6, **SIZES, heads=2, window=(3, 3), reach=2, mend_width=4),
    ),
}


def awake(network: nn.Module) -> nn.Module:
    """Every weight does something, those too that begin at zero."""
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.15)
    return network.eval().requires_grad_(False)


@pytest.mark.parametrize("size", [1, 2, 4, 8])
def test_a_packet_is_orthonormal_and_begins_with_the_mean(size: int) -> None:
    packet = haar_packet(size)
    torch.testing.assert_close(packet @ packet.T, torch.eye(size))
    torch.testing.assert_close(packet[0], torch.full((size,), size**-0.5))


@pytest.mark.parametrize("group", [1, 4])
def test_bands_come_back(group: int) -> None:
    frames = torch.rand(2, 3, 2 * group, 16, 24)
    bands = to_bands(frames, group)
    assert bands.shape == (2, 2, 192 * group, 2, 3)
    torch.testing.assert_close(from_bands(bands, group), frames)
    torch.testing.assert_close(bands.square().sum(), (frames - 0.5).square().sum())
    mean = frames[1, 0, :group, 8:, 16:].mean()
    torch.testing.assert_close(bands[1, 0, 0, 1, 2], (mean - 0.5) * (64 * group) ** 0.5)


@pytest.mark.parametrize("frames", [1, 2, 4, 5, 6, 9])
def test_groups_hold_every_frame_once_but_the_ends(frames: int) -> None:
    clip = torch.arange(frames).float().view(1, 1, -1, 1, 1)
    found = grouped(clip, 4).flatten().tolist()
    assert len(found) % 4 == 0
    assert found[:4] == [0] * 4
    assert found[4 : 3 + frames] == list(range(1, frames))
    assert set(found[3 + frames :]) <= {frames - 1}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("size", [(24, 40), (64, 32)])
def test_one_group_at_a_time_is_the_same_and_later_ones_change_nothing(name: str, size: tuple[int, int]) -> None:
    for network in NETWORKS[name]():
        awake(network)
        decodes = isinstance(network, CausalDecoder | FrameDecoder)
        step = 1 if decodes else network.group
        x = torch.rand(1, 6, 4, size[0] // 8, size[1] // 8) if decodes else torch.rand(1, 3, 4 * step, *size)
        whole, _ = network(x)
        state, parts = None, list[Tensor]()
        for part in x.split(step, 2):
            found, state = network(part, state)
            parts.append(found)
        torch.testing.assert_close(torch.cat(parts, 2), whole, atol=1e-5, rtol=1e-5)
        changed = x.clone()
        changed[:, :, -step:] += 0.5
        other, _ = network(changed)
        kept = 3 * (network.group if decodes else 1)
        assert torch.equal(other[:, :, :kept], whole[:, :, :kept])
        assert not torch.equal(other, whole)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_past_matters_and_ends(name: str) -> None:
    encoder = awake(NETWORKS[name]()[0])
    reach = 2 * SIZES["depth"]  # of both kinds here
    x = torch.rand(1, 3, (reach + 2) * encoder.group, 16, 16)  # type: ignore[operator]
    changed = x.clone()
    changed[:, :, : encoder.group] += 0.5  # type: ignore[misc]
    one, two = (encoder(frames)[0] for frames in (x, changed))
    assert not torch.equal(one[:, :, 1], two[:, :, 1])
    assert torch.equal(one[:, :, reach + 1], two[:, :, reach + 1])


@pytest.mark.parametrize("shift", [(0, 0), (3, -2), (-7, 12), (20, -25)])
def test_a_shift_is_found_and_undone(shift: tuple[int, int]) -> None:
    whole = F.avg_pool2d(torch.rand(3, 164, 180), 5, 1)  # texture that is nowhere like itself
    down, right = shift
    reference = whole[:, 32:128, 32:144]
    current = whole[:, 32 + down : 128 + down, 32 + right : 144 + right]
    motion = find_motion(current, reference, price=4.0)
    assert motion.shape == (2, *motion_grid(96, 112))
    inner = motion[:, 2:-2, 2:-2]
    assert (inner[0] == UNIT * down).float().mean() > 0.8
    assert (inner[1] == UNIT * right).float().mean() > 0.8
    predicted = predict(reference[None], motion[None])[0]
    error = (predicted - current)[:, 32:-32, 32:-32].abs().mean()
    assert error < 0.02


def test_no_motion_predicts_the_reference() -> None:
    reference = torch.rand(2, 3, 40, 56)
    torch.testing.assert_close(
        predict(reference, torch.zeros(2, 2, *motion_grid(40, 56), dtype=torch.int64)), reference
    )


def test_half_pixels_lie_between() -> None:
    ramp = torch.arange(64.0).expand(1, 3, 48, 64) / 64
    motion = torch.zeros(1, 2, *motion_grid(48, 64), dtype=torch.int64)
    motion[:, 1] = 2
    found = predict(ramp, motion)[..., 16:48]
    torch.testing.assert_close(found, ramp[..., 16:48] + 0.5 / 64, atol=1e-5, rtol=0)


def test_the_gradient_is_the_adjoint() -> None:
    reference = torch.rand(1, 3, 40, 56, requires_grad=True)
    motion = torch.randint(-UNIT * REACH, UNIT * REACH, (1, 2, *motion_grid(40, 56)))
    weights, direction = torch.randn(1, 3, 40, 56), torch.randn(1, 3, 40, 56)
    (predict(reference, motion) * weights).sum().backward()
    moved = predict(reference.detach() + direction, motion) - predict(reference.detach(), motion)
    assert reference.grad is not None
    torch.testing.assert_close((reference.grad * direction).sum(), (moved * weights).sum(), atol=1e-2, rtol=1e-3)


def test_vectors_that_lead_too_far_are_held_back() -> None:
    reference = torch.rand(1, 3, 32, 32)
    far = torch.full((1, 2, 2, 2), 10_000)
    torch.testing.assert_close(predict(reference, far), predict(reference, far.clamp(max=UNIT * REACH)))
