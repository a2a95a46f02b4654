"""Every quantizer config obeys the same laws; the folder is the list."""

import copy
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from codec.quantizers import Projected, Residual, StraightThrough, VectorQuantizer, nearest, prefixes_of

CONFIGS = sorted(Path("configs/model/quantizer").glob("*.yaml"))


@cache
def started(path: Path) -> Any:
    """Instantiate a config alone, started on data as in training."""
    torch.manual_seed(0)
    quantizer = instantiate(OmegaConf.load(path))
    quantizer.start(torch.randn(2048, quantizer.dim))
    return quantizer.eval()


def build(path: Path) -> Any:
    """A fresh copy, so that no test sees another's training."""
    return copy.deepcopy(started(path))


@pytest.fixture(params=CONFIGS, ids=lambda path: path.stem)
def quantizer(request: pytest.FixtureRequest) -> Any:
    return build(request.param)


@pytest.mark.parametrize("leading", [(2, 7), (2, 4, 5), (1, 2, 3, 4), (2, 0), (0,)])
def test_forward_agrees_with_encode_then_decode(quantizer: Any, leading: tuple[int, ...]) -> None:
    z = torch.randn(*leading, quantizer.dim)
    with torch.no_grad():
        out = quantizer(z)
        assert out.codes.shape == (*leading, len(quantizer.codebook_sizes))
        assert torch.equal(out.codes, quantizer.encode(z))
        torch.testing.assert_close(out.vectors, quantizer.decode(out.codes))


def test_codes_are_in_range_even_far_outside(quantizer: Any) -> None:
    for scale in (0.0, 1.0, 1e4):
        codes = quantizer.encode(scale * torch.randn(300, quantizer.dim))
        assert codes.dtype == torch.int64
        for q, size in enumerate(quantizer.codebook_sizes):
            assert codes[..., q].min() >= 0
            assert codes[..., q].max() < size


def test_codes_do_not_depend_on_the_batch(quantizer: Any) -> None:
    z = torch.randn(700, quantizer.dim)
    codes = quantizer.encode(z)
    for count in (1, 3, 255, 256, 257):
        assert torch.equal(quantizer.encode(z[:count]), codes[:count])
    order = torch.randperm(len(z))
    assert torch.equal(quantizer.encode(z[order]), codes[order])


def test_codes_do_not_depend_on_the_thread_count(quantizer: Any) -> None:
    z, threads = torch.randn(700, quantizer.dim), torch.get_num_threads()
    codes = quantizer.encode(z)
    try:
        torch.set_num_threads(1 if threads > 1 else 2)
        assert torch.equal(quantizer.encode(z), codes)
    finally:
        torch.set_num_threads(threads)


def test_eval_changes_nothing(quantizer: Any) -> None:
    before = {name: value.clone() for name, value in quantizer.state_dict().items()}
    quantizer(torch.randn(500, quantizer.dim))
    assert all(torch.equal(value, before[name]) for name, value in quantizer.state_dict().items())


def test_gradient_reaches_the_encoder_and_is_finite_in_half_precision(quantizer: Any) -> None:
    quantizer.train()
    z = torch.randn(400, quantizer.dim, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16):
        out = quantizer(z * 1.0)
        (out.vectors.square().mean() + sum(out.losses.values())).backward()
    assert z.grad is not None
    assert torch.isfinite(z.grad).all()
    assert z.grad.abs().sum() > 0


def test_straight_through_gain_is_exactly_one() -> None:
    for path in CONFIGS:
        quantizer = build(path)
        if isinstance(quantizer, VectorQuantizer | Residual) and type(quantizer.estimator) is StraightThrough:
            z = torch.randn(50, quantizer.dim, requires_grad=True)
            weights = torch.randn(50, quantizer.dim)
            (quantizer(z).vectors * weights).sum().backward()
            assert torch.equal(z.grad, weights), path.stem


def test_state_dict_round_trip_gives_the_same_codes(quantizer: Any) -> None:
    z = torch.randn(300, quantizer.dim)
    codes = quantizer.encode(z)
    other = copy.deepcopy(quantizer)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    other.load_state_dict(quantizer.state_dict())
    assert torch.equal(other.encode(z), codes)


def test_training_lowers_the_error_and_keeps_codes_alive(quantizer: Any) -> None:
    """A few steps on clustered data: the error must not rise, and most codes of a started codebook stay in use."""
    generator = torch.Generator().manual_seed(1)
    centres = 2 * torch.randn(64, quantizer.dim, generator=generator)
    parameters = list(quantizer.parameters())
    optimizer = torch.optim.Adam(parameters, 1e-3) if parameters else None
    quantizer.train()
    errors = []
    for _ in range(25):
        z = centres[torch.randint(64, (512,), generator=generator)] + 0.1 * torch.randn(
            512, quantizer.dim, generator=generator
        )
        out = quantizer(z)
        error = (out.vectors - z).square().mean() + sum(out.losses.values())
        if optimizer is not None and error.requires_grad:
            optimizer.zero_grad()
            error.backward()
            optimizer.step()
        errors.append(float((out.vectors.detach() - z).square().mean()))
    assert sum(errors[-5:]) <= 1.02 * sum(errors[:5])


def test_stated_prefixes_decode(quantizer: Any) -> None:
    count = len(quantizer.codebook_sizes)
    prefixes = prefixes_of(quantizer)
    assert prefixes[-1] == count
    assert list(prefixes) == sorted(set(prefixes))
    codes = quantizer.encode(torch.randn(5, quantizer.dim))
    for prefix in prefixes:
        assert quantizer.decode(codes[:, :prefix]).shape == (5, quantizer.dim)


def test_any_prefix_of_residual_codes_decodes_and_helps() -> None:
    quantizer = build(Path("configs/model/quantizer/residual.yaml"))
    z = torch.randn(400, quantizer.dim)
    codes = quantizer.encode(z)
    errors = [float((quantizer.decode(codes[..., :n]) - z).square().mean()) for n in range(1, 5)]
    assert errors == sorted(errors, reverse=True)
    with pytest.raises(ValueError, match="do not fill"):
        quantizer.decode(codes[..., :0])


def test_search_equals_a_float64_reference_up_to_ties() -> None:
    z, e, bias = torch.randn(1000, 24), torch.randn(9000, 24), torch.rand(9000)
    exact = (torch.cdist(z.double(), e.double()).square() + bias.double()).argmin(1)
    found = nearest(z, e, bias)
    scores = [(z.double() - e.double()[i]).square().sum(1) + bias.double()[i] for i in (found, exact)]
    assert (scores[0] - scores[1]).abs().max() < 1e-4
    assert (found == exact).float().mean() > 0.999


def test_search_breaks_ties_with_the_lowest_index() -> None:
    e = torch.ones(20000, 3)
    assert nearest(torch.zeros(5, 3), e).tolist() == [0] * 5


def test_search_memory_stays_below_the_score_matrix() -> None:
    from codec.quantizers import search

    assert search.QUERY_ROWS * search.CODE_ROWS * 4 < 50e6


def test_wrong_shapes_are_refused_with_both_numbers() -> None:
    with pytest.raises(ValueError, match=r"\(5, 3\).*\(7, 4\)"):
        nearest(torch.zeros(5, 3), torch.zeros(7, 4))


def test_projected_start_makes_unit_variance() -> None:
    quantizer = build(Path("configs/model/quantizer/fsq.yaml"))
    assert isinstance(quantizer, Projected)
    z = torch.randn(4000, 32) * torch.linspace(0.1, 5, 32)
    quantizer.start(z)
    torch.testing.assert_close(quantizer.down(z).std(0), torch.ones(5), atol=0.05, rtol=0.05)
