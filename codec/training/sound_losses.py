"""Distortions of sound: the waveform itself, spectra at several resolutions, and the mel distance.

Yamamoto et al. 2020, "Parallel WaveGAN", arXiv:1910.11480 (spectral convergence and log magnitudes); Kumar et al. 2023 (DAC),
arXiv:2306.06546 (mel distance); Défossez et al. 2022 (EnCodec), arXiv:2210.13438 (absolute error of the waveform).
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from codec.evaluation.mel_distance import MelDistance

WINDOWS = (512, 1024, 2048)
FLOOR = 1e-5  # magnitudes below are alike: silence
QUIET = 1e-3  # mean magnitude of a reference below which its errors count as if it were so loud


class WaveformLoss(nn.Module):
    """Distortion of samples with full scale 1. Terms: `waveform_l1`, the mean absolute error; `waveform_l2`, the mean square.

    Without either, phases are free. The square is of loud places alone; the absolute value is the usual choice.

    Args:
        absolute: compute `waveform_l1`.
        squared: compute `waveform_l2`.
    """

    def __init__(self, absolute: bool = True, squared: bool = False) -> None:
        super().__init__()
        if not absolute and not squared:
            raise ValueError("a waveform loss needs the absolute error, the squared one, or both")
        self.absolute, self.squared = absolute, squared

    def forward(self, waveform: Tensor, decoded: Tensor) -> dict[str, Tensor]:
        """`(B, C, T)` each to scalars by name."""
        error, terms = decoded.float() - waveform.float(), {}
        if self.absolute:
            terms["waveform_l1"] = error.abs().mean()
        if self.squared:
            terms["waveform_l2"] = error.square().mean()
        return terms


class SpectralLoss(nn.Module):
    """Distortion of magnitude spectra at several resolutions, each with the same weight.

    Terms: `spectral_convergence`, the norm of the error over that of the reference, which follows the loud partials;
    `log_magnitude`, the mean absolute difference of natural logarithms, which hears the quiet ones. Both are means over sounds,
    and finite, with finite gradients, in digital silence.

    Args:
        windows: lengths of Hann windows in samples; hops are a quarter.
    """

    def __init__(self, windows: Sequence[int] = WINDOWS) -> None:
        super().__init__()
        if not windows or any(window % 4 for window in windows):
            raise ValueError(f"windows must be multiples of 4, got {list(windows)}")
        self.windows = tuple(windows)
        for window in windows:
            self.register_buffer(f"hann_{window}", torch.hann_window(window), persistent=False)

    def forward(self, waveform: Tensor, decoded: Tensor) -> dict[str, Tensor]:
        """`(B, C, T)` each, T above half the longest window, to scalars by name."""
        convergences, logarithms = [], []
        for window in self.windows:
            reference, found = (self._magnitudes(samples, window) for samples in (waveform, decoded))
            error = (found - reference).square().sum((1, 2)).clamp_min(FLOOR**2).sqrt()
            least = QUIET * reference[0].numel() ** 0.5
            convergences.append((error / reference.square().sum((1, 2)).sqrt().clamp_min(least)).mean())
            logarithms.append((found.clamp_min(FLOOR).log() - reference.clamp_min(FLOOR).log()).abs().mean())
        return {
            "spectral_convergence": torch.stack(convergences).mean(),
            "log_magnitude": torch.stack(logarithms).mean(),
        }

    def _magnitudes(self, samples: Tensor, window: int) -> Tensor:
        """`(B, C, T)` to `(B * C, window // 2 + 1, frames)`."""
        hann = self.get_buffer(f"hann_{window}")
        flat = samples.flatten(0, 1).float()
        return torch.stft(flat, window, window // 4, window=hann, return_complex=True).abs()


class MelLoss(nn.Module):
    """Distortion of sound as reports measure it. Term: `mel`, the mean of `MelDistance`, in full precision.

    Args:
        rate_hz: of the sounds.
        windows_at_once: how many of the windows each training step looks at, in turn, for the same sum in the mean; all if not given.
    """

    calls: Tensor  # () in training, so that a resumed run goes on with the windows whose turn it is

    def __init__(self, rate_hz: int, windows_at_once: int | None = None) -> None:
        super().__init__()
        self.distance = MelDistance(rate_hz)
        self.count = len(self.distance.windows) if windows_at_once is None else windows_at_once
        if not 1 <= self.count <= len(self.distance.windows):
            raise ValueError(
                f"1 to {len(self.distance.windows)} windows can be looked at at once, got {windows_at_once}"
            )
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64), persistent=windows_at_once is not None)

    def forward(self, waveform: Tensor, decoded: Tensor) -> dict[str, Tensor]:
        """`(B, C, T)` each, more than 1024 samples, to scalars by name."""
        windows = self.distance.windows
        if self.training and self.count < len(windows):
            first = self.count * int(self.calls)
            self.calls += 1
            windows = tuple(windows[(first + i) % len(windows)] for i in range(self.count))
        share = len(windows) / len(self.distance.windows)
        with torch.autocast(
            decoded.device.type, enabled=False
        ):  # its filters are a product, of which bfloat16 keeps 8 bits
            found = self.distance(waveform.flatten(0, 1), decoded.flatten(0, 1), windows)
            return {"mel": found.mean() / share}
