"""Networks that tell decoded sounds from real ones: by periods, by scales, and by bands of complex spectra.

Kong et al. 2020 (HiFi-GAN: multi-period), arXiv:2010.05646; Kumar et al. 2019 (MelGAN: multi-scale), arXiv:1910.06711; Kumar et al.
2023 (DAC: multi-band multi-scale complex STFT), arXiv:2306.06546; Salimans and Kingma 2016 (weight norm), arXiv:1602.07868.
All are much narrower than there, for training on CPUs.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import weight_norm

from codec.training.discriminators import Judgement, judge

SLOPE = 0.1  # of activations below zero
LOUDNESS, QUIETEST = 0.8, 1e-3  # peak of what is judged; peak below which a sound is not made louder
BANDS = (0.0, 0.1, 0.25, 0.5, 0.75, 1.0)  # of half the rate


class SoundDiscriminator(nn.Module):
    """Several discriminators of sound as one; each sees the sound without its mean, brought to one loudness.

    Args:
        parts: by a name that configs can address.
    """

    def __init__(self, parts: Mapping[str, nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleDict(dict(parts))

    def forward(self, waveform: Tensor) -> list[Judgement]:
        """`(B, 1, T)` to the judgements of all networks of all parts."""
        centred = waveform - waveform.mean(-1, keepdim=True)
        peak = centred.abs().amax(-1, keepdim=True).clamp_min(QUIETEST)
        return [judgement for part in self.parts.values() for judgement in part(LOUDNESS * centred / peak)]


class MultiPeriod(nn.Module):
    """Looks at every p-th sample, in each phase by itself, for several prime periods p: hears what repeats.

    With five layers a logit sees 647 rows, so 647 p samples.

    Args:
        periods: one network each.
        widths: channels of its layers; each but the last keeps a third of the rows.
    """

    def __init__(
        self, periods: Sequence[int] = (2, 3, 5, 7, 11), widths: Sequence[int] = (16, 32, 64, 128, 128)
    ) -> None:
        super().__init__()
        self.periods = tuple(periods)
        self.networks = nn.ModuleList(_period_network(widths) for _ in self.periods)

    def forward(self, waveform: Tensor) -> list[Judgement]:
        """`(B, 1, T)` to a judgement for each period, with logits `(B * p, 1, rows)`: the phases of a sound one after another."""
        return [judge(network, _phases(waveform, p)) for p, network in zip(self.periods, self.networks, strict=True)]


class MultiScale(nn.Module):
    """Looks at the waveform and at coarser ones, means of 2 and 4 samples.

    Args:
        scales: samples that are averaged, one network each.
        widths: channels of its layers; each but the first keeps a fourth of the samples.
    """

    def __init__(self, scales: Sequence[int] = (1, 2, 4), widths: Sequence[int] = (16, 32, 64, 128)) -> None:
        super().__init__()
        self.scales = tuple(scales)
        self.networks = nn.ModuleList(_scale_network(widths) for _ in self.scales)

    def forward(self, waveform: Tensor) -> list[Judgement]:
        """`(B, 1, T)` to a judgement for each scale, with logits `(B, 1, t)`."""
        return [
            judge(network, F.avg_pool1d(waveform, scale, ceil_mode=True))
            for scale, network in zip(self.scales, self.networks, strict=True)
        ]


class MultiBandSTFT(nn.Module):
    """Looks at complex spectra of several windows, in each band of frequencies with layers of its own.

    Args:
        windows: lengths of Hann windows in samples, one network each; hops are a quarter.
        bands: borders in shares of half the rate.
        width: channels of all layers.
    """

    def __init__(
        self, windows: Sequence[int] = (2048, 1024, 512), bands: Sequence[float] = BANDS, width: int = 8
    ) -> None:
        super().__init__()
        self.networks = nn.ModuleList(BandNetwork(window, bands, width) for window in windows)

    def forward(self, waveform: Tensor) -> list[Judgement]:
        """`(B, 1, T)`, T above half the longest window, to a judgement for each window, with logits `(B, 1, frames, t)`."""
        return [network(waveform) for network in self.networks]


class BandNetwork(nn.Module):
    """One window of `MultiBandSTFT`: layers for each band, and one that sees all of them side by side."""

    def __init__(self, window: int, bands: Sequence[float], width: int) -> None:
        super().__init__()
        borders = [round(border * (window // 2 + 1)) for border in bands]
        if any(high - low < 8 for low, high in pairwise(borders)):
            raise ValueError(f"a window of {window} samples has too few frequencies for the bands {list(bands)}")
        self.window, self.borders = window, tuple(pairwise(borders))
        self.networks = nn.ModuleList(_band_network(width) for _ in self.borders)
        self.last = weight_norm(nn.Conv2d(width, 1, 3, padding=1))
        self.register_buffer("hann", torch.hann_window(window), persistent=False)

    def forward(self, waveform: Tensor) -> Judgement:
        """`(B, 1, T)` to logits `(B, 1, frames, t)`, frequencies last."""
        spectrum = torch.stft(
            waveform[:, 0].float(), self.window, self.window // 4, window=self.get_buffer("hann"), return_complex=True
        )
        planes = torch.view_as_real(spectrum).permute(0, 3, 2, 1)
        judged = [
            judge(network, planes[..., low:high])
            for (low, high), network in zip(self.borders, self.networks, strict=True)
        ]
        logits = self.last(torch.cat([band.logits for band in judged], dim=-1))
        return Judgement(logits, tuple(feature for band in judged for feature in band.features))


def _phases(waveform: Tensor, period: int) -> Tensor:
    """`(B, 1, T)` to `(B * period, 1, rows)`; the end is reflected to fill the last row."""
    missing = -waveform.shape[-1] % period
    rows = F.pad(waveform, (0, missing), mode="reflect") if missing else waveform
    return rows.unflatten(-1, (-1, period)).movedim(-1, 1).flatten(0, 1)


def _period_network(widths: Sequence[int]) -> nn.Sequential:
    strides = [3] * (len(widths) - 1) + [1]
    layers: list[nn.Module] = []
    for (before, after), stride in zip(pairwise((1, *widths)), strides, strict=True):
        layers += [weight_norm(nn.Conv1d(before, after, 5, stride, padding=2)), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers, weight_norm(nn.Conv1d(widths[-1], 1, 3, padding=1)))


def _scale_network(widths: Sequence[int]) -> nn.Sequential:
    layers: list[nn.Module] = [weight_norm(nn.Conv1d(1, widths[0], 15, padding=7)), nn.LeakyReLU(SLOPE)]
    for before, after in pairwise(widths):
        layers += [weight_norm(nn.Conv1d(before, after, 17, stride=4, padding=8, groups=4)), nn.LeakyReLU(SLOPE)]
    layers += [weight_norm(nn.Conv1d(widths[-1], widths[-1], 5, padding=2)), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers, weight_norm(nn.Conv1d(widths[-1], 1, 3, padding=1)))


def _band_network(width: int) -> nn.Sequential:
    """Kernels are frames by frequencies; three layers keep half of the frequencies each. The last activation is a feature too."""
    layers: list[nn.Module] = []
    for before, stride in ((2, 1), (width, 2), (width, 2), (width, 2)):
        convolution = nn.Conv2d(before, width, (3, 9), stride=(1, stride), padding=(1, 4))
        layers += [weight_norm(convolution), nn.LeakyReLU(SLOPE)]
    return nn.Sequential(*layers, weight_norm(nn.Conv2d(width, width, 3, padding=1)), nn.LeakyReLU(SLOPE))
