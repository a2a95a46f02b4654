"""Search along several paths: no worse than along one, the same for any company, and refused where it cannot be."""

import pytest
import torch
from torch import Tensor

from codec.quantizers import Cosine, EMACodebook, Product, Residual, VectorQuantizer

DIM = 6


def started(paths: int, z: Tensor) -> Residual:
    torch.manual_seed(0)
    stages = [VectorQuantizer(EMACodebook(16, DIM, kmeans_iterations=10)) for _ in range(4)]
    quantizer = Residual(stages, paths=paths)
    quantizer.start(z)
    return quantizer.eval()


@pytest.fixture
def z() -> Tensor:
    return torch.randn(3000, DIM, generator=torch.Generator().manual_seed(1))


def test_more_paths_find_better_sums(z: Tensor) -> None:
    errors = [(q.decode(q.encode(z)) - z).square().mean() for q in (started(paths, z) for paths in (1, 2, 4, 16))]
    assert errors == sorted(errors, reverse=True)
    assert errors[2] < 0.9 * errors[0]


def test_all_paths_find_the_best_sum(z: Tensor) -> None:
    """Two stages of 16, 16 paths: nothing is left out."""
    quantizer = started(16, z)
    two = Residual(list(quantizer._ordered[:2]), paths=16).eval()
    first, second = (stage.codebook.vectors() for stage in quantizer._ordered[:2])
    sums = (first[:, None] + second).flatten(0, 1)
    best = torch.cdist(z[:200], sums).argmin(1)
    codes = two.encode(z[:200])
    assert torch.equal(16 * codes[:, 0] + codes[:, 1], best)


def test_codes_do_not_depend_on_company_and_are_those_of_forward(z: Tensor) -> None:
    quantizer = started(4, z)
    codes = quantizer.encode(z[:100])
    assert torch.equal(codes, torch.cat([quantizer.encode(part) for part in z[:100].split(7)]))
    out = quantizer(z[:100])
    assert torch.equal(out.codes, codes)
    assert torch.equal(out.vectors, quantizer.decode(codes))
    assert set(out.losses) == {"commitment"}
    assert quantizer.encode(z[:0]).shape == (0, 4)


def test_training_follows_one_path(z: Tensor) -> None:
    one, four = (started(paths, z).train() for paths in (1, 4))
    assert torch.equal(one(z).codes, four(z).codes)


def test_stages_whose_costs_are_not_of_their_sum_are_refused() -> None:
    parts = Product([VectorQuantizer(EMACodebook(4, 3)) for _ in range(2)])
    with pytest.raises(ValueError, match="one table each"):
        Residual([parts], paths=2)
    with pytest.raises(ValueError, match="at least as many codes"):
        Residual([VectorQuantizer(EMACodebook(4, 3))], paths=5)
    with pytest.raises(ValueError, match="nearest by distance"):
        Residual([VectorQuantizer(EMACodebook(4, 3), Cosine())], paths=2)
    with pytest.raises(ValueError, match="0 paths"):
        Residual([VectorQuantizer(EMACodebook(4, 3))], paths=0)
