"""Pyramid and E8: counts, bijections, nearest points and errors from the literature."""

from itertools import product

import pytest
import torch

from codec.quantizers import E8, E8P, GainShape, Pyramid, nearest
from codec.quantizers.lattices import absolute_vectors, ball_of_e8, nearest_of_e8
from codec.quantizers.pyramid import pyramid_counts

LLOYD_MAX = {1: 0.3634, 2: 0.1175, 3: 0.03455, 4: 0.0095}  # squared error of a Gaussian variable by bits


@pytest.mark.parametrize(("dim", "pulses", "count"), [(3, 2, 18), (4, 3, 88), (3, 4, 66), (8, 8, 157_184)])
def test_pyramids_have_as_many_points_as_published(dim: int, pulses: int, count: int) -> None:
    assert pyramid_counts(dim, pulses)[dim][pulses] == count
    assert Pyramid(dim, pulses).codebook_sizes == (count,)


@pytest.mark.parametrize(("dim", "pulses"), [(2, 1), (3, 2), (4, 3), (3, 4), (6, 5), (8, 8)])
def test_numbers_and_points_are_a_bijection(dim: int, pulses: int) -> None:
    pyramid = Pyramid(dim, pulses)
    numbers = torch.arange(pyramid.codebook_sizes[0])
    points = pyramid.unrank(numbers)
    assert (points.abs().sum(1) == pulses).all()
    assert torch.equal(pyramid.rank(points), numbers)


def test_values_come_in_the_order_zero_plus_minus() -> None:
    points = Pyramid(2, 2).unrank(torch.arange(8)).tolist()
    assert points == [[0, 2], [0, -2], [1, 1], [1, -1], [-1, 1], [-1, -1], [2, 0], [-2, 0]]


def test_numbers_are_exact_up_to_62_bits() -> None:
    pyramid = Pyramid(24, 24)
    size = pyramid.codebook_sizes[0]
    assert 1 << 56 < size <= 1 << 62
    numbers = torch.cat([torch.randint(size, (2000,)), torch.tensor([0, size - 1])])
    points = pyramid.unrank(numbers)
    assert (points.abs().sum(1) == 24).all()
    assert torch.equal(pyramid.rank(points), numbers)
    with pytest.raises(ValueError, match=r"2\^62"):
        Pyramid(32, 32)


def test_the_greedy_search_is_nearly_the_best_point() -> None:
    pyramid, z = Pyramid(5, 4), torch.randn(2000, 5)
    table = pyramid.decode(torch.arange(pyramid.codebook_sizes[0])[:, None])
    unit = pyramid.place(z)
    best, found = unit @ table.T, (unit * pyramid(z).vectors).sum(1)
    assert (found - best.amax(1)).abs().mean() < 1e-3
    assert (found >= best.amax(1) - 1e-6).float().mean() > 0.95


def test_a_pyramid_beats_scalar_levels_at_the_same_bits() -> None:
    """A Gaussian vector of 16, 2 bits a dimension with its length: 27 bits of pyramid in each half, 5 of length."""
    quantizer = GainShape(Pyramid(16, 10), 16)
    assert quantizer.codebook_sizes[0] * quantizer.codebook_sizes[1] < 1 << 33
    z = torch.randn(4000, 16)
    quantizer.start(z)
    assert float((quantizer(z).vectors - z).square().mean()) < LLOYD_MAX[2]


def test_e8_has_240_neighbours_and_more_shells() -> None:
    norms = (ball_of_e8(8) ** 2).sum(1) // 4
    assert [int((norms == norm).sum()) for norm in (0, 2, 4, 6, 8)] == [1, 240, 2160, 6720, 17520]
    assert [E8(radius, 1.0).codebook_sizes[0] for radius in (2, 4, 6, 8)] == [241, 2401, 9121, 26641]


def test_e8_second_moment_is_that_of_the_literature() -> None:
    """0.0717 against 1/12 of the cubic grid: 0.65 dB."""
    z = 10 * torch.rand(200_000, 8)
    point = nearest_of_e8(z)
    assert float((z - point).square().mean()) == pytest.approx(0.07168, abs=0.0003)
    assert torch.equal(nearest_of_e8(point), point)


def test_lattice_rounding_and_overload_find_the_nearest_point_of_the_ball() -> None:
    quantizer, z = E8(4, 0.8), 0.7 * torch.randn(1500, 8)
    assert torch.equal(quantizer.encode(z)[:, 0], nearest(z / 0.8, quantizer.points))
    outside = nearest_of_e8(z / 0.8).square().sum(1) > 4
    assert 0.2 < outside.float().mean() < 0.8


def test_e8p_is_made_of_256_absolute_vectors() -> None:
    norms = (absolute_vectors() ** 2).sum(1)
    assert ((norms <= 10).sum(), (norms == 12).sum()) == (227, 29)
    points = E8P().points
    assert len(points.unique(dim=0)) == 1 << 16
    assert set(((points - 0.25) % 1).unique().tolist()) <= {0.0, 0.5}
    codes = torch.randint(1 << 16, (1000,))
    shift = torch.where(codes % 2 == 0, -0.25, 0.25)
    assert ((points[codes] - shift[:, None]).sum(1) % 2 == 0).all()


def test_e8p_search_by_signs_is_exhaustive() -> None:
    quantizer, z = E8P(), 1.5 * torch.randn(600, 8)
    found, table = quantizer.encode(z)[:, 0], nearest(z / quantizer.scale, quantizer.points)
    errors = [(z / quantizer.scale - quantizer.points[codes]).square().sum(1) for codes in (found, table)]
    torch.testing.assert_close(*errors)


def test_e8p_error_on_gaussians_is_as_published() -> None:
    """Least near scale 1.03, a fifth below the best scalar levels of 2 bits."""
    z = torch.randn(8192, 8)
    published = {0.95: 0.0948, 1.00: 0.0924, 1.03: 0.0919, 1.06: 0.0921, 1.10: 0.0933}
    errors = {scale: float((E8P(1 / scale)(z).vectors - z).square().mean()) for scale in published}
    assert errors == pytest.approx(published, rel=0.025)
    assert min(errors, key=lambda scale: errors[scale]) in (1.03, 1.06)
    assert errors[1.03] < 0.8 * LLOYD_MAX[2]


def test_signs_of_e8_are_all_reached() -> None:
    corners = torch.tensor(list(product((-1.0, 1.0), repeat=8)))
    points = nearest_of_e8(0.5 * corners)
    even = (corners < 0).sum(1) % 2 == 0
    assert torch.equal(points[even], 0.5 * corners[even])
    assert not torch.equal(points[~even], 0.5 * corners[~even])
