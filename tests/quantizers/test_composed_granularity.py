"""Granularity that follows the picture: where fine codes go, how many, and that tiles and rates agree."""

import copy

import pytest
import torch
from torch import Tensor

from codec.quantizers import DynamicGranularity, EMACodebook, LearnedRouter, PatchEntropy, VectorQuantizer
from codec.quantizers.grid.resampling import area, repeat, resample
from codec.quantizers.grid.routers import occupancy


def half_textured(batch: int, height: int, width: int, dim: int = 1) -> Tensor:
    """Flat on the left, textured on the right."""
    picture = torch.full((batch, height, width, dim), 0.3)
    picture[:, :, width // 2 :] = torch.rand(batch, height, width - width // 2, dim) * 2 - 1
    return picture


def by_entropy(ratios: tuple[float, ...] = (0.25, 0.25), region: int = 8) -> DynamicGranularity:
    """Levels of 4, 8 ... pixels."""
    table = VectorQuantizer(EMACodebook(32, 4, kmeans_iterations=3))
    return DynamicGranularity(table, PatchEntropy(ratios, region=region))


def with_features(gray: Tensor, quantizer: DynamicGranularity) -> list[Tensor]:
    grid = gray.shape[1:-1]
    return [gray, *(torch.randn(len(gray), *(side // s for side in grid), 4) for s in quantizer.strides[1:])]


def areas(used: list[Tensor]) -> list[float]:
    return [float(mask.float().mean()) for mask in used]


def test_fine_codes_go_where_the_picture_is_textured_and_shares_are_exact() -> None:
    quantizer = by_entropy((0.5, 0.25))
    planes = quantizer.encode(with_features(half_textured(2, 128, 128), quantizer))
    used = quantizer.used(planes)
    assert areas(used) == [0.5, 0.25, 0.25]
    assert used[0][:, :, :4].all()
    assert not used[2][:, :, : used[2].shape[2] // 2].any()
    cells = torch.stack([repeat(mask.float(), 4 >> i, 2) for i, mask in enumerate(used)]).sum(0)
    assert torch.equal(cells, torch.ones_like(cells))
    for mask, plane in zip(used, planes[2:], strict=True):
        assert not plane[~mask].any()


def test_shares_hold_in_a_flat_picture_and_in_each_picture_of_a_batch() -> None:
    quantizer = by_entropy((0.25, 0.5))
    gray = torch.cat([torch.zeros(1, 128, 128, 1), half_textured(1, 128, 128)])
    used = quantizer.used(quantizer.encode(with_features(gray, quantizer)))
    for example in range(2):
        assert areas([mask[example] for mask in used]) == [0.25, 0.5, 0.25]


@pytest.mark.parametrize("ratios", [(1.0, 0.0), (0.0, 1.0), (0.0, 0.0)])
def test_one_granularity_alone(ratios: tuple[float, ...]) -> None:
    quantizer = by_entropy(ratios)
    used = quantizer.used(quantizer.encode(with_features(half_textured(1, 64, 96), quantizer)))
    assert areas(used) == [ratios[0], ratios[1], 1 - sum(ratios)]


def test_codes_grow_with_the_share_of_fine_cells_at_run_time() -> None:
    quantizer = by_entropy()
    features = with_features(half_textured(1, 128, 128), quantizer)
    counts = []
    for fine in (0.0, 0.1, 0.3, 0.6, 1.0):
        quantizer.router.set_ratios(((1 - fine) / 2, (1 - fine) / 2))  # type: ignore[attr-defined]
        counts.append(sum(int(mask.sum()) for mask in quantizer.used(quantizer.encode(features))))
    assert counts == sorted(set(counts))
    assert counts[-1] == 32 * 32
    for wrong in ((0.7, 0.6), (0.5,), (-0.1, 0.5)):
        with pytest.raises(ValueError, match=r"expected 2 shares of at most 1 together, got"):
            quantizer.router.set_ratios(wrong)  # type: ignore[attr-defined]


def test_tiles_of_whole_regions_agree_with_the_whole_picture() -> None:
    quantizer = by_entropy(region=2)  # 32 pixels
    features = with_features(torch.randn(1, 64, 160, 1) / 3, quantizer)
    whole = quantizer.encode(features)
    right = [feature[:, :, feature.shape[2] * 64 // 160 :] for feature in features]
    for plane, tile in zip(whole, quantizer.encode(right), strict=True):
        assert torch.equal(plane[:, :, plane.shape[2] * 64 // 160 :], tile)


def test_entropy_is_that_of_the_paper_on_gray_levels() -> None:
    """Soft histogram of 32 bins on [-1, 1], kernels 0.01 wide."""
    gray = (torch.randint(0, 256, (3, 16, 32, 1)) / 127.5 - 1).double()
    bins = torch.linspace(-1, 1, 32, dtype=torch.float64)
    patches = gray.squeeze(-1).unfold(1, 8, 8).unfold(2, 8, 8).flatten(-2)
    histogram = torch.exp(-0.5 * ((patches[..., None] - bins) / 0.01) ** 2).mean(-2)
    shares = histogram / histogram.sum(-1, keepdim=True)
    expected = -(shares * (shares + 1e-40).log()).sum(-1)
    found = PatchEntropy((0.5,))._entropy(gray.squeeze(-1).float(), 8) / 2**20
    torch.testing.assert_close(found.double(), expected, atol=1e-4, rtol=0)


def learned(target: float = 0.5, levels: int = 2) -> DynamicGranularity:
    table = VectorQuantizer(EMACodebook(32, 6, kmeans_iterations=3))
    return DynamicGranularity(table, LearnedRouter(6, levels, target=target, hidden=16))


def fine_and_coarse(batch: int, side: int = 8) -> list[Tensor]:
    fine = half_textured(batch, side, side, 6)
    fine = fine + torch.arange(6) / 6
    return [fine, resample(fine, (side // 2, side // 2), area)]


def test_quantizing_each_level_alone_equals_the_repeated_map_of_the_paper() -> None:
    quantizer, features = learned(), fine_and_coarse(3)
    quantizer.start(features)
    quantizer.eval()
    planes = quantizer.encode(features)
    coarse = quantizer.used(planes)[0]
    assert coarse.any()
    assert not coarse.all()
    mixed = torch.where(repeat(coarse, 2, 2)[..., None], repeat(features[1], 2, 2), features[0])
    torch.testing.assert_close(quantizer(features).vectors[0], quantizer.quantizer(mixed).vectors)


def test_gates_count_every_cell_once_on_three_levels() -> None:
    splits = [torch.randint(0, 2, (2, 3, 4)).float(), torch.randint(0, 2, (2, 6, 8)).float()]
    levels = occupancy(splits, 2)
    cells = torch.stack([repeat(level, 4 >> i, 2) for i, level in enumerate(levels)]).sum(0)
    assert torch.equal(cells, torch.ones(2, 12, 16))


def test_budget_is_zero_at_the_target_and_one_at_its_far_end() -> None:
    router = LearnedRouter(6, target=0.0)
    for bias, expected in ((-50.0, 0.0), (50.0, 1.0)):
        with torch.no_grad():
            router.deciders[0][-1].bias.fill_(bias)  # type: ignore[index]
        assert float(router(fine_and_coarse(2)).losses["budget"].detach()) == pytest.approx(expected)


def test_router_learns_to_spend_fine_codes_on_texture_within_the_budget() -> None:
    """DQ-VAE's claim on pictures half flat and half textured: over 90 % of fine cells on the texture, the mean within 3 %."""
    quantizer = learned()
    quantizer.start(fine_and_coarse(16))
    optimizer = torch.optim.Adam(quantizer.parameters(), 6e-2)
    for _ in range(40):
        features = fine_and_coarse(8)
        out = quantizer(features)
        loss = (out.vectors[0] - features[0]).square().mean() + out.losses["budget"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    used = quantizer.eval().used(quantizer.encode(fine_and_coarse(32)))
    fine = used[1]
    assert float(fine[:, :, 4:].sum() / fine.sum()) > 0.9
    assert float(fine.float().mean()) == pytest.approx(0.5, abs=0.03)


def test_router_draws_in_training_alone_and_continues_from_its_counter() -> None:
    quantizer, features = learned().train(), fine_and_coarse(4)
    quantizer.start(features)
    other = copy.deepcopy(quantizer)
    drawn = [quantizer(features).planes[0] for _ in range(6)]
    assert any(not torch.equal(drawn[0], splits) for splits in drawn[1:])
    other.router.updates.fill_(3)  # type: ignore[attr-defined]
    assert torch.equal(other(features).planes[0], drawn[3])
    assert torch.equal(quantizer.encode(features)[0], quantizer.encode(features)[0])
