"""The two roads of the search give one answer: the lowest exact score, the lowest index of a tie, on any machine."""

import os
import subprocess
import sys
from functools import partial

import pytest
import torch
from torch import Tensor

from codec.quantizers import kernel, nearest
from codec.quantizers.search import ROAD_VARIABLE, Road, by_matmul, default_road, few_nearest
from codec.quantizers.search_exact import exact_scores, fixed_order_dot, score_slack

ROADS: dict[str, Road] = {name: partial(kernel.by_kernel, instruction_set=name) for name in kernel.available_sets()}
ROADS["torch"] = by_matmul
DEVICES = ["cpu"] + ["cuda"] * torch.cuda.is_available()
INSTRUCTION_LIMITS = {
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
}


@pytest.fixture(params=ROADS)
def road(request: pytest.FixtureRequest) -> Road:
    return ROADS[request.param]


def brute_force(z: Tensor, e: Tensor, bias: Tensor | None = None) -> Tensor:
    """The definition: every exact score, the first of the lowest."""
    return brute_force_few(z, e, 1, bias)[1].squeeze(1)


def brute_force_few(z: Tensor, e: Tensor, count: int, bias: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The same for several, nearest first; of codewords that are none, the index is 0."""
    rows = torch.stack([exact_scores(query.expand_as(e), e, bias) for query in z])
    scores, codes = rows.sort(dim=1, stable=True)
    return scores[:, :count], codes.where(scores < torch.inf, 0)[:, :count]


def near_ties(count: int, codes: int, dim: int) -> tuple[Tensor, Tensor]:
    """Queries and codewords of which many are equal or differ in the last bit only, shuffled."""
    z = torch.randn(count, dim)
    e = torch.randn(codes // 8, dim).repeat(8, 1)
    e[len(e) // 4 :] = torch.nextafter(e, 2 * e)[len(e) // 4 :]
    e[len(e) // 2 :, ::3] = torch.nextafter(e, -2 * e)[len(e) // 2 :, ::3]
    return z, e[torch.randperm(len(e))]


@pytest.mark.parametrize("shape", [(100, 1000, 24), (37, 65, 1), (7, 5, 3), (1, 1, 1), (50, 5000, 8), (70, 300, 131)])
@pytest.mark.parametrize("biased", [False, True])
def test_every_road_finds_the_lowest_exact_score(road: Road, shape: tuple[int, int, int], biased: bool) -> None:
    count, codes, dim = shape
    z, e = torch.randn(count, dim), torch.randn(codes, dim)
    bias = torch.randn(codes) if biased else None
    assert torch.equal(nearest(z, e, bias, road=road), brute_force(z, e, bias))


@pytest.mark.parametrize("count", [2, 5, 60])
@pytest.mark.parametrize("shape", [(100, 1000, 24), (130, 70, 9), (5, 60, 1), (40, 5000, 46)])
@pytest.mark.parametrize("biased", [False, True])
def test_every_road_finds_the_few_lowest(road: Road, shape: tuple[int, int, int], count: int, biased: bool) -> None:
    z, e = near_ties(*shape)
    e[3], e[1] = torch.nan, torch.inf
    bias = torch.randn(len(e)) if biased else None
    expected = brute_force_few(z, e, min(count, len(e)), bias)
    scores, codes = few_nearest(z, e, min(count, len(e)), bias, road=road)
    assert torch.equal(codes, expected[1])
    assert torch.equal(scores, expected[0])


def test_places_without_a_codeword_are_empty(road: Road) -> None:
    e = torch.tensor([[torch.nan, 0.0], [1.0, 2.0], [torch.inf, 0.0]])
    scores, codes = few_nearest(torch.ones(2, 2), e, 4, road=road)
    assert codes.tolist() == [[1, 0, 0, 0]] * 2
    assert scores.tolist() == [[-1.0, torch.inf, torch.inf, torch.inf]] * 2
    with pytest.raises(ValueError, match="at least one codeword to be wanted"):
        few_nearest(torch.ones(2, 2), e, 0, road=road)


def test_the_lowest_exact_score_is_the_smallest_distance() -> None:
    z, e, bias = torch.randn(100, 24), torch.randn(1000, 24), torch.rand(1000)
    distances = (z.double()[:, None] - e.double()).square().sum(2) + bias.double()
    assert torch.equal(nearest(z, e, bias), distances.argmin(1))


@pytest.mark.parametrize("shape", [(60, 4000, 16), (60, 800, 100)])
def test_near_ties_are_decided_exactly(road: Road, shape: tuple[int, int, int]) -> None:
    z, e = near_ties(*shape)
    expected = brute_force(z, e)
    float32 = (e.square().sum(1) - 2 * z @ e.T).argmin(1)
    assert (float32 != expected).float().mean() > 0.1, "the case must be one that float32 alone gets wrong"
    assert torch.equal(nearest(z, e, road=road), expected)


@pytest.mark.parametrize("spread", [1e-6, 1.0, 1e15])
@pytest.mark.parametrize("offset", [0.0, 3.0, 1e6])
@pytest.mark.parametrize("shape", [(70, 500, 9), (130, 170, 46)])
def test_where_all_vectors_lie_and_numbers_that_are_none_change_nothing(
    road: Road, shape: tuple[int, int, int], offset: float, spread: float
) -> None:
    count, codes, dim = shape
    e = offset + spread * torch.randn(codes, dim)
    z = e[torch.randint(codes, (count,))] + 0.01 * spread * torch.randn(count, dim)
    e[[84, 100, 101, 139], 0], e[20:40] = torch.nan, torch.inf
    bias = spread**2 * torch.randn(codes)
    bias[60:90] = torch.inf
    assert torch.equal(nearest(z, e, bias, road=road), brute_force(z, e, bias))


def test_ties_go_to_the_lowest_index(road: Road) -> None:
    assert nearest(torch.zeros(5, 3), torch.ones(20_000, 3), road=road).tolist() == [0] * 5
    z, e = torch.randint(-2, 3, (200, 4)).float(), torch.randint(-2, 3, (3000, 4)).float()
    assert torch.equal(nearest(z, e, road=road), torch.cdist(z.double(), e.double()).square().round().argmin(1))


def test_far_from_zero_and_close_together(road: Road) -> None:
    """Where |z|^2 dwarfs all differences, float32 tells little and the decision does the work."""
    z, e = 1000 + torch.randn(20, 16), 1000 + torch.randn(500, 16)
    assert torch.equal(nearest(z, e, road=road), brute_force(z, e))


@pytest.mark.parametrize("scale", [1e-30, 1e-20, 1e18, 1e30])
def test_scores_beyond_float32(road: Road, scale: float) -> None:
    z, e = scale * torch.randn(30, 8), scale * torch.randn(200, 8)
    assert torch.equal(nearest(z, e, road=road), brute_force(z, e))


def test_what_is_not_a_number_never_wins(road: Road) -> None:
    z, e, bias = torch.randn(40, 8), torch.randn(300, 8), torch.rand(300)
    z[3, 2], e[7, 1], e[8], bias[9] = torch.nan, torch.nan, torch.inf, torch.nan
    bias[100:200] = torch.inf
    codes = nearest(z, e, bias, road=road)
    assert torch.equal(codes, brute_force(z, e, bias))
    assert codes[3] == 0
    others = torch.cat([codes[:3], codes[4:]])
    assert not torch.isin(others, torch.tensor([7, 8, 9])).any()
    assert not ((others >= 100) & (others < 200)).any()


def test_codes_do_not_depend_on_batch_order_or_threads(road: Road) -> None:
    z, e = near_ties(700, 1600, 24)
    codes, threads = nearest(z, e, road=road), torch.get_num_threads()
    for count in (0, 1, 5, 6, 7, 511):
        assert torch.equal(nearest(z[:count], e, road=road), codes[:count])
    order = torch.randperm(len(z))
    assert torch.equal(nearest(z[order], e, road=road), codes[order])
    try:
        for count in (1, 2, 5):
            torch.set_num_threads(count)
            assert torch.equal(nearest(z, e, road=road), codes)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_coarse_products_are_set_aside_and_restored(device: str, precision: str) -> None:
    z, e = near_ties(300, 2400, 32)
    expected = nearest(z, e)
    try:
        torch.set_float32_matmul_precision(precision)
        assert torch.equal(nearest(z.to(device), e.to(device), road=by_matmul).cpu(), expected)
        assert torch.get_float32_matmul_precision() == precision
    finally:
        torch.set_float32_matmul_precision("highest")


def test_views_and_half_precision(road: Road) -> None:
    z, e = torch.randn(20, 16).T, torch.randn(20, 2, 50)[:, 1].T
    assert torch.equal(nearest(z, e, road=road), brute_force(z, e))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(nearest(z.bfloat16(), e, road=road), brute_force(z.bfloat16().float(), e))


def test_slack_bounds_the_error_of_float32_scores() -> None:
    for dim, offset in [(4, 0.0), (64, 0.0), (64, 30.0), (1000, 3.0)]:
        z, e = offset + torch.randn(16, dim), offset + torch.randn(100, dim)
        costs = fixed_order_dot(e, e)
        exact = costs - 2 * fixed_order_dot(z[:, None], e)
        error = (torch.addmm(costs.float(), z, e.T, alpha=-2) - exact).abs().amax(1)
        slack = score_slack(z.norm(dim=1), costs.max().float(), e.norm(dim=1).max(), dim)
        assert (error <= slack).all()
        assert (slack < 1e-4 * (1 + offset) ** 2 * dim**1.5).all()


def test_codes_are_the_same_with_other_instructions() -> None:
    """A fresh process, whose matrix products may use old instructions only, decides the same near-ties."""
    script = (
        "import torch; from tests.quantizers.test_search import near_ties; from codec.quantizers import nearest; "
        "torch.manual_seed(3); print(nearest(*near_ties(150, 2000, 64)).tolist())"
    )
    environment = os.environ | INSTRUCTION_LIMITS | {ROAD_VARIABLE: "torch"}
    run = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    torch.manual_seed(3)
    assert run.stdout.strip() == str(nearest(*near_ties(150, 2000, 64)).tolist())


def test_the_environment_chooses_the_road(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    monkeypatch.delenv(ROAD_VARIABLE, raising=False)
    assert default_road(cpu) is (kernel.by_kernel if kernel.is_built() else by_matmul)
    assert default_road(torch.device("cuda")) is by_matmul
    monkeypatch.setenv(ROAD_VARIABLE, "torch")
    assert default_road(cpu) is by_matmul
    monkeypatch.setenv(ROAD_VARIABLE, "fast")
    with pytest.raises(ValueError, match="CODEC_SEARCH must be torch or kernel, got 'fast'"):
        default_road(cpu)


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(5, 3\).*\(7, 4\)"):
        nearest(torch.zeros(5, 3), torch.zeros(7, 4))
    with pytest.raises(ValueError, match=r"at least one codeword.*\(0, 4\)"):
        nearest(torch.zeros(5, 4), torch.zeros(0, 4))
    with pytest.raises(ValueError, match=r"each of 7 codewords, got \(5,\)"):
        nearest(torch.zeros(5, 4), torch.zeros(7, 4), torch.zeros(5))
