"""Every generative model's config obeys the same laws; the folder is the list. All are used small."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor

from codec.generation import EMPTY, Condition, Sampling, TokenModel
from codec.models.checkpoint import build

CONFIGS = sorted(Path("configs/generator").glob("*.yaml"))
SMALL = {"dim": 32, "depth": 2, "heads": 2, "times": 8, "bits": 3}
QUICK = Sampling(steps=3)


def shrunk(node: Any) -> Any:
    """The config with narrow and shallow networks, and codebooks of fewer codes."""
    if isinstance(node, dict):
        return {
            name: SMALL.get(name, value) if isinstance(value, int) else shrunk(value) for name, value in node.items()
        }
    if isinstance(node, list):
        return [min(value, 8) if isinstance(value, int) else shrunk(value) for value in node]
    return node


@pytest.fixture(params=CONFIGS, ids=lambda path: path.stem)
def model(request: pytest.FixtureRequest) -> Any:
    torch.manual_seed(0)
    made: Any = build(shrunk(OmegaConf.to_container(OmegaConf.load(request.param))))
    made.start([torch.randn(size, 8) for size in made.alphabets], [torch.arange(size) for size in made.alphabets])
    return made.eval()


def some_codes(model: TokenModel, batch: int = 3, grid: tuple[int, int] = (3, 4)) -> Tensor:
    return torch.stack([torch.randint(size, (batch, *grid)) for size in model.alphabets], 1)


def random(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def told(model: TokenModel, batch: int = 3) -> Condition:
    """Something of all that the model can be told."""
    wanted = model.conditions
    labels = torch.arange(batch) % wanted.classes if wanted.classes else None
    return Condition(labels, torch.randn(batch, 1, 1, wanted.coarse_dim) if wanted.coarse_dim else None)


def test_the_full_model_is_built_and_small_enough_to_ship() -> None:
    for path in CONFIGS:
        made = build(OmegaConf.to_container(OmegaConf.load(path)))  # type: ignore[arg-type]
        assert sum(2 * p.numel() for p in made.parameters()) < 12 << 20


def test_every_weight_learns(model: Any) -> None:
    """Conditions, planes and masks are drawn, so that not every step reaches every weight."""
    model.train()
    for seed in range(12 + 4 * len(model.alphabets)):
        model.loss(some_codes(model), told(model).dropped(0.5, random(seed)), random(seed)).backward()
    idle = [name for name, weight in model.named_parameters() if weight.grad is None or not weight.grad.any()]
    assert not idle


def test_steps_lower_the_loss(model: Any) -> None:
    codes, optimiser = some_codes(model, 4), torch.optim.AdamW(model.parameters(), 3e-3)
    before = float(model.code_length(codes).sum())
    model.train()
    for seed in range(40):
        optimiser.zero_grad()
        model.loss(codes, told(model, 4).dropped(0.5, random(seed)), random(seed)).backward()
        optimiser.step()
    assert float(model.eval().code_length(codes).sum()) < before


def test_code_length_is_that_of_each_alone(model: Any) -> None:
    codes = some_codes(model)
    found = model.code_length(codes)
    assert found.shape == (3,)
    assert bool((found > 0).all())
    if not hasattr(model, "times"):  # those draw what they see
        torch.testing.assert_close(model.code_length(codes[1:2]), found[1:2], rtol=1e-4, atol=0)


@pytest.mark.parametrize("grid", [(1, 1), (1, 9), (5, 3)])
def test_what_is_given_stays(model: Any, grid: tuple[int, int]) -> None:
    given = some_codes(model, grid=grid).masked_fill(torch.rand(3, 1, *grid) < 0.5, EMPTY)
    drawn = model.generate(given, sampling=QUICK, random=random())
    assert torch.equal(drawn[given != EMPTY], given[given != EMPTY])
    assert bool((drawn >= 0).all())
    assert all(int(drawn[:, q].max()) < size for q, size in enumerate(model.alphabets))


def test_nothing_to_draw(model: Any) -> None:
    codes = some_codes(model)
    before = codes.clone()
    assert torch.equal(model.generate(codes, sampling=QUICK, random=random()), before)
    assert torch.equal(codes, before)


def test_a_seed_says_it_all(model: Any) -> None:
    nothing = torch.full((2, len(model.alphabets), 3, 4), EMPTY)
    first, again, other = (model.generate(nothing, sampling=QUICK, random=random(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_guidance_and_conditions(model: Any) -> None:
    nothing = torch.full((3, len(model.alphabets), 3, 4), EMPTY)
    plain = model.generate(nothing, told(model), QUICK, random=random())
    assert plain.shape == nothing.shape
    guided = model.generate(nothing, told(model), Sampling(steps=3, guidance=3.0), random=random())
    assert bool((guided >= 0).all())


def test_what_was_not_trained_cannot_be_told(model: Any) -> None:
    with pytest.raises(ValueError, match="trained without classes"):
        model.code_length(some_codes(model), Condition(torch.zeros(3, dtype=torch.int64)))


def test_state_dicts_hold_all(model: Any) -> None:
    other: Any = copy.deepcopy(model)
    for weight in other.parameters():
        torch.nn.init.zeros_(weight)
    other.load_state_dict(model.state_dict())
    codes = some_codes(model)
    torch.testing.assert_close(other.code_length(codes), model.code_length(codes))
