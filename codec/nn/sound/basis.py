"""Linear lapped transforms from which a backbone starts: the MDCT, or its principal components.

A rotation of the MDCT is again a lapped orthogonal transform (Malvar 1990): with as many directions as samples a hop it is
exact, with fewer it keeps what is strongest. Principal components of the windowed frames themselves would describe each sample
twice and keep less: measured on speech, hop 320 at 16 kHz, the sound came back with 14.4 dB instead of 17.0 from 128 directions,
with 9.6 dB instead of 12.4 from 64.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from codec.nn.sound.overlap import cosine_directions, lapped_frames, sine_window


@dataclass(frozen=True)
class LappedBasis:
    """A linear map of sine-windowed frames, whose transpose is the way back.

    Attributes:
        directions: `(dim, 2 * hop)`.
        step: one unit of the latent, in samples' units; latents then have a mean square of about 1.
    """

    directions: Tensor
    step: float

    @property
    def level(self) -> float:
        """Root mean square of the windowed samples, where latents have a mean square of 1."""
        dim, size = self.directions.shape
        return self.step * math.sqrt(dim / size)


def mdct_basis(dim: int, hop: int, step: float = 1.0) -> LappedBasis:
    """The `dim` lowest frequencies of the MDCT, of at most `hop`."""
    _check_dim(dim, hop)
    return LappedBasis(cosine_directions(hop)[:dim], step)


@torch.no_grad()
def spectral_basis(batches: Iterable[Tensor], dim: int, hop: int) -> LappedBasis:
    """The same, with the step at which latents of sounds `(B, 1, T * hop)` have a mean square of 1."""
    _check_dim(dim, hop)
    variances = _moments(batches, hop).diagonal()[:dim]
    return mdct_basis(dim, hop, float(variances.mean().sqrt()))


@torch.no_grad()
def lapped_basis(batches: Iterable[Tensor], dim: int, hop: int) -> LappedBasis:
    """The `dim` strongest principal components of the MDCT of sounds `(B, 1, T * hop)`, strongest first."""
    _check_dim(dim, hop)
    variances, vectors = torch.linalg.eigh(_moments(batches, hop))
    step = variances.flip(0)[:dim].clamp_min(0).mean().sqrt()
    return LappedBasis((vectors.T.flip(0)[:dim] @ cosine_directions(hop).double()).float(), float(step))


def _check_dim(dim: int, hop: int) -> None:
    if not 1 <= dim <= hop:
        raise ValueError(f"a lapped transform of hop {hop} has 1 to {hop} directions, got {dim}")


def _moments(batches: Iterable[Tensor], hop: int) -> Tensor:
    """Mean products of the coefficients of the MDCT of sounds, float64 `(hop, hop)`."""
    cosines, window = cosine_directions(hop), sine_window(hop)
    count, moments = 0, torch.zeros(hop, hop, dtype=torch.float64)
    for batch in batches:
        rows = (lapped_frames(batch.float(), hop) * window).flatten(0, 1) @ cosines.T
        count, moments = count + len(rows), moments + (rows.T @ rows).double()
    if not moments.any():
        raise ValueError(f"a basis needs sound, got {count} frames of silence")
    return moments / count
