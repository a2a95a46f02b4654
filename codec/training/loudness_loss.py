"""Distortion of speech as listeners hear it: differences of loudness over bands of hearing, and what was added counts more.

After the perceptual model of ITU-T P.862 (PESQ; Rix et al. 2001, "Perceptual evaluation of speech quality") and Zwicker, Fastl 1990
for loudness: bands of equal width on the Bark scale (Traunmüller 1990), the threshold of hearing (Terhardt 1979), differences
smaller than a quarter of the lesser loudness masked. What PESQ does for lines is left out: alignment in time, and forgiveness
for slow changes of level and filters, of which a codec should make none.
"""

import torch
from torch import Tensor, nn

WINDOW, BANDS, RATE_HZ = 512, 49, 16_000
SPEECH_DB, ACTIVE = (
    79.0,
    1e-3,
)  # sound pressure of speech at its usual level; root mean square below which a sound is not made louder
EXPONENT = 0.23  # of loudness over power
MASKED = 0.25  # of the lesser loudness: the difference that is not heard
ADDED_EXPONENT, ADDED_FLOOR, ADDED_LEAST, ADDED_MOST = 1.2, 50.0, 3.0, 12.0  # of the asymmetry factor
SMALL = 1e-4


class LoudnessLoss(nn.Module):
    """Distortion of speech at 16 kHz. Terms: `loudness`, the difference of loudness in sone or so; `added_loudness`, of what is too loud.

    Both sounds are heard at the level at which the reference is that of usual speech.
    """

    window: Tensor  # (WINDOW,)
    bands: Tensor  # (BANDS, WINDOW // 2 + 1): which frequencies each band adds up
    threshold: Tensor  # (BANDS, 1): power at the threshold of hearing

    def __init__(self) -> None:
        super().__init__()
        bands, centres = bark_bands()
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)
        self.register_buffer("bands", bands, persistent=False)
        self.register_buffer("threshold", (10 ** (hearing_threshold_db(centres) / 10))[:, None], persistent=False)

    def forward(self, waveform: Tensor, decoded: Tensor) -> dict[str, Tensor]:
        """`(B, C, T)` each, T above a window, to scalars by name."""
        with torch.autocast(decoded.device.type, enabled=False):
            reference, found = (samples.flatten(0, 1).float() for samples in (waveform, decoded))
            level = reference.square().mean(1, keepdim=True).sqrt().clamp_min(ACTIVE)
            heard, made = self.powers(reference / level), self.powers(found / level)
            loudness, other = self._loudness(heard), self._loudness(made)
            difference = other - loudness
            audible = (difference.abs() - MASKED * torch.minimum(loudness, other)).clamp_min(0)
            ratio = ((made + ADDED_FLOOR) / (heard + ADDED_FLOOR)) ** ADDED_EXPONENT
            added = torch.where(ratio < ADDED_LEAST, 0.0, ratio.clamp_max(ADDED_MOST))
            return {
                "loudness": ((audible.square().mean(1) + SMALL**2).sqrt() - SMALL).mean(),
                "added_loudness": (audible * added).mean(),
            }

    def powers(self, samples: Tensor) -> Tensor:
        """`(B, T)` samples of mean square 1 to the powers `(B, BANDS, frames)`, in units of the reference pressure."""
        spectrum = torch.stft(samples, WINDOW, WINDOW // 2, window=self.window, return_complex=True)
        power = (spectrum.real.square() + spectrum.imag.square()) / self.window.square().sum() / (WINDOW / 2)
        return 10 ** (SPEECH_DB / 10) * (self.bands @ power)

    def _loudness(self, power: Tensor) -> Tensor:
        """Zwicker's law; nothing below the threshold."""
        raised = (0.5 + 0.5 * power / self.threshold).clamp_min(1) ** EXPONENT - 1
        return (self.threshold / 0.5) ** EXPONENT * raised


def bark(frequency_hz: Tensor) -> Tensor:
    """Places on the Bark scale (Traunmüller 1990)."""
    return 26.81 * frequency_hz / (1960 + frequency_hz) - 0.53


def bark_bands() -> tuple[Tensor, Tensor]:
    """Which frequencies of the spectrum each band adds up, triangles that overlap by half: `(BANDS, WINDOW // 2 + 1)`; centres in Hz."""
    frequencies = torch.arange(WINDOW // 2 + 1) * RATE_HZ / WINDOW
    edges = torch.linspace(float(bark(torch.tensor(60.0))), float(bark(torch.tensor(RATE_HZ / 2))), BANDS + 2)
    width = edges[1] - edges[0]
    bands = (1 - (bark(frequencies)[None] - edges[1:-1, None]).abs() / width).clamp_min(0)
    narrow = bands.sum(1, keepdim=True) < 1e-3  # between two frequencies: the nearest one
    nearest = (bark(frequencies)[None] - edges[1:-1, None]).abs().argmin(1, keepdim=True)
    bands = torch.where(narrow, torch.zeros_like(bands).scatter_(1, nearest, 1.0), bands)
    centre = edges[1:-1] + 0.53
    return bands, 1960 * centre / (26.81 - centre)


def hearing_threshold_db(frequency_hz: Tensor) -> Tensor:
    """Sound pressure of the softest tone that is heard (Terhardt 1979)."""
    khz = frequency_hz.clamp_min(20) / 1000
    bump = -6.5 * torch.exp(-0.6 * (khz - 3.3) ** 2)
    return (3.64 * khz**-0.8 + bump + 1e-3 * khz**4).clamp_max(60.0)
