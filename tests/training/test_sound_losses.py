"""Distortions of sound against closed forms, in silence too; the balancer against the paper's formula."""

import math

import pytest
import torch
from torch import Tensor, nn

from codec.evaluation import MelDistance
from codec.training import (
    Adversarial,
    BalancedSum,
    Distortions,
    MelLoss,
    MultiPeriod,
    SoundDiscriminator,
    SpectralLoss,
    WaveformLoss,
    WeightedSum,
)

RATE_HZ = 16_000


def noise(length: int = 6000, batch: int = 2, seed: int = 0) -> Tensor:
    """`(batch, 1, length)`."""
    return 0.1 * torch.randn(batch, 1, length, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def distortions() -> Distortions:
    return Distortions(
        {"waveform": WaveformLoss(squared=True), "spectrum": SpectralLoss(), "mel": MelLoss(RATE_HZ)},
    )


def test_terms_have_names_and_are_zero_for_equal_sounds(distortions: Distortions) -> None:
    terms = distortions(noise(), noise())
    names = {"waveform_l1", "waveform_l2", "spectral_convergence", "log_magnitude", "mel"}
    assert terms.keys() == names
    assert all(float(value) < 1e-6 for value in terms.values())
    WeightedSum(dict.fromkeys(names, 1.0))(terms)


def test_known_values(distortions: Distortions) -> None:
    """Half the volume: errors of half the size, and a magnitude that is half everywhere."""
    terms = distortions(noise(), 0.5 * noise())
    assert float(terms["waveform_l1"]) == pytest.approx(float(noise().abs().mean()) / 2, rel=1e-5)
    assert float(terms["waveform_l2"]) == pytest.approx(float(noise().square().mean()) / 4, rel=1e-5)
    assert float(terms["spectral_convergence"]) == pytest.approx(0.5, rel=1e-4)
    assert float(terms["log_magnitude"]) == pytest.approx(math.log(2), rel=1e-4)
    expected = MelDistance(RATE_HZ)(noise()[:, 0], 0.5 * noise()[:, 0]).mean()
    torch.testing.assert_close(terms["mel"], expected)


def test_windows_in_turn_have_the_same_mean_and_go_on_after_resuming() -> None:
    loss, whole = MelLoss(RATE_HZ, windows_at_once=3), MelLoss(RATE_HZ)
    pair = noise(), noise(seed=1)
    first = [loss(*pair)["mel"] for _ in range(3)]
    resumed = MelLoss(RATE_HZ, windows_at_once=3)
    resumed.load_state_dict(loss.state_dict())
    terms = first + [resumed(*pair)["mel"] for _ in range(4)]
    assert len({float(term) for term in terms}) == 7
    torch.testing.assert_close(torch.stack(terms).mean(), whole(*pair)["mel"])
    torch.testing.assert_close(loss.eval()(*pair)["mel"], whole(*pair)["mel"])
    assert not whole.state_dict()
    with pytest.raises(ValueError, match="1 to 7 windows"):
        MelLoss(RATE_HZ, windows_at_once=8)


@pytest.mark.parametrize("reference", [torch.zeros(2, 1, 6000), noise()], ids=["silence", "noise"])
@pytest.mark.parametrize("level", [0.0, 1e-9, 0.1])
def test_values_and_gradients_are_finite(distortions: Distortions, reference: Tensor, level: float) -> None:
    decoded = (level * noise(seed=1)).requires_grad_()
    terms = distortions(reference, decoded)
    sum(terms.values(), torch.zeros(())).backward()
    assert all(value.isfinite() for value in terms.values())
    assert max(value.item() for value in terms.values()) < 1000
    assert decoded.grad is not None
    assert decoded.grad.isfinite().all()


def test_low_precision_does_not_reach_the_spectra(distortions: Distortions) -> None:
    plain = distortions(noise(), noise(seed=1))
    with torch.autocast("cpu", torch.bfloat16):
        lower = distortions(noise(), noise(seed=1))
    assert all(torch.equal(value, lower[name]) for name, value in plain.items())


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="the absolute error, the squared one, or both"):
        WaveformLoss(absolute=False)
    with pytest.raises(ValueError, match="multiples of 4"):
        SpectralLoss([30])


def directions() -> tuple[Tensor, Tensor]:
    """Two gradients of unit norm for each of three examples `(3, 8)`."""
    made = torch.randn(2, 3, 8)
    one, two = made / made.norm(dim=2, keepdim=True)
    return one, two


def test_shares_are_of_the_gradient_whatever_the_scale() -> None:
    one, two = directions()
    weight = nn.Parameter(torch.zeros(()))
    balanced = BalancedSum({"one": 3.0, "two": 1.0}, {"other": 2.0}, strength=0.5)
    for scale in (1e-4, 1e-4, 1e-4):
        decoded = torch.randn(3, 8, requires_grad=True)
        terms = {"one": scale * (one * decoded).sum(), "two": 1e4 * (two * decoded).sum(), "other": 5 * weight}
        loss = balanced(terms, decoded)
        loss.backward()
        torch.testing.assert_close(decoded.grad, 0.5 * (0.75 * one + 0.25 * two))
        torch.testing.assert_close(loss, 3 * terms["one"] + terms["two"] + 2 * terms["other"])
    assert weight.grad == 30


def test_norms_are_running_means() -> None:
    """After steps of norm 1 and 3 the mean is theirs, decayed once."""
    one, _ = directions()
    balanced = BalancedSum({"one": 1.0}, {}, decay=0.5)
    for scale in (1.0, 3.0):
        decoded = torch.randn(3, 8, requires_grad=True)
        balanced({"one": scale * (one * decoded).sum()}, decoded).backward()
    mean = (0.5 * 1 + 3) / (0.5 + 1)
    torch.testing.assert_close(decoded.grad, 3 / mean * one)
    kept = {name: value.clone() for name, value in balanced.state_dict().items()}
    assert kept.keys() == {"totals", "counts"}
    balanced.eval()
    balanced({"one": 9 * (one * decoded).sum()}, decoded)
    assert all(torch.equal(value, kept[name]) for name, value in balanced.state_dict().items())


def test_a_term_that_is_silent_at_first_does_not_explode() -> None:
    one, two = directions()
    balanced = BalancedSum({"one": 1.0, "two": 1.0}, {})
    for heard in (0.0, 0.0, 1.0):
        decoded = torch.randn(3, 8, requires_grad=True)
        terms = {"one": (one * decoded).sum(), "two": heard * 100 * (two * decoded).sum()}
        balanced(terms, decoded).backward()
        torch.testing.assert_close(decoded.grad, 0.5 * one + heard * 0.5 * two)
    broken = {"one": (one * decoded).sum() * torch.nan, "two": (two * decoded).sum()}
    assert balanced(broken, decoded).isnan()
    assert all(value.isfinite().all() for value in balanced.state_dict().values())


def test_gradient_reaches_what_made_the_sound() -> None:
    """Balanced terms of one graph, as of a discriminator, and the way back through a decoder."""
    decoder = nn.Linear(4, 8)
    decoded = decoder(torch.randn(3, 4))
    shared = decoded.square().sum()
    BalancedSum({"one": 1.0, "two": 1.0}, {})({"one": shared.sqrt(), "two": shared.exp()}, decoded).backward()
    assert decoder.weight.grad is not None
    assert decoder.weight.grad.abs().sum() > 0


def test_a_decoder_learns_from_all_parts_at_once() -> None:
    """Waveform, mel distance and a discriminator, balanced, with the discriminator's own loss beside them."""
    parts: dict[str, nn.Module] = {"waveform": WaveformLoss(), "mel": MelLoss(RATE_HZ)}
    judge = SoundDiscriminator({"period": MultiPeriod([2, 3], [4, 8])})
    adversary = Adversarial(judge, starts_at_step=5, side=2048, matching=True)
    distortions, decoder = Distortions(parts | {"adversary": adversary}), nn.Conv1d(1, 1, 31, padding=15)
    shares = {"waveform_l1": 0.1, "mel": 2.0, "adversarial": 0.5, "feature_matching": 0.5}
    loss = BalancedSum(shares, {"discriminator": 1.0})
    optimizer = torch.optim.AdamW([{"params": decoder.parameters(), "lr": 0.03}, adversary.parameter_group()])
    distances = []
    for step in range(25):
        waveform = noise(2048, seed=step)
        decoded = decoder(waveform)
        terms = distortions(waveform, decoded)
        optimizer.zero_grad()
        loss(terms, decoded).backward()
        optimizer.step()
        distances.append(terms["mel"].item())
    assert distances[-1] < 0.5 * distances[0]


def test_balancer_refuses_what_it_cannot_balance() -> None:
    decoded = torch.randn(3, 8, requires_grad=True)
    balanced = BalancedSum({"one": 1.0}, {"two": 1.0})
    with pytest.raises(ValueError, match=r"without a weight \['three'\]"):
        balanced({"one": decoded.sum(), "two": torch.ones(()), "three": torch.ones(())}, decoded)
    for constant in (torch.ones(()), torch.ones((), requires_grad=True)):
        with pytest.raises(ValueError, match="'one' does not depend on the decoded samples"):
            balanced({"one": constant, "two": torch.ones(())}, decoded)
    with pytest.raises(ValueError, match="two weights"):
        BalancedSum({"one": 1.0}, {"one": 1.0})
    with pytest.raises(ValueError, match="shares"):
        BalancedSum({"one": 0.0}, {})
