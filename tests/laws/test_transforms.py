"""Every transform config obeys the same laws; the folder is the list."""

from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor, nn

CONFIGS = sorted(Path("configs/model/transform").glob("*.yaml"))
WHOLE_PICTURE = 6  # positions a side of pictures for transforms that declare no halo


def config(path: Path) -> dict[str, Any]:
    return cast(dict[str, Any], OmegaConf.to_container(OmegaConf.load(path)))


@cache
def built(path: Path, part: str, precise: bool) -> Any:
    """Instantiate one half of a config alone; with `precise`, in float64 and with what starts at zero set to random values."""
    torch.manual_seed(0)
    module = instantiate(config(path)[part]).eval()
    return shake(module.double()) if precise else module


@torch.no_grad()
def shake(module: nn.Module) -> nn.Module:
    """Random values in all that starts at zero, so that the whole receptive field shows."""
    for parameter in module.parameters():
        if not parameter.any():
            parameter.normal_(0, 0.1)
    return module


@pytest.fixture(params=CONFIGS, ids=lambda path: path.stem)
def path(request: pytest.FixtureRequest) -> Path:
    return request.param


def latent_dim(path: Path) -> int:
    return config(path)["synthesis"]["latent_dim"]


def stride_of(path: Path) -> int:
    return built(path, "analysis", False).stride


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 5), (3, 2)])
@torch.no_grad()
def test_shapes_for_odd_latents(path: Path, rows: int, columns: int) -> None:
    analysis, synthesis = built(path, "analysis", False), built(path, "synthesis", False)
    stride = analysis.stride
    assert synthesis.stride == stride
    n = analysis(torch.rand(1, 3, stride * rows, stride * columns))
    assert n.shape == (1, latent_dim(path), rows, columns)
    assert synthesis(n, torch.rand(1, 1, rows, columns)).shape == (1, 3, stride * rows, stride * columns)


def call(path: Path, part: str, grid: Tensor, levels: Tensor | None = None) -> Tensor:
    """One half in float64; a synthesis at `levels`, or halfway."""
    if part == "analysis":
        return built(path, part, True)(grid)
    if levels is None:
        levels = grid.new_full((1, 1, *grid.shape[-2:]), 0.5)
    return built(path, part, True)(grid, levels.expand(len(grid), -1, -1, -1))


def probe(path: Path, part: str, columns: int, changed: list[int], vertical: bool) -> Tensor:
    """Which of a strip's positions change with one of them: bool `(len(changed), columns)`."""
    scale_in, channels = (stride_of(path), 3) if part == "analysis" else (1, latent_dim(path))
    strip = torch.rand(1, channels, scale_in, columns * scale_in, dtype=torch.float64).repeat(len(changed) + 1, 1, 1, 1)
    for place, column in enumerate(changed):
        strip[place + 1, ..., column * scale_in : (column + 1) * scale_in] += 3
    if vertical:
        strip = strip.transpose(2, 3)
    after = call(path, part, strip)
    after = after.transpose(2, 3) if vertical else after
    return (after[1:] != after[:1]).any(1).any(1).unflatten(1, (columns, -1)).any(2)


@pytest.mark.parametrize("vertical", [False, True], ids=["across", "down"])
@pytest.mark.parametrize("part", ["analysis", "synthesis"])
@torch.no_grad()
def test_stated_halo_is_true(path: Path, part: str, vertical: bool) -> None:
    """Nothing beyond it changes, and it is not idly wide; without a halo the farthest position changes."""
    module = built(path, part, True)
    if module.halo is None:
        assert probe(path, part, WHOLE_PICTURE, [0, WHOLE_PICTURE - 1], vertical).all()
        return
    alignment = getattr(module, "alignment", 1)
    columns = 2 * module.halo + 3 * alignment
    changed = list(range(module.halo + alignment, module.halo + 2 * alignment))
    reached = probe(path, part, columns, changed, vertical)
    distances = (torch.arange(columns) - torch.tensor(changed)[:, None]).abs()
    reach = int(distances[reached].max())
    assert module.halo - alignment < reach <= module.halo


@pytest.mark.parametrize("part", ["analysis", "synthesis"])
@torch.no_grad()
def test_a_tile_with_its_halo_computes_what_the_picture_does(path: Path, part: str) -> None:
    """Cut on both sides, its origin at the alignment; what declares itself global does not."""
    module = built(path, part, True)
    alignment, halo = getattr(module, "alignment", 1), module.halo or 1
    columns, tile, inner = 2 * halo + 3 * alignment, (alignment, 2 * (alignment + halo)), (halo, halo + alignment)
    scale_in, scale_out = (stride_of(path), 1) if part == "analysis" else (1, stride_of(path))
    channels = 3 if part == "analysis" else latent_dim(path)
    grid = torch.rand(1, channels, scale_in, columns * scale_in, dtype=torch.float64)
    levels = torch.rand(1, 1, 1, columns, dtype=torch.float64)
    whole = cut(call(path, part, grid, levels), tile, scale_out)
    alone = call(path, part, cut(grid, tile, scale_in), cut(levels, tile))
    same = torch.allclose(cut(alone, inner, scale_out), cut(whole, inner, scale_out), rtol=1e-9, atol=1e-9)
    assert same == (module.halo is not None)


def cut(grid: Tensor, columns: tuple[int, int], scale: int = 1) -> Tensor:
    return grid[..., columns[0] * scale : columns[1] * scale]


def test_untrained_synthesis_is_the_same_at_every_level(path: Path) -> None:
    synthesis = built(path, "synthesis", False)
    n = torch.randn(1, latent_dim(path), 2, 3)
    coarse, fine = (synthesis(n, torch.full((1, 1, 2, 3), level)) for level in (0.0, 0.9))
    assert torch.equal(coarse, fine)


@torch.no_grad()
def test_batch_neighbours_do_not_matter(path: Path) -> None:
    """Up to rounding, as kernels differ with the shape they are given."""
    stride = stride_of(path)
    x, levels = (
        torch.rand(3, 3, 3 * stride, 2 * stride, dtype=torch.float64),
        torch.rand(3, 1, 3, 2, dtype=torch.float64),
    )
    analysis, synthesis = built(path, "analysis", True), built(path, "synthesis", True)
    n = analysis(x)
    y = synthesis(n, levels)
    for place in range(len(x)):
        one = slice(place, place + 1)
        torch.testing.assert_close(analysis(x[one]), n[one])
        torch.testing.assert_close(synthesis(n[one], levels[one]), y[one])


@pytest.mark.parametrize("kind", ["black", "white", "noise"])
@pytest.mark.parametrize("shaken", [False, True], ids=["untrained", "shaken"])
def test_gradients_are_finite_everywhere(path: Path, kind: str, shaken: bool) -> None:
    size = (1, 3, 3 * stride_of(path), 2 * stride_of(path))
    x = {"black": torch.zeros(size), "white": torch.ones(size), "noise": torch.rand(size)}[kind]
    analysis, synthesis = (built(path, part, shaken) for part in ("analysis", "synthesis"))
    x = x.to(next(analysis.parameters()).dtype).requires_grad_()
    parameters = [*analysis.parameters(), *synthesis.parameters()]
    y = synthesis(analysis(x), torch.full((1, 1, 3, 2), 0.3, dtype=x.dtype))
    gradients = torch.autograd.grad(y.square().mean(), [x, *parameters])
    assert all(gradient.isfinite().all() for gradient in gradients)
