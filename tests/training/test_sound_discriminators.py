"""Discriminators of sound: shapes, bands, what a logit sees, that they learn, and what the decoder learns from them."""

import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from codec.training import Adversarial, Judgement, MultiBandSTFT, MultiPeriod, MultiScale, SoundDiscriminator
from codec.training.discriminators import feature_matching
from codec.training.windows import same_window

SMALL: dict[str, Callable[[], nn.Module]] = {
    "period": lambda: MultiPeriod([2, 5], [4, 8, 8]),
    "scale": lambda: MultiScale([1, 2], [4, 8]),
    "stft": lambda: MultiBandSTFT([256, 512], width=4),
}


def noise(batch: int = 4, length: int = 4001) -> Tensor:
    return 0.1 * torch.randn(batch, 1, length)


def clipped(batch: int = 4, length: int = 4001) -> Tensor:
    """Noise of which only the signs are left."""
    return 0.1 * noise(batch, length).sign()


def adversary(name: str, **more: int) -> Adversarial:
    discriminator = SoundDiscriminator({name: SMALL[name]()})
    return Adversarial(discriminator, **{"starts_at_step": 0, "side": 4096} | more, learning_rate=5e-3, matching=True)


@pytest.mark.parametrize(
    ("network", "judgements"), [(MultiPeriod(), 5), (MultiScale(), 3), (MultiBandSTFT(), 3)], ids=list(SMALL)
)
def test_usual_networks_judge_each_sound_by_itself(network: nn.Module, judgements: int) -> None:
    discriminator = SoundDiscriminator({"part": network}).eval()
    waveform = noise(3, 4096 + 5)
    with torch.inference_mode():
        together = discriminator(waveform)
        alone = discriminator(waveform[1:2])
    assert len(together) == judgements
    for one, all_three in zip(alone, together, strict=True):
        assert len(one.features) >= 4
        for a, b in zip((one.logits, *one.features), (all_three.logits, *all_three.features), strict=True):
            torch.testing.assert_close(a, b.chunk(3)[1], rtol=1e-3, atol=1e-4)
    assert sum(weight.numel() for weight in network.parameters()) < 1_000_000


@pytest.mark.parametrize("name", SMALL)
def test_it_learns_to_tell_clipped_sounds(name: str) -> None:
    judged = adversary(name, starts_at_step=2)
    optimizer = torch.optim.AdamW([judged.parameter_group()])
    losses = []
    for step in range(30):
        decoded = clipped().requires_grad_()
        terms = judged(noise(), decoded)
        assert terms.keys() == {"adversarial", "discriminator", "feature_matching"}
        assert (terms["adversarial"] == 0) == (terms["feature_matching"] == 0) == (step < 2)
        optimizer.zero_grad()
        terms["discriminator"].backward()
        optimizer.step()
        losses.append(terms["discriminator"].item())
    assert losses[0] > 0.8
    assert losses[-1] < 0.5


@pytest.mark.parametrize("name", SMALL)
def test_each_gradient_touches_its_own_weights(name: str) -> None:
    judged, decoded = adversary(name), noise().requires_grad_()
    terms = judged(noise(), decoded)
    (terms["adversarial"] + terms["feature_matching"]).backward()
    assert decoded.grad is not None
    assert decoded.grad.abs().sum() > 0
    assert all(weight.grad is None for weight in judged.parameters())
    decoded.grad = None
    terms["discriminator"].backward()
    assert decoded.grad is None
    assert all(weight.grad is not None for weight in judged.parameters())


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("level", [0.0, 1e-12])
def test_silence_has_finite_gradients(name: str, level: float) -> None:
    decoded = (level * noise()).requires_grad_()
    sum(adversary(name)(torch.zeros(4, 1, 4001), decoded).values(), torch.zeros(())).backward()
    assert decoded.grad is not None
    assert decoded.grad.isfinite().all()


@pytest.mark.parametrize("name", SMALL)
def test_low_precision_is_finite(name: str) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        terms = adversary(name)(noise(), clipped())
    assert all(value.isfinite() and value.dtype == torch.float32 for value in terms.values())


def test_weights_come_back_from_a_checkpoint(tmp_path: Path) -> None:
    """With the count of steps, so that fine-tuning goes on where training was."""
    first, second = adversary("stft", starts_at_step=1), adversary("stft", starts_at_step=1)
    real, decoded = noise(), clipped()
    first(real, decoded)
    torch.save(first.state_dict(), tmp_path / "state")
    second.load_state_dict(torch.load(tmp_path / "state", weights_only=True))
    one, two = first(real, decoded), second(real, decoded)
    assert all(torch.equal(value, two[name]) for name, value in one.items())
    assert one["adversarial"] != 0


def test_loudness_and_offset_do_not_tell() -> None:
    discriminator, waveform = SoundDiscriminator({"scale": MultiScale()}).eval(), noise()
    for one, two in zip(discriminator(waveform), discriminator(0.2 * waveform + 0.3), strict=True):
        torch.testing.assert_close(one.logits, two.logits, rtol=1e-3, atol=1e-4)
    quiet, silent = (discriminator(level * waveform)[0].logits for level in (1e-6, 0.0))
    torch.testing.assert_close(quiet, silent, rtol=0, atol=1e-3)


def test_a_phase_sees_every_pth_sample() -> None:
    """Of the phases of one sound only the third one moves with sample 3 mod 5."""
    network, waveform = MultiPeriod([5], [4, 4]).eval(), noise(1, 2000).requires_grad_()
    (judgement,) = network(waveform)
    assert judgement.logits.shape[0] == 5
    (gradient,) = torch.autograd.grad(judgement.logits[3].sum(), waveform)
    places = gradient[0, 0].nonzero().flatten()
    assert set((places % 5).tolist()) == {3}
    whole, waveform = MultiPeriod([2]), noise(1, 9000).requires_grad_()
    (judgement,) = whole(waveform)
    (gradient,) = torch.autograd.grad(judgement.logits[0, 0, judgement.logits.shape[-1] // 2], waveform)
    places = gradient[0, 0].nonzero().flatten()
    assert int(places[-1] - places[0]) == 2 * (647 - 1)


def test_bands_cover_all_frequencies_once() -> None:
    network = MultiBandSTFT([512]).networks[0]
    borders = network.borders
    assert (borders[0][0], borders[-1][1]) == (0, 257)  # type: ignore[index]
    assert all(one[1] == two[0] for one, two in pairwise(borders))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="too few frequencies"):
        MultiBandSTFT([64])


def test_feature_matching_of_equal_and_unlike_features() -> None:
    one, two = (
        Judgement(torch.zeros(2, 1), (torch.randn(2, 3, 50, generator=torch.Generator().manual_seed(i)),))
        for i in (0, 1)
    )
    assert feature_matching([one], [one]) == 0
    assert float(feature_matching([one], [two])) == pytest.approx(math.sqrt(2), rel=0.2)
    silent = Judgement(torch.zeros(2, 1), (torch.zeros(2, 3),))
    assert feature_matching([silent], [silent]) == 0


def test_the_window_of_a_sound_moves() -> None:
    waveform = torch.randn(2, 1, 400)
    one, two = same_window(waveform, -waveform, 64)
    assert one.shape == (2, 1, 64)
    assert torch.equal(one, -two)
    assert torch.equal(one, same_window(waveform, waveform, 64)[0])
    assert len({float(same_window(w := torch.randn(1, 1, 400), w, 64)[0][0, 0, 0]) for _ in range(5)}) == 5
