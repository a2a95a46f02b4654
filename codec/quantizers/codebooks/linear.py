"""Codewords as one linear map of a table: SimVQ, and the large frozen codebook of VQGAN-LC.

Zhu et al. 2024, "Addressing Representation Collapse in Vector Quantized Models with One Linear Layer" (SimVQ),
arXiv:2411.02038: the table is random. Zhu et al. 2024, "Scaling the Codebook Size of VQGAN to 100,000" (VQGAN-LC),
arXiv:2406.11837: the table holds features of a trained network. With trained rows: the codebook of OptVQ, arXiv:2412.15195.
"""

from pathlib import Path

import torch
from torch import Tensor, nn

from codec.quantizers.codebooks.moments import match_moments
from codec.quantizers.codebooks.parameterisation import Parameterisation


class SharedLinear(Parameterisation):
    """`rows @ weight.T + bias`; the start gives the codewords the mean and covariance of the data.

    Args:
        dim: D.
        feature_dim: F of the stored rows, at least D; as `dim` unless given.
        features: safetensors file with one `(K, F)` tensor, read at the start of training only: afterwards the rows are
            part of the state.
        trained_rows: the rows learn beside the map.
    """

    def __init__(
        self, dim: int, *, feature_dim: int | None = None, features: str | None = None, trained_rows: bool = False
    ) -> None:
        super().__init__()
        self.feature_dim = feature_dim if feature_dim is not None else dim
        if self.feature_dim < dim:
            raise ValueError(f"feature_dim must be at least dim = {dim}, got {self.feature_dim}")
        self.features = features
        self.frozen = not trained_rows
        self.map = nn.Linear(self.feature_dim, dim)

    def rows(self, codebook_size: int, dim: int) -> Tensor:
        """`(K, F)` Gaussian rows."""
        return super().rows(codebook_size, self.feature_dim)

    def forward(self, rows: Tensor) -> Tensor:
        """`(K, F)` to `(K, D)`."""
        return self.map(rows)

    @torch.no_grad()
    def start(self, rows: Tensor, z: Tensor) -> Tensor:
        """Read the features, if a file has them, and fit the map to `(N, D)` vectors."""
        if self.features is not None:
            rows = read_features(Path(self.features), tuple(rows.shape)).to(rows)
        turn, shift = match_moments(rows, z)
        self.map.weight.copy_(turn)
        self.map.bias.copy_(shift)
        return rows

    @torch.no_grad()
    def invert(self, vectors: Tensor) -> Tensor:
        """The shortest rows whose codewords are `(n, D)` vectors."""
        return (vectors - self.map.bias) @ torch.linalg.pinv(self.map.weight).T


def read_features(path: Path, shape: tuple[int, ...]) -> Tensor:
    """The one tensor of a safetensors file; it must have the given shape."""
    from safetensors.torch import load_file

    tensors = list(load_file(path).values())
    if len(tensors) != 1 or tuple(tensors[0].shape) != shape:
        found = [tuple(tensor.shape) for tensor in tensors]
        raise ValueError(f"{path} must hold one tensor of shape {shape}, got {found}")
    return tensors[0].float()
