"""What stands between encoder and decoder in the comparison: a quantizer of positions, or one of grids with the features it needs."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from quantizer_media import Medium
from torch import Tensor, nn

from codec.quantizers import DynamicGranularity, Enlarge, Quantizer
from codec.quantizers.base import GridQuantizer
from codec.quantizers.grid.multiscale import CONVOLUTIONS

ROOT = Path(__file__).resolve().parents[1]


class Bottleneck(Protocol):
    """Latents `(B, *grid, D)` to planes of codes and back; a few also look at the samples that the latents come from.

    Attributes:
        alphabets: of the planes.
        maps: planes in front that are no codes but say where there are codes: they count in bits alone.
        multiple: of the grid's sides.
    """

    alphabets: tuple[int, ...]
    maps: int
    multiple: int

    def start(self, latents: Tensor, samples: Sequence[Tensor]) -> None:
        """Set what depends on data, from all latents and the batches they come from."""

    def encode(self, latents: Tensor, samples: Tensor) -> list[Tensor]:
        """Planes, int64 `(B, *grid)` each."""

    def decode(self, planes: Sequence[Tensor]) -> Tensor:
        """What the decoder gets, `(B, *grid, D)`."""

    def used(self, planes: Sequence[Tensor]) -> list[Tensor]:
        """The codes of each plane that a decoder needs, flat."""

    def __call__(self, latents: Tensor, samples: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """What the decoder gets, with gradients, and the losses by name."""


class Positions(nn.Module):
    """Each position by itself."""

    maps, multiple = 0, 1

    def __init__(self, quantizer: Quantizer, latent_dim: int) -> None:
        super().__init__()
        if quantizer.dim != latent_dim:
            raise ValueError(f"the comparison is at {latent_dim} dimensions, this quantizer has {quantizer.dim}")
        self.quantizer, self.alphabets = quantizer, quantizer.codebook_sizes

    def start(self, latents: Tensor, samples: Sequence[Tensor]) -> None:
        """From all positions."""
        self.quantizer.start(latents.flatten(0, -2))

    def encode(self, latents: Tensor, samples: Tensor) -> list[Tensor]:
        """One plane a code of a position."""
        return list(self.quantizer.encode(latents).unbind(-1))

    def decode(self, planes: Sequence[Tensor]) -> Tensor:
        """The vectors."""
        return self.quantizer.decode(torch.stack(list(planes), -1))

    def used(self, planes: Sequence[Tensor]) -> list[Tensor]:
        """All."""
        return [plane.flatten() for plane in planes]

    def forward(self, latents: Tensor, samples: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The vectors."""
        quantized = self.quantizer(latents)
        return quantized.vectors, quantized.losses


class Coarsen(nn.Module):
    """`(B, *grid, D)` to a coarser grid by a strided convolution that begins as the mean of a cell."""

    def __init__(self, dim: int, factor: int, axes: int) -> None:
        super().__init__()
        self.convolution = CONVOLUTIONS[axes](dim, dim, factor, stride=factor)
        with torch.no_grad():
            mean = torch.eye(dim) / factor**axes
            self.convolution.weight.copy_(mean.reshape(dim, dim, *[1] * axes).expand_as(self.convolution.weight))
            nn.init.zeros_(self.convolution.bias)  # type: ignore[arg-type]

    def forward(self, latents: Tensor) -> Tensor:
        """Shapes as in the class text."""
        coarse: Tensor = self.convolution(latents.movedim(-1, 1))
        return coarse.movedim(1, -1)


class Grids(nn.Module):
    """A grid quantizer: coarser features by strided convolutions of the latents, one from the other.

    The decoder gets the finest vectors, and what linear maps that begin at zero make of the coarser ones where the quantizer gives
    them. A guide, where the quantizer wants one, has the medium's stride.
    """

    def __init__(self, quantizer: GridQuantizer, medium: Medium) -> None:
        super().__init__()
        latent_dim, axes = medium.latent_dim, medium.axes
        self.guide = medium.guide if quantizer.dims[0] == 1 else None
        first = int(self.guide is not None)
        strides, dims = quantizer.strides[first:], quantizer.dims[first:]
        if quantizer.axes != axes or set(dims) != {latent_dim} or strides[0] != (medium.stride if first else 1):
            raise ValueError(
                f"the comparison is at {latent_dim} dimensions on {axes} axes with {medium.stride} samples a position,"
                f" this quantizer is at {quantizer.dims}, {quantizer.axes} and strides {quantizer.strides}"
            )
        self.quantizer, self.alphabets = quantizer, quantizer.codebook_sizes
        self.maps = quantizer.levels - 1 if isinstance(quantizer, DynamicGranularity) else 0
        self.multiple = strides[-1] // strides[0]
        factors = [after // before for before, after in pairwise(strides)]
        self.coarsen = nn.ModuleList(Coarsen(latent_dim, factor, axes) for factor in factors)
        given = _grids_given(quantizer)
        self.enlarge = nn.ModuleList(
            Enlarge(latent_dim, latent_dim, stride // strides[0], axes) for stride in strides[1:given]
        )
        for parameter in self.enlarge.parameters():
            nn.init.zeros_(parameter)

    def start(self, latents: Tensor, samples: Sequence[Tensor]) -> None:
        """From all batches as one."""
        self.quantizer.start(self._features(latents, samples))

    def encode(self, latents: Tensor, samples: Tensor) -> list[Tensor]:
        """As the quantizer orders them."""
        return self.quantizer.encode(self._features(latents, [samples]))

    def decode(self, planes: Sequence[Tensor]) -> Tensor:
        """The vectors of all grids as one grid."""
        return self._merged(self.quantizer.decode(planes))

    def used(self, planes: Sequence[Tensor]) -> list[Tensor]:
        """All, but of dynamic granularity those that the splits leave."""
        if not isinstance(self.quantizer, DynamicGranularity):
            return [plane.flatten() for plane in planes]
        levels = self.quantizer.used(planes)
        reached = [level | split.bool() for level, split in zip(levels, planes[: self.maps], strict=False)]
        width = (len(planes) - self.maps) // len(levels)
        masks = reached + [level for level in levels for _ in range(width)]
        return [plane[mask] for plane, mask in zip(planes, masks, strict=True)]

    def forward(self, latents: Tensor, samples: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The vectors of all grids as one grid."""
        quantized = self.quantizer(self._features(latents, [samples]))
        return self._merged(quantized.vectors), quantized.losses

    def _features(self, latents: Tensor, samples: Sequence[Tensor]) -> list[Tensor]:
        features = [latents]
        for coarsen in self.coarsen:
            features.append(coarsen(features[-1]))
        return features if self.guide is None else [torch.cat([self.guide(batch) for batch in samples]), *features]

    def _merged(self, vectors: Sequence[Tensor]) -> Tensor:
        merged = vectors[0]
        for enlarge, coarse in zip(self.enlarge, vectors[1:], strict=True):
            merged = merged + enlarge(coarse)
        return merged


def _grids_given(quantizer: GridQuantizer) -> int:
    """How many grids of vectors the quantizer decodes to."""
    grid = (max(quantizer.strides),) * quantizer.axes
    return len(quantizer.decode([torch.zeros(1, *shape, dtype=torch.int64) for shape in quantizer.layout(grid)]))


def build_bottleneck(row: str, changes: Mapping[str, Any], medium: Medium) -> Bottleneck:
    """A config of `configs/model/quantizer` or `grid_quantizer`, with changes; its folder says which kind it is."""
    folder = ROOT / "configs" / "model"
    path = folder / "quantizer" / f"{row}.yaml"
    if path.is_file():
        return Positions(_build(path, changes), medium.latent_dim)
    return Grids(_build(folder / "grid_quantizer" / path.name, changes), medium)


def _build(path: Path, changes: Mapping[str, Any]) -> Any:
    """A whole number for a list keeps so many of its entries."""
    config = OmegaConf.to_container(OmegaConf.load(path))
    for key, value in changes.items():
        change(config, key.split("."), value)
    return instantiate(OmegaConf.create(config))


def change(node: Any, path: list[str], value: Any) -> None:
    """Set what a path names; `*` is every entry of a list."""
    head, *rest = path
    if head == "*":
        for entry in node:
            change(entry, rest, value)
    elif rest:
        change(node[int(head) if isinstance(node, list) else head], rest, value)
    elif isinstance(node.get(head), list) and isinstance(value, int):
        del node[head][value:]
    else:
        node[head] = value
