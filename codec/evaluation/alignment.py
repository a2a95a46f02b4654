"""Two sounds brought to one time and one loudness, before measures that are about neither."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

REACH_SECONDS = 0.05  # a codec that is later than this is at fault


@dataclass(frozen=True)
class Alignment:
    """A pair after alignment.

    Attributes:
        reference, decoded: `(T,)` each, where both sounds are: as much shorter than they were as they were apart.
        delay: samples by which the decoded sound was late; negative where it was early.
        gain: by which it was multiplied, to have the energy of the reference.
    """

    reference: Tensor
    decoded: Tensor
    delay: int
    gain: float


def align(reference: Tensor, decoded: Tensor, rate_hz: int, reach_seconds: float = REACH_SECONDS) -> Alignment:
    """Take off a delay of at most `reach_seconds` either way, and match the level.

    Args:
        reference: `(T,)`, full scale 1.
        decoded: the same shape.
        rate_hz: of both.
        reach_seconds: delays that are tried.
    """
    if reference.shape != decoded.shape or reference.ndim != 1 or not len(reference):
        raise ValueError(
            f"expected two sounds (T,) of one length, got {tuple(reference.shape)} and {tuple(decoded.shape)}"
        )
    delay = find_delay(reference, decoded, min(round(reach_seconds * rate_hz), len(reference) - 1))
    length = len(reference) - abs(delay)
    early, late = max(0, -delay), max(0, delay)
    target, found = reference[early : early + length], decoded[late : late + length]
    wanted, energy = (float(sound.double().square().sum()) for sound in (target, found))
    gain = (wanted / energy) ** 0.5 if energy > 0 else 1.0
    return Alignment(target, found * gain, delay, gain)


def find_delay(reference: Tensor, decoded: Tensor, reach: int) -> int:
    """The shift of at most `reach` samples at which two sounds `(T,)` correlate best; of equal ones the smallest."""
    length = 1 << (len(reference) + reach).bit_length()  # so that no end meets the other
    spectra = [np.fft.rfft(sound.double().numpy(), length) for sound in (reference, decoded)]
    correlation = np.fft.irfft(spectra[0].conj() * spectra[1], length)
    shifts = np.array(sorted(range(-reach, reach + 1), key=abs))
    values = correlation[shifts]
    close = values >= values.max() - 1e-9 * np.abs(values).max()  # rounding must not choose
    return int(shifts[np.argmax(close)])
