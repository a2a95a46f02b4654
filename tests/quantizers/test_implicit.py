"""What implicit quantizers share: digits, gradients, fixed points; and FSQ's grids."""

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from codec.quantizers import (
    BSQ,
    E8,
    E8P,
    FSQ,
    LFQ,
    QJL,
    Bernoulli,
    EvenLevels,
    GainShape,
    Grouped,
    Implicit,
    PaperLevels,
    Pyramid,
    Rotation,
    TurboQuant,
)
from codec.quantizers.digits import Digits

MEMBERS: dict[str, Callable[[], Implicit]] = {
    "fsq": lambda: FSQ([8, 5, 2]),
    "fsq_paper": lambda: FSQ([8, 5, 3], PaperLevels()),
    "lfq": lambda: LFQ(10),
    "bsq": lambda: BSQ(10),
    "bernoulli": lambda: Bernoulli(10),
    "pyramid": lambda: Pyramid(5, 4),
    "e8": lambda: E8(4, 0.9),
    "e8p": E8P,
    "turbo": lambda: TurboQuant(6, 2),
    "qjl": lambda: QJL(9),
}


@pytest.fixture(params=MEMBERS)
def member(request: pytest.FixtureRequest) -> Implicit:
    return MEMBERS[request.param]().eval()


def test_the_gradient_reaches_the_placed_vector_unchanged(member: Implicit) -> None:
    z, weights = torch.randn(50, member.dim, requires_grad=True), torch.randn(50, member.dim)
    (placed,) = torch.autograd.grad(member.place(z), z, weights)
    (passed,) = torch.autograd.grad(member(z).vectors, z, weights)
    assert torch.equal(passed, placed)


def test_a_codeword_is_its_own_code(member: Implicit) -> None:
    """Every code of small alphabets, a sample of large ones; the signs of QJL do not lead back by themselves."""
    if not isinstance(member, QJL):
        size = member.codebook_sizes[0]
        codes = torch.arange(size)[:, None] if size <= 4096 else torch.randint(size, (4096, 1))
        assert torch.equal(member.choose(member.decode(codes)), codes)


def test_a_single_vector_and_a_zero_vector_have_codes(member: Implicit) -> None:
    z = torch.zeros(member.dim, requires_grad=True)
    out = member(z)
    assert out.codes.shape == (1,)
    out.vectors.sum().backward()
    assert z.grad is not None
    assert torch.isfinite(out.vectors).all()
    assert torch.isfinite(z.grad).all()


def test_codes_of_channels_first_memory_are_the_same(member: Implicit) -> None:
    grid = torch.randn(2, member.dim, 5, 7)
    strided = grid.movedim(1, -1)
    assert torch.equal(member.encode(strided), member.encode(strided.contiguous()))


def test_another_estimator_changes_the_gradient_only() -> None:
    z, weights = torch.randn(50, 5, requires_grad=True), torch.randn(50, 5)
    plain, turned = (Pyramid(5, 4, estimator=estimator)(z).vectors for estimator in (None, Rotation()))
    assert torch.equal(plain, turned)
    copied, rotated = (torch.autograd.grad(vectors, z, weights)[0] for vectors in (plain, turned))
    assert not torch.allclose(copied, rotated)


@pytest.mark.parametrize(("radices", "share", "sizes"), [([3, 4, 5], None, (60,)), ([3, 4, 5, 2, 7], 2, (12, 10, 7))])
def test_digits_come_back_from_codes(radices: list[int], share: int | None, sizes: tuple[int, ...]) -> None:
    digits = Digits(radices, share)
    values = torch.stack([torch.randint(radix, (500,)) for radix in radices], 1)
    codes = digits.pack(values)
    assert digits.codebook_sizes == sizes
    assert (codes < torch.tensor(sizes)).all()
    assert torch.equal(digits.unpack(codes), values)


def test_digits_beyond_64_bits_are_refused() -> None:
    bits = torch.ones(1, 62, dtype=torch.int64)
    digits = Digits([2] * 62)
    assert digits.pack(bits).item() == 2**62 - 1
    assert torch.equal(digits.unpack(digits.pack(bits)), bits)
    with pytest.raises(ValueError, match="digits_per_code"):
        LFQ(63)
    assert LFQ(63, digits_per_code=32).codebook_sizes == (1 << 32, 1 << 31)


def all_points(levels: int, grid: EvenLevels | PaperLevels) -> list[float]:
    fsq = FSQ([levels], grid)
    reached = fsq.encode(torch.linspace(-9, 9, 4001)[:, None]).unique(sorted=True)
    assert reached.tolist() == list(range(levels))
    return fsq.decode(reached[:, None]).squeeze(1).tolist()


def test_levels_lie_where_the_papers_put_them() -> None:
    assert all_points(5, PaperLevels()) == [-1, -0.5, 0, 0.5, 1]
    assert all_points(8, PaperLevels()) == [i / 4 for i in range(-4, 4)]
    assert all_points(3, PaperLevels()) == [-1, 0, 1]
    assert all_points(2, EvenLevels()) == [-1, 1]
    assert all_points(8, EvenLevels()) == pytest.approx([2 * i / 7 - 1 for i in range(8)])
    with pytest.raises(ValueError, match="at least 3"):
        FSQ([2, 5], PaperLevels()).encode(torch.zeros(1, 2))


def test_the_papers_grid_keeps_zero() -> None:
    fsq = FSQ([8, 8, 8, 6, 5], PaperLevels())
    assert not fsq(torch.zeros(1, 5)).vectors.any()


def index_entropy_share(slope: float, levels: int, z: Tensor) -> float:
    hits = torch.bincount(FSQ([levels], EvenLevels(slope)).encode(z[:, None])[:, 0], minlength=levels) / len(z)
    return float(torch.special.entr(hits).sum()) / math.log(levels)


def test_ifsq_makes_gaussians_uniform_but_not_its_levels() -> None:
    """The bounded value is nearer to uniform; rounding gives the outer levels half a share, so tanh still uses levels better."""
    z = torch.randn(100_000)
    even = torch.linspace(-1, 1, len(z))
    apart = [float((torch.tanh(slope * z).sort().values - even).abs().max()) for slope in (0.8, 1.0)]
    assert apart[0] < 0.5 * apart[1]
    assert index_entropy_share(0.8, 8, z) == pytest.approx(0.970, abs=0.004)
    assert index_entropy_share(1.0, 8, z) == pytest.approx(0.994, abs=0.004)


def test_groups_share_one_quantizer_and_come_in_order() -> None:
    one = TurboQuant(4, 2)
    grouped = Grouped(one, 3)
    z = torch.randn(20, 12)
    codes = grouped.encode(z)
    assert torch.equal(codes, torch.cat([one.encode(part) for part in z.split(4, -1)], -1))
    assert grouped.codebook_sizes == one.codebook_sizes * 3
    assert torch.equal(grouped(z).vectors, grouped.decode(codes))


def test_lengths_start_where_the_data_is_and_bound_the_error() -> None:
    z = torch.randn(5000, 6) * torch.rand(5000, 1) * 100
    quantizer = GainShape(Pyramid(6, 8), 64)
    quantizer.start(z)
    decoded = quantizer(z).vectors.norm(dim=1)
    length = z.norm(dim=1)
    inside = (length > quantizer.gains[0]) & (length < quantizer.gains[-1])
    assert inside.float().mean() > 0.97
    step = float(quantizer.gains[1] / quantizer.gains[0])
    assert ((decoded / length - 1).abs()[inside] <= (step - 1) / 2 + 1e-5).all()


def test_one_length_is_the_middle_of_the_range() -> None:
    quantizer = GainShape(BSQ(8), 1, (2.0, 8.0))
    assert quantizer.codebook_sizes == (1, 256)
    torch.testing.assert_close(quantizer(torch.randn(9, 8)).vectors.norm(dim=1), torch.full((9,), 4.0))


TWO_PROCESSES = """
import sys, torch
from torch import distributed as dist
from codec.quantizers import Bernoulli, GainShape, Grouped, Pyramid
rank = int(sys.argv[1])
dist.init_process_group("gloo", init_method=f"file://{sys.argv[2]}", rank=rank, world_size=2)
z = torch.randn(200 + 70 * rank, 12, generator=torch.Generator().manual_seed(rank)) * (1 + rank)
lengths = Grouped(GainShape(Pyramid(6, 3), 8), 2)
lengths.start(z)
coins = Bernoulli(12).train()
torch.save((lengths.state_dict(), coins(torch.zeros(50, 12)).codes), f"{sys.argv[2]}.{rank}")
dist.destroy_process_group()
"""


def test_two_processes_start_alike_and_toss_their_own_coins(tmp_path: Path) -> None:
    meeting = tmp_path / "meeting"
    arguments = [sys.executable, "-W", "ignore", "-c", TWO_PROCESSES]
    processes = [subprocess.Popen([*arguments, str(rank), str(meeting)], stderr=subprocess.PIPE) for rank in range(2)]
    for process in processes:
        _, errors = process.communicate(timeout=100)
        assert process.returncode == 0, errors.decode()
    (one, coins), (two, others) = (torch.load(f"{meeting}.{rank}", weights_only=True) for rank in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert one["quantizer.gains"][-1] > 1.5 * 6**0.5
    assert not torch.equal(coins, others)
