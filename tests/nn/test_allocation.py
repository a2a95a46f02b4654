"""Bit allocation: exact against brute force, the additive model, budgets that cannot be met."""

import itertools

import numpy as np
import pytest
import torch

from codec.nn import PatchDecoder, WidthOption, allocate
from codec.nn.sensitivity import KEPT, Example, chosen_bits, damage_of_db, db_of_damage, measure_options


def random_layers(count: int, seed: int) -> list[list[WidthOption]]:
    """Damage that falls about four times with each bit, not always evenly."""
    random = np.random.default_rng(seed)
    layers = []
    for _ in range(count):
        weights = int(random.integers(10, 1000))
        damages = 4.0 ** -np.array([2, 3, 4, 5, 6, 8]) * random.uniform(0.2, 5, 6) * random.uniform(0.1, 10)
        layers.append(
            [
                WidthOption(bits, weights * bits, float(damage))
                for bits, damage in zip((2, 3, 4, 5, 6, 8), damages, strict=True)
            ]
        )
    return layers


def brute_force(layers: list[list[WidthOption]], budget: float) -> int:
    combinations = itertools.product(*layers)
    return min(sum(o.size for o in chosen) for chosen in combinations if sum(o.damage for o in chosen) <= budget)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("budget", [0.02, 0.1, 0.5, 100.0])
def test_equals_brute_force(seed: int, budget: float) -> None:
    layers = random_layers(5, seed)
    chosen = allocate(layers, budget)
    assert sum(option.damage for option in chosen) <= budget
    assert sum(option.size for option in chosen) == brute_force(layers, budget)
    assert all(option in layer for option, layer in zip(chosen, layers, strict=True))


def test_sixty_layers_of_all_sizes_take_no_solver() -> None:
    layers = random_layers(60, 0)
    chosen = allocate(layers, 0.5)
    assert sum(option.damage for option in chosen) <= 0.5
    assert len({option.bits for option in chosen}) > 1


def test_a_budget_that_only_the_best_options_meet() -> None:
    layers = random_layers(4, 1)
    best = [min(layer, key=lambda option: option.damage) for layer in layers]
    assert allocate(layers, sum(option.damage for option in best) * (1 + 1e-9)) == best
    with pytest.raises(ValueError, match="least possible damage"):
        allocate(layers, 1e-9)
    with pytest.raises(ValueError, match="at least one option"):
        allocate([[]], 1.0)


def test_decibels_and_damage() -> None:
    assert damage_of_db(0.05) == pytest.approx(0.01158, abs=1e-5)
    assert db_of_damage(damage_of_db(0.3)) == pytest.approx(0.3)


def test_measured_options_leave_the_transform_alone_and_fall_with_width() -> None:
    transform = PatchDecoder(4, width=8, depth=1, mend_width=4).eval()
    with torch.no_grad():
        for parameter in transform.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    before = {name: tensor.clone() for name, tensor in transform.state_dict().items()}
    examples = [Example((torch.randn(1, 4, 4, 4),), error) for error in (0.01, 0.02)]
    options = measure_options(transform, examples, (2, 4, 8))
    assert all(torch.equal(before[name], tensor) for name, tensor in transform.state_dict().items())
    for layer in options.values():
        kept, *rounded = layer
        assert (kept.bits, kept.damage) == (KEPT, 0.0)
        assert [option.size for option in rounded] == sorted(option.size for option in rounded)
        assert rounded[0].damage > 10 * rounded[-1].damage > 0
    chosen = dict(zip(options, allocate(list(options.values()), 0.0), strict=True))
    assert chosen_bits(chosen) == {}
