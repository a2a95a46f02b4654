"""Mixtures of Gaussians: known entropies, and tables against the floats that they stand for."""

import math

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from codec.coding import Decoder, Encoder
from codec.entropy import GaussianLikelihood, Likelihood, MixtureLikelihood, RoundedLatent, Rows, Step
from codec.entropy.likelihood import Spot
from codec.entropy.mixture import MixtureTables
from codec.entropy.rounding import NOISE, Priced

SCALE, APART = 1.0, 5.0  # of two modes


def two_modes(count: int, seed: int) -> Tensor:
    """`(count, 1)` samples."""
    random = torch.Generator().manual_seed(seed)
    side = torch.randint(2, (count, 1), generator=random) - 0.5
    return APART * side + SCALE * torch.randn(count, 1, generator=random)


def fitted(likelihood: Likelihood, count: int) -> Tensor:
    """Parameters `(count,)` that minimise the bits of two modes."""
    torch.manual_seed(0)
    parameters = torch.nn.Parameter(torch.zeros(count))
    optimizer = torch.optim.Adam([parameters], 0.1)
    y = two_modes(2048, seed=0)
    for _ in range(150):
        loss = likelihood(y, parameters.expand(len(y), -1), torch.zeros_like(y), NOISE).bits.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return parameters.detach()


def steps_of(likelihood: Likelihood, parameters: Tensor, count: int) -> list[Step]:
    integers = torch.round(256 * parameters).double().expand(count, -1).numpy()
    coding = likelihood.coding(Spot(3, np.arange(count), count), np.zeros((count, 1), np.int64))
    coding.take(0, count, integers)
    return list(coding.steps())


def rounded(steps: list[Step], y: NDArray[np.float64]) -> list[NDArray[np.int64]]:
    """Symbols of each step."""
    return [np.rint(y[step.where] - step.means / 256).astype(np.int64) for step in steps if step.means is not None]


def bits_a_sample(likelihood: Likelihood, parameters: Tensor, y: NDArray[np.float64]) -> float:
    steps = steps_of(likelihood, parameters, len(y))
    bits = (step.tables.bits(symbols).sum() for step, symbols in zip(steps, rounded(steps, y), strict=True))
    return float(sum(bits)) / len(y)


def true_bits(y: NDArray[np.float64], mean: float) -> float:
    """-log2 of the true share of what y is rounded to, about `mean`."""
    edges = np.rint(y - mean) + mean + np.array([[-0.5], [0.5]])
    below = 0.5 * sum(torch.special.ndtr(torch.from_numpy((edges - side) / SCALE)) for side in (-APART / 2, APART / 2))
    return float(-torch.log2(below[1] - below[0]).mean())


def test_two_modes_five_apart() -> None:
    """The mixture comes within 0.02 bit a sample of the entropy; one Gaussian misses 0.3."""
    mixture, gaussian = MixtureLikelihood(3), GaussianLikelihood()
    of_mixture = fitted(mixture, mixture.parameters_per_channel)
    of_gaussian = fitted(gaussian, gaussian.parameters_per_channel)
    y = two_modes(20_000, seed=1).double()[:, 0].numpy()
    step = steps_of(mixture, of_mixture, 1)[0]
    assert step.means is not None
    truth = true_bits(y, step.means[0] / 256)
    assert truth == pytest.approx(1 + 2.105, abs=0.1)
    assert bits_a_sample(mixture, of_mixture, y) < truth + 0.02
    assert bits_a_sample(gaussian, of_gaussian, y) > truth + 0.3


def random_parameters(count: int, channels: int, components: int, seed: int) -> Tensor:
    """`(count, 3 K channels)`: weights, means a few apart, scales from 2^-3 to 2^5."""
    random = torch.Generator().manual_seed(seed)
    logits, means = (2 * torch.randn(count, components * channels, generator=random) for _ in range(2))
    scales = 8 * torch.rand(count, components * channels, generator=random) - 3
    return torch.round(256 * torch.cat([logits, 3 * means, scales], 1)) / 256


@pytest.mark.parametrize("components", [2, 3, 5])
def test_tables_are_those_of_the_floats(components: int) -> None:
    likelihood, count, channels = MixtureLikelihood(components), 500, 2
    parameters = random_parameters(count, channels, components, seed=components)
    amplitude = torch.round(256 * torch.randn(count, channels, generator=torch.Generator().manual_seed(1))) / 256
    y = 5 * torch.randn(count, channels, generator=torch.Generator().manual_seed(2))
    found = likelihood(y, parameters, amplitude, Priced())
    spot = Spot(2, np.arange(count), count)
    integers, log2 = ((256 * part).long().numpy() for part in (parameters, amplitude))
    coding = likelihood.coding(spot, log2)
    coding.take(0, count, integers.astype(np.float64))
    (step,) = coding.steps()
    assert step.means is not None
    assert np.array_equal(step.where, spot.places(channels).ravel())
    residual = y.numpy().ravel() - step.means / 256
    symbols, clear = np.rint(residual).astype(np.int64), np.abs(residual % 1 - 0.5) > 0.02
    assert np.abs(found.values.numpy().ravel() - symbols - step.means / 256)[clear].max() < 0.02
    bits, expected = step.tables.bits(symbols), found.bits.numpy().ravel()
    likely = clear & (expected < 10)  # farther out the tables' floor and escape count
    assert bits[likely].mean() == pytest.approx(expected[likely].mean(), rel=0.005)


def test_everything_can_be_coded() -> None:
    """Far outliers escape, masses of means that are far apart stay tables, and wide ones are cut into portions."""
    likelihood, count = MixtureLikelihood(3), 3000
    parameters = random_parameters(count, 1, 3, seed=9) * torch.tensor([1.0, 1, 1, 500, 500, 500, 3, 3, 3])
    steps = steps_of(likelihood, parameters[:1], count) + steps_of(likelihood, parameters, count)
    random, encoder = np.random.default_rng(0), Encoder()
    symbols = [np.rint(10.0 ** random.uniform(0, 6, len(step.where))).astype(np.int64) for step in steps]
    assert len(steps) > 2
    for step, values in zip(steps, symbols, strict=True):
        assert isinstance(step.tables, Rows)
        encoder.push_rows(values, step.tables.index, step.tables.tables)
    decoder = Decoder(encoder.finish())
    for step, values in zip(steps, symbols, strict=True):
        assert isinstance(step.tables, Rows)
        assert np.array_equal(decoder.pull_rows(step.tables.index, step.tables.tables), values)
    decoder.finish()


def test_a_light_component_does_not_widen_the_table() -> None:
    logits, scales = np.array([[0, -256 * 9], [0, 0]]), np.zeros((2, 2), np.int64)
    tables = MixtureTables(logits, np.array([[0, 256 * 100]] * 2), scales)
    assert tables.sizes.tolist() == [12, 112]


def test_a_price_moves_values_to_where_they_are_cheaper() -> None:
    likelihood = MixtureLikelihood(2)
    parameters = torch.tensor([[5.0, -5.0, 0.0, 0.0, 0.0, 0.0]])  # one component matters, narrow at 0
    y, amplitude = torch.tensor([[0.6], [-0.6], [3.6]]), torch.zeros(3, 1)
    plain, priced = (likelihood(y, parameters.expand(3, -1), amplitude, Priced(price)) for price in (0.0, 0.1))
    assert plain.values[:, 0].tolist() == [1.0, -1.0, 4.0]
    assert priced.values[:, 0].tolist() == [0.0, 0.0, 3.0]
    assert (priced.bits < plain.bits).all()


def test_training_has_gradients_for_every_parameter_and_for_y() -> None:
    likelihood = MixtureLikelihood(3)
    parameters, y = torch.zeros(16, 18, requires_grad=True), (3 * torch.randn(16, 2)).requires_grad_()
    found = likelihood(y, parameters, torch.zeros(16, 2), NOISE)
    (found.bits.sum() + found.values.sum()).backward()
    assert parameters.grad is not None
    assert (parameters.grad != 0).any(0).all()
    assert y.grad is not None
    assert math.isfinite(float(y.grad.sum()))


def test_one_component_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        MixtureLikelihood(1)


def test_an_encoder_with_a_price_may_still_round() -> None:
    likelihood, y = MixtureLikelihood(3), two_modes(50, seed=4).double()[:, 0].numpy()
    parameters = random_parameters(1, 1, 3, seed=3)
    (step,) = steps_of(likelihood, parameters, 50)
    plain, priced = (RoundedLatent([y] * 4, price).symbols(step) for price in (0.0, 0.2))
    assert np.array_equal(plain, priced)
