"""The forward process of VQ-Diffusion and its way back, as matrices."""

import math

import pytest
import torch
from torch import Tensor

from codec.generation import EMPTY, DiffusionModel, TableWords
from codec.nn import GridTransformer

K, TIMES = 5, 12


@pytest.fixture(scope="module")
def model() -> DiffusionModel:
    torch.manual_seed(0)
    words = [TableWords([K], 8, code_dim=4, key_dim=4)]
    return DiffusionModel(words, GridTransformer(8, 1, 2), times=TIMES).eval()


def matrix(kept: float, masked: float) -> Tensor:
    """Row: what it was, column: what it becomes; the mask last."""
    replaced = (1 - kept - masked) / K
    found = torch.full((K + 1, K + 1), replaced, dtype=torch.float64)
    found[:K, :K] += kept * torch.eye(K, dtype=torch.float64)
    found[:, K] = masked
    found[K] = 0
    found[K, K] = 1
    return found


def test_steps_together_are_the_whole_way(model: DiffusionModel) -> None:
    product = torch.eye(K + 1, dtype=torch.float64)
    for time in range(1, TIMES + 1):
        whole, before = model.corruption(time), model.corruption(time - 1)
        step = whole.since(before)
        one = matrix(step.kept, step.masked)
        torch.testing.assert_close(one.sum(1), torch.ones(K + 1, dtype=torch.float64))
        product = product @ one
        torch.testing.assert_close(product, matrix(whole.kept, whole.masked), atol=1e-9, rtol=0)
    assert float(product[:K, K].min()) > 0.999


@pytest.mark.parametrize(("time", "earlier"), [(2, 1), (7, 6), (12, 5), (9, 1), (4, 0), (1, 0)])
def test_the_way_back_is_bayes(model: DiffusionModel, time: int, earlier: int) -> None:
    shares = torch.rand(K + 1, K).softmax(1)
    now = torch.tensor([*range(K), EMPTY])
    found = model._back(now, shares, time, earlier)
    whole, before = model.corruption(time), model.corruption(earlier)
    step = whole.since(before)
    to_earlier, onwards = matrix(before.kept, before.masked), matrix(step.kept, step.masked)
    for i in range(K + 1):
        joint = to_earlier[:K] * onwards[:, i]  # what it was, what it is at the earlier time
        way = shares[i].double() @ joint
        torch.testing.assert_close(found[i].double(), way / way.sum(), atol=1e-5, rtol=0)
    torch.testing.assert_close(found.sum(1), torch.ones(K + 1))


def test_the_right_answer_costs_nothing(model: DiffusionModel) -> None:
    truth = torch.eye(K)
    for now in (torch.arange(K), torch.full((K,), EMPTY)):
        back = model._back(now, truth, 6, 5)
        apart = back * (back.clamp_min(1e-30).log() - model._back(now, truth, 6, 5).clamp_min(1e-30).log())
        assert float(apart.abs().max()) == 0


def test_codes_are_priced_as_the_way_back_to_the_start_has_them(model: DiffusionModel) -> None:
    now, shares = torch.tensor([2, 0, EMPTY]), torch.rand(3, K).softmax(1)
    wanted = torch.tensor([2, 3, 1])
    back = model._back(now, shares, 6, 0)
    found = model._direct_nats(shares.log(), wanted, now, 6)
    torch.testing.assert_close(found, -back.gather(1, wanted[:, None])[:, 0].log(), atol=1e-4, rtol=1e-4)


def test_who_knows_nothing_pays_about_what_a_plain_code_takes() -> None:
    torch.manual_seed(0)
    words = TableWords([K], 8, code_dim=4, key_dim=4)
    torch.nn.init.zeros_(words.leave.weight)
    model = DiffusionModel([words], GridTransformer(8, 1, 2), times=TIMES).eval()
    codes = torch.randint(K, (4, 1, 12, 12))
    found = float(model.code_length(codes).sum()) / codes.numel()
    assert abs(found - math.log2(K)) < 0.05


def test_corrupted_codes_are_as_many_as_the_matrix_says(model: DiffusionModel) -> None:
    codes = torch.full((1, 1, 200, 200), 3)
    way = model.corruption(6)
    assert way.replaced(K) > 0.004
    found = model.corrupted(codes, 6, torch.Generator().manual_seed(0))
    assert abs(float((found == EMPTY).float().mean()) - way.masked) < 0.01
    assert abs(float((found == 3).float().mean()) - way.kept - way.replaced(K)) < 0.01
