"""Contexts over the whole chunk: they see only what is known, their integers follow their floats, and they pay off."""

import dataclasses

import pytest
import torch
from torch import Tensor

from codec.entropy import (
    ChannelAttentionContext,
    ChannelContext,
    Context,
    ContextChoice,
    GlobalInterContext,
    GlobalIntraContext,
    GroupedLatentPrior,
    Place,
    ReweightedContext,
    Seen,
    WindowContext,
)
from tests.entropy.samples import train

CHOICES: list[ContextChoice] = [
    GlobalInterContext(heads=2, dim=4),
    GlobalIntraContext(heads=2, dim=4),
    WindowContext(heads=2, dim=4),
    ChannelAttentionContext(heads=2, dim=4),
    ReweightedContext(GlobalIntraContext(heads=2, dim=4), hidden=4),
    ReweightedContext(WindowContext(heads=1, dim=4), hidden=4),
]
PLACES = [Place(features=6, before=before, own=5, phase=phase) for before in ((), (3,), (2, 4)) for phase in (0, 1)]
GRID = (6, 7)


def seen_integers(place: Place, batch: int = 2, seed: int = 0) -> Seen:
    """Random integers in 1/256, unknown positions of the group zero."""
    random = torch.Generator().manual_seed(seed)

    def draw(channels: int) -> Tensor:
        return torch.round(512 * torch.randn(batch, channels, *GRID, generator=random)).long()

    known = ((torch.arange(GRID[0])[:, None] + torch.arange(GRID[1])) % 2 == 0) & bool(place.phase)
    return Seen(draw(place.features), draw(sum(place.before)), draw(place.own) * known, known)


def as_floats(seen: Seen) -> Seen:
    return Seen(seen.features / 256, seen.before / 256, seen.own / 256, seen.known)


def built(choice: ContextChoice, place: Place) -> Context:
    """A converted context with random weights."""
    torch.manual_seed(0)
    context = choice.build(place)
    assert context is not None
    for name, parameter in context.named_parameters():
        if name.endswith("bias") or "gate" in name:
            torch.nn.init.normal_(parameter, std=0.5)
    context.convert(seen_integers(place, seed=5))
    return context


PAIRS = [(choice, place) for choice in CHOICES for place in PLACES if choice.build(place) is not None]


@pytest.fixture(params=PAIRS, ids=lambda pair: f"{type(pair[0]).__name__}-{len(pair[1].before)}-{pair[1].phase}")
def pair(request: pytest.FixtureRequest) -> tuple[ContextChoice, Place]:
    return request.param


@pytest.fixture
def place(pair: tuple[ContextChoice, Place]) -> Place:
    return pair[1]


@pytest.fixture
def context(pair: tuple[ContextChoice, Place]) -> Context:
    return built(*pair)


def test_what_is_not_known_changes_nothing(context: Context, place: Place) -> None:
    """Bit for bit, in integers and in floats."""
    seen = seen_integers(place)
    noise = torch.randint(-5000, 5000, seen.own.shape, generator=torch.Generator().manual_seed(1))
    other = dataclasses.replace(seen, own=torch.where(seen.known, seen.own, noise))
    assert torch.equal(context.exact(other), context.exact(seen))
    assert torch.equal(context(as_floats(other)), context(as_floats(seen)))


def test_integers_follow_floats(context: Context, place: Place) -> None:
    seen = seen_integers(place)
    found, expected = context.exact(seen), context(as_floats(seen)).detach()
    assert found.shape == expected.shape == (2, context.channels, *GRID)
    torch.testing.assert_close(found / 256, expected, atol=0.05, rtol=0.02)


def test_floats_come_back_from_integers(context: Context, place: Place) -> None:
    """As a checkpoint, which holds only integers, is loaded."""
    seen = seen_integers(place)
    expected = context(as_floats(seen)).detach()
    for parameter in context.parameters():
        torch.nn.init.zeros_(parameter)
    context.thaw()
    torch.testing.assert_close(context(as_floats(seen)).detach(), expected, atol=0.02, rtol=0.01)


def test_chunks_of_a_batch_do_not_see_each_other(context: Context, place: Place) -> None:
    seen = seen_integers(place)
    alone = Seen(seen.features[1:], seen.before[1:], seen.own[1:], seen.known)
    assert torch.equal(context.exact(seen)[1:], context.exact(alone))


@pytest.mark.parametrize("choice", [CHOICES[1], CHOICES[4]], ids=lambda choice: type(choice).__name__)
def test_one_known_position_is_seen_everywhere(choice: ContextChoice) -> None:
    place = PLACES[-1]
    context, seen = built(choice, place), seen_integers(place)
    far = seen.own.clone()
    far[:, :, 0, 0] += 20_000
    changed = context.exact(dataclasses.replace(seen, own=far)) != context.exact(seen)
    assert changed.any(1).all()


def test_a_window_sees_no_farther_than_it_says() -> None:
    place = PLACES[-1]
    context, seen = built(WindowContext(heads=2, dim=4, window=3), place), seen_integers(place)
    near = seen.own.clone()
    near[:, :, 2, 2] += 20_000
    changed = (context.exact(dataclasses.replace(seen, own=near)) != context.exact(seen)).any(1).any(0)
    assert changed.nonzero().tolist() == [[1, 2], [2, 1], [2, 3], [3, 2]]


def test_nothing_is_built_where_nothing_can_be_added() -> None:
    for choice in CHOICES[:4]:
        assert choice.build(PLACES[0]) is None
    assert GlobalIntraContext().build(PLACES[1]) is not None  # hyper features guide the first group


def repeated_content(seed: int) -> list[Tensor]:
    """Planes of 8 chunks: four kinds of content scattered about; what a kind holds in the second group differs by chunk."""
    random = torch.Generator().manual_seed(seed)
    kinds = torch.randint(4, (8, 8, 8), generator=random)
    first = 4.0 * torch.stack([kinds // 2 * 2 - 1, kinds % 2 * 2 - 1], 1)
    held = 8 * torch.randn(8, 2, 4, generator=random)
    second = held.gather(2, kinds.flatten(1)[:, None].expand(-1, 2, -1)).unflatten(2, (8, 8))
    noise = [0.5 * torch.randn(8, 2, 8, 8, generator=random) for _ in range(2)]
    return [torch.zeros(8, 2, 2), torch.zeros(8, 2, 2, 2), first + noise[0], second + noise[1]]


def bits_with(contexts: list[ContextChoice]) -> float:
    torch.manual_seed(0)
    prior = GroupedLatentPrior(
        4, groups=[2, 2], checkerboard=True, contexts=contexts, hyper_channels=2, hyper_width=8, features=8, width=16
    )
    train(prior, repeated_content, steps=300, rate=2e-2)
    assert abs(prior.freeze(repeated_content(1000))) < 0.5
    return float(prior.bits(repeated_content(1001)))


def test_global_context_pays_off_where_content_repeats_far_away() -> None:
    """Neighbours tell nothing here: only the known half, wherever it holds the same kind, does."""
    choices: list[ContextChoice] = [ChannelContext(), GlobalIntraContext(heads=1, dim=8, kernel=1)]
    without, with_global = bits_with(choices[:1]), bits_with(choices)
    assert with_global < 0.9 * without
