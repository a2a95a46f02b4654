"""The lattice prior and its parts: order of positions, order of codes, keys, and what it saves."""

import numpy as np
import pytest
import torch
from torch import Tensor

from codec.entropy import Frequencies, Known, LatticeTokenPrior, decode_chunk, encode_chunk, ideal_bits, packet_bits
from codec.entropy.keys import BIAS_BITS, QUERY_BITS, DigitKeys
from codec.entropy.numbering import principal_order
from codec.entropy.schedule import lattice_passes, quincunx
from tests.entropy.samples import train


@pytest.mark.parametrize("axes", [1, 2])
@pytest.mark.parametrize("period", [1, 2, 4, 8])
def test_passes_cover_every_position_once(period: int, axes: int) -> None:
    seen = torch.zeros(2, 11, 13, dtype=torch.int64)
    for lattice in lattice_passes(period, 12, axes):
        frame, row, column = lattice.positions((2, 11, 13))
        seen[frame, row, column] += 1
    assert (seen == 1).all()


@pytest.mark.parametrize("period", [2, 4, 8])
def test_every_position_of_a_pass_knows_the_same_neighbours(period: int) -> None:
    """What the offsets name is known, and nothing nearer is, for every cell of the pass."""
    done: set[tuple[int, int]] = set()
    for lattice in lattice_passes(period, 12):
        for cell in lattice.cells:
            known = {
                (down, right)
                for down in range(-2, 3)
                for right in range(-2, 3)
                if ((cell[0] + down) % period, (cell[1] + right) % period) in done
            }
            near = {offset for offset in lattice.offsets if max(map(abs, offset)) <= 2}
            assert near <= known
            assert len(lattice.offsets) < 12 or all(
                np.hypot(*offset) >= np.hypot(*lattice.offsets[-1]) for offset in known - near
            )
        done.update(lattice.cells)


def test_the_last_pass_sees_all_eight_neighbours() -> None:
    ring = {(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)} - {(0, 0)}
    assert set(lattice_passes(4, 8)[-1].offsets) == ring
    with pytest.raises(ValueError, match="power of two"):
        quincunx(6)


def test_over_time_even_frames_come_first_and_odd_ones_see_them() -> None:
    even, odd = lattice_passes(2, 4, axes=1)
    assert (even.cells, even.offsets) == (((0, 0),), ())
    assert (odd.cells, odd.offsets) == (((0, 1),), ((0, -1), (0, 1), (0, -3), (0, 3)))
    assert [len(one.offsets) for one in lattice_passes(8, 7, axes=1)] == [0, 7, 7, 7]
    with pytest.raises(ValueError, match="1 or 2 axes"):
        lattice_passes(2, 4, axes=3)


def test_sorted_codes_are_near_each_other() -> None:
    """A shuffled line of points comes back in order, in either direction; every code keeps exactly one rank."""
    shuffled = torch.randperm(24, generator=torch.Generator().manual_seed(0))
    order = principal_order(shuffled[:, None].float().expand(-1, 3), [4, 6])
    along = shuffled[order]
    assert torch.equal(along.sort().values, torch.arange(24))
    groups = along.view(6, 4)
    assert ((groups.max(1).values - groups.min(1).values) == 3).all()


def test_integer_logits_follow_the_float_ones() -> None:
    torch.manual_seed(0)
    keys = DigitKeys(5, 7, 16)
    keys.start(torch.rand(5, 7) * 100)
    with torch.no_grad():
        keys.keys.normal_()
    keys.freeze()
    queries, prefix = torch.randint(-3 << QUERY_BITS, 3 << QUERY_BITS, (50, 16)), torch.randint(5, (50,))
    wanted = torch.log_softmax(keys(queries / (1 << QUERY_BITS), prefix), 1)
    got = torch.from_numpy(keys.logits(queries.numpy(), prefix.numpy())) / 256
    torch.testing.assert_close(torch.log_softmax(got.float(), 1), wanted, atol=0.01, rtol=0)
    assert int(keys.integer_bias.max()) == 0
    assert int(keys.integer_bias.min()) > -(20 << BIAS_BITS)


def smooth(seed: int, batch: int = 4, side: int = 16, points: Tensor | None = None) -> list[Tensor]:
    """A slowly varying field in the plane, quantised to the nearest of 64 scattered points."""
    random = torch.Generator().manual_seed(seed)
    coarse = torch.randn(batch, 2, 4, 4, generator=random)
    field = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bicubic").movedim(1, -1)
    assert points is not None
    return [torch.cdist(field.flatten(0, 2), points).argmin(1).view(batch, side, side)]


@pytest.fixture(scope="module")
def points() -> Tensor:
    return torch.randn(64, 2, generator=torch.Generator().manual_seed(9))


@pytest.fixture(scope="module")
def trained(points: Tensor) -> LatticeTokenPrior:
    torch.manual_seed(0)
    prior = LatticeTokenPrior([[8, 8]], renumber=True, period=4, neighbours=8, embedding_dim=8, width=32, key_dim=8)
    counts = torch.bincount(torch.cat([smooth(s, points=points)[0].flatten() for s in range(8)]), minlength=64)
    prior.start([points], [counts])
    train(prior, lambda step: smooth(step, points=points), steps=120, rate=5e-3)
    assert abs(prior.freeze(smooth(999, points=points))) < 0.1
    return prior


def test_it_saves_where_neighbours_tell(trained: LatticeTokenPrior, points: Tensor) -> None:
    """The field is smooth: far fewer bits than uniform tables, and the start is already order-0."""
    (plane,) = smooth(1234, batch=1, side=24, points=points)
    assert ideal_bits(trained, [plane[0]]) < 0.65 * 6 * plane.numel()


def test_renumbered_codes_come_back(trained: LatticeTokenPrior) -> None:
    assert not torch.equal(trained.planes[0].ranks.long(), torch.arange(64))  # type: ignore[union-attr,operator,arg-type]
    for grid in [(7,), (9, 10), (2, 5, 6), (0,), (1, 1)]:
        plane = torch.randint(64, grid, generator=torch.Generator().manual_seed(1))
        (decoded,) = decode_chunk(trained, trained.layout(grid), encode_chunk(trained, [plane]))
        assert torch.equal(decoded, plane)


def test_before_training_it_costs_what_order_0_tables_cost(points: Tensor) -> None:
    (plane,) = smooth(5, points=points)
    counts = torch.bincount(plane.flatten(), minlength=64)
    prior = LatticeTokenPrior([[8, 8]], renumber=True, period=4, neighbours=8, embedding_dim=8, width=16, key_dim=4)
    prior.start([points], [counts])
    with torch.no_grad():
        for keys in prior.planes[0].keys:  # type: ignore[union-attr]
            keys.keys.zero_()  # type: ignore[union-attr]
    share = (counts + 0.5) / (counts + 0.5).sum()
    order_0 = -(counts * share.log2()).sum()
    assert float(prior.train().bits([plane]).detach()) == pytest.approx(float(order_0), rel=0.01)


def over_time(digits: list[list[int]], earlier: int | None = None, renumber: bool = False) -> LatticeTokenPrior:
    torch.manual_seed(0)
    return LatticeTokenPrior(
        digits, renumber=renumber, axes=1, period=2, neighbours=4, earlier=earlier, embedding_dim=8, width=32, key_dim=8
    ).eval()


def changed_tables(prior: LatticeTokenPrior, shape: tuple[int, ...], plane: int, place: tuple[int, ...]) -> Tensor:
    """`(planes, *shape)`: whether a position's table changes as the code at one place of one plane does."""
    codes = [torch.randint(size, shape) for size in prior.codebook_sizes]
    for name, parameter in prior.named_parameters():
        if name.endswith(".keys"):
            torch.nn.init.normal_(parameter)  # so that whatever is seen shows in the tables
    prior.freeze([one[None] for one in codes])
    tables = []
    for _ in range(2):
        found = [np.zeros((codes[0].numel(), prior.codebook_sizes[0]), np.int64) for _ in codes]
        for step in prior.steps(prior.layout(shape), known := Known.nothing(prior.layout(shape))):
            assert isinstance(step.tables, Frequencies)
            found[step.plane][step.where] = step.tables.values
            known.codes[step.plane][step.where] = codes[step.plane].flatten().numpy()[step.where]
        tables.append(np.stack(found))
        codes[plane][place] = (codes[plane][place] + 1) % prior.codebook_sizes[plane]
    return torch.from_numpy((tables[0] != tables[1]).any(2)).view(len(codes), *shape)


def test_over_time_a_code_matters_to_its_neighbours_in_time_alone() -> None:
    """An even frame to the odd ones up to three away, and to frames up to two away in later planes of its row."""
    changed = changed_tables(over_time([[16]] * 5, earlier=1), (2, 3, 12), 0, (1, 1, 4))
    assert changed[0, 1, 1].nonzero().flatten().tolist() == [1, 3, 5, 7]
    for later in range(1, 5):
        assert changed[later, 1, 1].nonzero().flatten().tolist() == [2, 3, 4, 5, 6]
    changed[:, 1, 1] = False
    assert not changed.any()


def test_later_planes_see_the_first_two_and_the_last_few() -> None:
    """An odd frame, which its own plane's even ones do not see."""
    seen = []
    for plane in range(6):
        changed = changed_tables(over_time([[4]] * 6, earlier=2), (1, 1, 8), plane, (0, 0, 1))
        seen.append(changed.any(-1).flatten().nonzero().flatten().tolist())
    assert seen == [[1, 2, 3, 4, 5], [2, 3, 4, 5], [3, 4], [4, 5], [5], []]
    with pytest.raises(ValueError, match="0 or more"):
        over_time([[4]], earlier=-1)


def test_planes_of_one_digit_and_planes_without_vectors_keep_their_numbers() -> None:
    prior = over_time([[6], [4, 4], [4, 4]], renumber=True)
    prior.start([torch.randn(6, 3), torch.randn(16, 3), None], [torch.ones(6), torch.ones(16), torch.ones(16)])
    kept = [bool((plane.ranks == torch.arange(len(plane.ranks))).all()) for plane in prior.planes]  # type: ignore[union-attr,arg-type]
    assert kept == [True, False, True]
    prior.load_state_dict(over_time([[6], [4, 4], [4, 4]]).state_dict())
    assert prior.planes[1].numbering is None  # what was kept of it gives way to what is loaded


def test_levels_save_what_the_level_before_tells() -> None:
    """Each level is the level before plus one random bit: 4 bits, then 1, 1, 1."""

    def planes(seed: int, batch: int = 32) -> list[Tensor]:
        random = torch.Generator().manual_seed(seed)
        levels = [torch.randint(16, (batch, 1, 1, 12), generator=random)]
        for _ in range(3):
            levels.append((levels[-1] + 5 + torch.randint(2, levels[0].shape, generator=random)) % 16)
        return levels

    prior = over_time([[16]] * 4, earlier=1)
    train(prior, planes, steps=110, rate=1e-2)
    assert abs(prior.freeze(planes(1000))) < 0.5
    assert float(packet_bits(prior, planes(77)).sum()) == pytest.approx(32 * 12 * 7, rel=0.06)


def test_slow_sound_saves_half_where_odd_frames_follow_from_even_ones() -> None:
    """Runs of one code: the second pass is nearly free, so that half the uniform bits remain."""

    def planes(seed: int, batch: int = 32) -> list[Tensor]:
        runs = torch.randint(16, (batch, 2, 1, 8), generator=torch.Generator().manual_seed(seed))
        return [runs.repeat_interleave(2, -1)]

    prior = over_time([[4, 4]])
    train(prior, planes, steps=100, rate=1e-2)
    prior.freeze(planes(1000))
    (bits,) = packet_bits(prior, planes(77)).mean(0)
    assert 4 * 16 <= float(bits) < 1.1 * 4 * 16
