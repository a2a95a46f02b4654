"""Shared fixtures: seeds everywhere, small synthetic pictures."""

import numpy as np
import pytest
import torch
from torch import Tensor


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002 - libraries that draw from the global state


def synthetic_picture(height: int, width: int, seed: int = 0) -> Tensor:
    """Smooth colour, an edge and some texture: uint8 `(3, H, W)`."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    waves = [np.sin(x / random.uniform(5, 40) + y / random.uniform(5, 40) + random.uniform(0, 6)) for _ in range(3)]
    picture = (
        127 + 70 * np.stack(waves) + 40 * (x + 2 * y > (height + width) / 2) + random.normal(0, 4, (3, height, width))
    )
    return torch.from_numpy(picture.clip(0, 255).astype(np.uint8))
