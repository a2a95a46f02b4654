"""Distances of sets against closed forms."""

import pytest
import torch

from codec.evaluation import likeness
from codec.evaluation.distributions import covered, frechet_distance, kernel_distance


def normal(count: int, dim: int = 4, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_set_is_like_itself() -> None:
    x = normal(200)
    found = likeness(x, x)
    assert abs(found.frechet) < 1e-9
    assert (found.precision, found.recall) == (1.0, 1.0)


def test_shifted_and_stretched_gaussians() -> None:
    x = normal(200)
    assert frechet_distance(x, x + 3) == pytest.approx(4 * 9)
    stretched = (x - x.mean(0)) * 2 + x.mean(0)
    assert frechet_distance(x, stretched) == pytest.approx(float(x.T.cov().trace()))
    assert frechet_distance(x, stretched) == pytest.approx(frechet_distance(stretched, x))


def test_the_kernel_distance_has_no_bias() -> None:
    found = [kernel_distance(normal(60, seed=2 * i), normal(60, seed=2 * i + 1)) for i in range(40)]
    assert abs(sum(found) / len(found)) < 0.05
    assert kernel_distance(normal(60), normal(60, seed=1) + 1) > 1


def test_what_collapses_has_precision_but_no_recall() -> None:
    real = normal(300)
    made = 0.05 * normal(300, seed=1)
    found = likeness(real, made)
    assert found.precision > 0.95
    assert found.recall < 0.2
    spread = 3 * normal(300, seed=1)
    assert covered(of=spread, by=real, neighbours=3) < 0.6


def test_features_that_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="more than 3 each"):
        likeness(normal(3), normal(10))
    with pytest.raises(ValueError, match="expected features"):
        likeness(normal(10, 4), normal(10, 5))
