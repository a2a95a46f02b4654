"""Lost codes become those that are nearest to what is expected of them."""

import pytest
import torch

from codec.generation import EMPTY, MaskedModel, Repair, masked
from tests.generation.test_masked_prior import structured, trained

VECTORS = [torch.randn(16, 8, generator=torch.Generator().manual_seed(q)) for q in range(2)]


@pytest.fixture(scope="module", params=[False, True], ids=["table", "bits"])
def model(request: pytest.FixtureRequest) -> MaskedModel:
    return trained(bits=request.param)


def test_what_is_left_stays_and_gaps_are_filled(model: MaskedModel) -> None:
    torch.manual_seed(1)
    codes = structured(3, 2)
    lost = torch.rand(codes.shape) < 0.2
    found = Repair(model, VECTORS)(codes.masked_fill(lost, EMPTY))
    assert torch.equal(found[~lost], codes[~lost])
    assert bool(((found >= 0) & (found < 16)).all())
    assert float((found == codes)[lost].float().mean()) > 0.3  # of 1 in 16 by chance


@pytest.mark.parametrize("count", [1, 3])
def test_planes_need_not_be_as_many_as_the_model_knows(model: MaskedModel, count: int) -> None:
    codes = torch.full((1, count, 4, 5), EMPTY)
    found = Repair(model, VECTORS)(codes)
    assert found.shape == codes.shape
    assert bool((found[:, :2] != EMPTY).all())
    assert bool((found[:, 2:] == EMPTY).all())


def test_who_knows_nothing_takes_the_code_in_the_middle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masked, "AT_ONCE", 7)
    model = trained(bits=False, planes=1)
    model._words[0].log_probabilities = lambda hidden: torch.zeros(len(hidden), 16).log_softmax(1)  # type: ignore[method-assign]
    vectors = torch.cat([3 + VECTORS[0][:15], torch.full((1, 8), 3.0)])
    found = Repair(model, [vectors])(torch.full((1, 1, 5, 5), EMPTY))
    assert torch.equal(found, torch.full_like(found, int((vectors - vectors.mean(0)).norm(dim=1).argmin())))


def test_a_code_between_the_likely_ones_is_better_than_either() -> None:
    model = trained(bits=False, planes=1)
    shares = torch.zeros(16)
    shares[[2, 9]] = torch.tensor([0.6, 0.4])
    model._words[0].log_probabilities = lambda hidden: shares.log().expand(len(hidden), -1)  # type: ignore[method-assign]
    vectors = 10 + VECTORS[0].clone()
    vectors[2], vectors[9], vectors[5] = 0.0, 1.0, 0.45
    assert int(Repair(model, [vectors])(torch.tensor([[[[3, EMPTY]]]]))[0, 0, 0, 1]) == 5
