"""Synthetic planes with structure, for any entropy model: its layout and alphabets say what is wanted."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from codec.entropy import Layout, source_of, walk


def structured_planes(model: Any, grid: tuple[int, ...], *, batch: int, seed: int) -> list[Tensor]:
    """Planes `(B, *grid)`: tokens that wander slowly and follow the plane before, latents whose scale varies in space.

    Tokens on a coarser grid than `grid`, or in several groups, wander alike.
    """
    random = torch.Generator().manual_seed(seed)
    grids = model.layout(grid).grids
    walks = torch.zeros(batch, *grid, dtype=torch.int64)
    for axis, side in enumerate(grid, start=1):
        steps = torch.randint(
            0, 2, (batch, *(side if i == axis else 1 for i in range(1, 1 + len(grid)))), generator=random
        )
        walks = walks + steps.cumsum(axis)
    planes = []
    for q, (size, shape) in enumerate(zip(model.codebook_sizes, grids, strict=True)):
        if size:
            noise = torch.randint(0, 2, (batch, *shape), generator=random)
            planes.append((_on_grid(walks, shape) * (size // 16) + 5 * q + noise) % size)
        else:
            spread = torch.exp(torch.randn(batch, shape[0], *(1,) * (len(shape) - 1), generator=random))
            planes.append(spread * torch.randn(batch, *shape, generator=random) + 1)
    return planes


def _on_grid(walks: Tensor, shape: tuple[int, ...]) -> Tensor:
    """`(B, *grid)` seen on a grid that may be coarser and have channels before it."""
    axes = walks.ndim - 1
    for axis, side in enumerate(shape[len(shape) - axes :], start=1):
        walks = walks.index_select(axis, torch.arange(side) * walks.shape[axis] // max(1, side))
    return walks.reshape(len(walks), *(1,) * (len(shape) - axes), *walks.shape[1:])


def codes_of(model: Any, grid: tuple[int, ...], seed: int = 77) -> list[Tensor]:
    """int64 planes of one chunk: latents are rounded against the model's own means."""
    planes = [plane[0] for plane in structured_planes(model, grid, batch=1, seed=seed)]
    known = walk(model, model.layout(grid), source_of(model, planes))
    return as_planes(known.codes, model.layout(grid))


def as_planes(codes: list[np.ndarray], layout: Layout) -> list[Tensor]:
    """Flat codes in their grids."""
    return [torch.from_numpy(flat).reshape(grid) for flat, grid in zip(codes, layout.grids, strict=True)]


def train(model: Any, planes: Any, steps: int, rate: float = 1e-2) -> tuple[float, float]:
    """Minimise the bits of `planes(step)`; returns the mean of the first and of the last five losses."""
    optimizer = torch.optim.Adam(model.parameters(), rate)
    losses = []
    model.train()
    for step in range(steps):
        loss = model.bits(planes(step))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    model.eval()
    return float(np.mean(losses[:5])), float(np.mean(losses[-5:]))
