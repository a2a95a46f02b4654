"""Every grid quantizer config obeys the same laws; the folder is the list."""

import copy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor

from codec.entropy import Layout, StaticTokenPrior, decode_chunk, encode_chunk

CONFIGS = sorted(Path("configs/model/grid_quantizer").glob("*.yaml"))


def features(quantizer: Any, batch: int, cells: tuple[int, ...] = (4, 4), scale: float = 1.0) -> list[Tensor]:
    """Random features on a grid of so many cells of the coarsest feature."""
    largest = max(quantizer.strides)
    grid = [cells[axis] * largest for axis in range(quantizer.axes)]
    sized = zip(quantizer.dims, quantizer.strides, strict=True)
    return [scale * torch.randn(batch, *(side // stride for side in grid), dim) for dim, stride in sized]


def grid_of(given: list[Tensor]) -> tuple[int, ...]:
    return tuple(given[0].shape[1:-1])


def same(one: Any, two: Any) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


@cache
def started(path: Path) -> Any:
    """Instantiate a config alone, started on data as in training."""
    torch.manual_seed(0)
    quantizer = instantiate(OmegaConf.load(path))
    quantizer.start(features(quantizer, 16))
    return quantizer.eval()


@pytest.fixture(params=CONFIGS, ids=lambda path: path.stem)
def quantizer(request: pytest.FixtureRequest) -> Any:
    """A fresh copy, so that no test sees another's training."""
    return copy.deepcopy(started(request.param))


@pytest.mark.parametrize(("batch", "cells"), [(2, (4, 4)), (1, (3, 5)), (3, (1, 1))])
def test_forward_agrees_with_encode_then_decode(quantizer: Any, batch: int, cells: tuple[int, int]) -> None:
    given = features(quantizer, batch, cells)
    with torch.no_grad():
        out = quantizer(given)
    planes = quantizer.encode(given)
    assert same(out.planes, planes)
    assert [tuple(plane.shape) for plane in planes] == [(batch, *grid) for grid in quantizer.layout(grid_of(given))]
    for vectors, decoded in zip(out.vectors, quantizer.decode(planes), strict=True):
        torch.testing.assert_close(vectors, decoded)


def test_planes_are_in_range_even_far_outside(quantizer: Any) -> None:
    for scale in (0.0, 1.0, 1e4):
        planes = quantizer.encode(features(quantizer, 1, scale=scale))
        for plane, size in zip(planes, quantizer.codebook_sizes, strict=True):
            assert plane.dtype == torch.int64
            assert plane.min() >= 0
            assert plane.max() < size


def test_planes_do_not_depend_on_the_batch(quantizer: Any) -> None:
    given = features(quantizer, 5)
    planes = quantizer.encode(given)
    for count in (1, 3):
        assert same(quantizer.encode([feature[:count] for feature in given]), [plane[:count] for plane in planes])
    order = torch.randperm(5)
    assert same(quantizer.encode([feature[order] for feature in given]), [plane[order] for plane in planes])


def test_planes_do_not_depend_on_the_thread_count(quantizer: Any) -> None:
    given, threads = features(quantizer, 3), torch.get_num_threads()
    planes = quantizer.encode(given)
    try:
        torch.set_num_threads(1 if threads > 1 else 2)
        assert same(quantizer.encode(given), planes)
    finally:
        torch.set_num_threads(threads)


def test_eval_and_encode_change_nothing(quantizer: Any) -> None:
    before = {name: value.clone() for name, value in quantizer.state_dict().items()}
    quantizer(features(quantizer, 3))
    quantizer.train().encode(features(quantizer, 3))
    assert all(torch.equal(value, before[name]) for name, value in quantizer.state_dict().items())


def test_gradient_reaches_encoder_and_parameters_and_is_finite_in_half_precision(quantizer: Any) -> None:
    given = [feature.requires_grad_() for feature in features(quantizer.train(), 4)]
    for _ in range(4):  # whatever a dropout leaves out, comes in one of them
        with torch.autocast("cpu", torch.bfloat16):
            out = quantizer([feature * 1.0 for feature in given])
            sum([*(grid.square().mean() for grid in out.vectors), *out.losses.values()]).backward()
    for feature, dim in zip(given, quantizer.dims, strict=True):
        assert dim == 1 or (feature.grad is not None and feature.grad.abs().sum() > 0)
        assert feature.grad is None or torch.isfinite(feature.grad).all()
    for name, parameter in quantizer.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_state_dict_round_trip_gives_the_same_planes(quantizer: Any) -> None:
    given = features(quantizer, 2)
    planes = quantizer.encode(given)
    other = copy.deepcopy(quantizer)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    other.load_state_dict(quantizer.state_dict())
    assert same(other.encode(given), planes)


def test_training_continues_exactly_from_a_state_dict(quantizer: Any) -> None:
    batches = [features(quantizer, 2) for _ in range(6)]
    other = copy.deepcopy(quantizer.train()).train()
    for batch in batches[:3]:
        quantizer(batch)
    other.load_state_dict(quantizer.state_dict())
    for batch in batches[3:]:
        assert same(quantizer(batch).planes, other(batch).planes)
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in quantizer.state_dict().items())


def test_training_lowers_the_error(quantizer: Any) -> None:
    """A few steps on one batch: what the decoder gets must not move away from the finest feature."""
    given = features(quantizer.train(), 4)
    target = given[-len([dim for dim in quantizer.dims if dim > 1])]
    optimizer = torch.optim.Adam(list(quantizer.parameters()) or [torch.zeros(1, requires_grad=True)], 1e-3)
    errors = []
    for _ in range(12):
        out = quantizer(given)
        loss = (out.vectors[0] - target).square().mean() + sum(out.losses.values())
        optimizer.zero_grad()
        if loss.requires_grad:
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            errors.append(float((quantizer.eval()(given).vectors[0] - target).square().mean()))
        quantizer.train()
    assert sum(errors[-3:]) <= 1.02 * sum(errors[:3])


def test_planes_pass_through_an_entropy_model(quantizer: Any) -> None:
    given = features(quantizer, 1)
    planes = [plane[0] for plane in quantizer.encode(given)]
    prior, layout = StaticTokenPrior(quantizer.codebook_sizes), Layout(quantizer.layout(grid_of(given)))
    assert same(decode_chunk(prior, layout, encode_chunk(prior, planes)), planes)


def test_features_that_do_not_fit_are_refused(quantizer: Any) -> None:
    given = features(quantizer, 1)
    with pytest.raises(ValueError, match="expected"):
        quantizer.encode([feature[..., None] for feature in given])
    with pytest.raises(ValueError, match="expected"):
        quantizer.encode([*given, given[0]])
    if max(quantizer.strides) > 1:
        with pytest.raises(ValueError, match="multiples of"):
            quantizer.layout((max(quantizer.strides) + 1,) * quantizer.axes)
