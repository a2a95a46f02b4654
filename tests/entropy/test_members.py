"""What each member is for: it must save what its contexts know, on data made so that the entropy is known."""

import numpy as np
import pytest
import torch
from torch import Tensor

from codec.entropy import (
    FINEST,
    FIXED_POINT,
    ChannelContext,
    GroupedLatentPrior,
    NeighbourTokenPrior,
    RoundedLatent,
    StaticTokenPrior,
    decode_chunk,
    encode_chunk,
    ideal_bits,
    source_of,
    walk,
)
from codec.entropy.latent import OFFSET_UNIT
from tests.entropy.samples import train


@pytest.mark.parametrize("size", [2, 1024, 4096, 1 << 16])
def test_static_tables_cost_almost_the_entropy(size: int) -> None:
    """Rounding to integer frequencies costs less than 0.05 %, whatever the alphabet."""
    hits = (torch.rand(300_000) ** 3 * size).long()
    prior = StaticTokenPrior([size])
    assert ideal_bits(prior, [hits[:1000]]) == pytest.approx(1000 * np.log2(size), rel=1e-3)
    assert abs(prior.freeze([hits[None]])) < 0.05
    counts = torch.bincount(hits, minlength=size).double()
    entropy = -(counts * (counts / counts.sum()).clamp_min(1e-12).log2()).sum()
    assert float(prior.bits([hits[None]])) < 1.01 * float(entropy) + 2 * size
    unseen = torch.arange(size)
    (decoded,) = decode_chunk(prior, prior.layout((size,)), encode_chunk(prior, [unseen]))
    assert torch.equal(decoded, unseen)


def test_static_counts_must_fit() -> None:
    with pytest.raises(ValueError, match="counts of shape"):
        StaticTokenPrior([4]).fit([torch.ones(5)])
    with pytest.raises(ValueError, match="codebook sizes"):
        StaticTokenPrior([1 << 19])


def test_neighbours_save_half_where_half_follows_from_them() -> None:
    """Rows of equal codes: the second checkerboard pass is free, so half the uniform bits remain."""

    def planes(seed: int, batch: int = 16) -> list[Tensor]:
        random = torch.Generator().manual_seed(seed)
        return [torch.randint(64, (batch, 8, 1), generator=random).expand(-1, -1, 8).contiguous()]

    torch.manual_seed(0)
    model = NeighbourTokenPrior([[8, 8]], kernel=(1, 3))
    train(model, planes, steps=80)
    assert abs(model.freeze(planes(1000))) < 0.5
    uniform = 6 * 8 * 8
    assert 0.49 * uniform < ideal_bits(model, [plane[0] for plane in planes(77)]) < 0.56 * uniform


def test_grids_of_sound_pictures_and_video_all_work() -> None:
    model = NeighbourTokenPrior([[3, 4], [5]]).eval()
    model.freeze([torch.randint(size, (2, 4, 4)) for size in model.codebook_sizes])
    for grid in [(7,), (4, 5), (2, 3, 5), (0,), (3, 0, 2)]:
        planes = [torch.randint(size, grid) for size in model.codebook_sizes]
        decoded = decode_chunk(model, model.layout(grid), encode_chunk(model, planes))
        assert all(torch.equal(one, two) for one, two in zip(decoded, planes, strict=True))
    with pytest.raises(ValueError, match="three axes"):
        encode_chunk(model, [torch.zeros(1, 1, 1, 1, dtype=torch.int64)] * 2)


def latents(seed: int, batch: int = 16) -> Tensor:
    """`(B, 4, 16, 16)`: quarters of very different scale; the last two channels follow the first two."""
    random = torch.Generator().manual_seed(seed)
    scale = 0.3 * 60 ** torch.rand(batch, 1, 2, 2, generator=random)
    scale = scale.repeat_interleave(8, 2).repeat_interleave(8, 3)
    first, second = torch.randn(2, batch, 2, 16, 16, generator=random)
    return torch.cat([scale * first, scale * (0.95 * first + 0.31 * second)], 1)


LEVEL = 0.5


def planes_of(model: GroupedLatentPrior, y: Tensor) -> list[Tensor]:
    """Planes `(B, *grid)`, the gain index an offset from 0."""
    grid = (y.shape[2], y.shape[3])
    levels = torch.full((len(y), 1, *grid), LEVEL)
    offsets = torch.full((len(y), *model.layout(grid).grids[0]), LEVEL * FINEST / OFFSET_UNIT)
    return [offsets, model.hyper.analyse(y, levels), *y.split(model.groups, 1)]


@pytest.fixture(scope="module")
def hyperprior() -> GroupedLatentPrior:
    torch.manual_seed(0)
    model = GroupedLatentPrior(
        4, groups=[2, 2], contexts=[ChannelContext()], hyper_channels=2, hyper_width=32, features=32, width=32
    )
    train(model, lambda seed: planes_of(model, latents(seed)), steps=250)
    with torch.no_grad():
        assert abs(model.freeze(planes_of(model, latents(1000)))) < 0.5
    return model


def test_the_hyperprior_knows_scales_and_the_second_slice_knows_the_first(hyperprior: GroupedLatentPrior) -> None:
    """Side information included, it must beat the best single Gaussian, and the second slice must cost less."""
    y = latents(77)
    with torch.no_grad():
        planes = planes_of(hyperprior, y)
    bits = float(hyperprior.bits(planes)) / y.numel()
    one_gaussian = float(torch.log2(y.std() * np.sqrt(2 * np.pi * np.e)))
    assert bits < one_gaussian - 0.5
    streams = encode_chunk(hyperprior, [plane[0] for plane in planes])
    assert len(streams[3]) < 0.8 * len(streams[2])


def test_latents_come_back_within_half_a_step_at_both_ends(hyperprior: GroupedLatentPrior) -> None:
    with torch.no_grad():
        planes = [plane[0] for plane in planes_of(hyperprior, latents(5, batch=1)[:, :, :15, :13])]
    layout = hyperprior.layout((15, 13))
    known = walk(hyperprior, layout, source_of(hyperprior, planes))
    decoded = decode_chunk(hyperprior, layout, encode_chunk(hyperprior, planes))
    for plane in (2, 3):
        assert np.array_equal(decoded[plane].flatten().numpy(), known.codes[plane])
        residual = known.latents[plane] / FIXED_POINT - planes[plane].flatten().double().numpy()
        assert np.abs(residual).max() <= 0.5


def test_huge_latents_are_escaped_and_survive(hyperprior: GroupedLatentPrior) -> None:
    """Whatever stands where symbols are coded at all."""
    layout = hyperprior.layout((2, 2))
    huge = [np.full(size, 10.0**6 * (-1) ** i) for i, size in enumerate(layout.sizes)]
    known = walk(hyperprior, layout, RoundedLatent(huge))
    planes = [torch.from_numpy(codes).reshape(grid) for codes, grid in zip(known.codes, layout.grids, strict=True)]
    assert all(plane.abs().max() > 9e5 for plane in planes[:2])
    decoded = decode_chunk(hyperprior, layout, encode_chunk(hyperprior, planes))
    assert all(torch.equal(one, two) for one, two in zip(decoded, planes, strict=True))
