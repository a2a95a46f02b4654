"""How far apart two sounds are for the ear: logarithmic mel spectra at many resolutions, a measure and a training loss.

Kumar et al. 2023 (DAC), "High-Fidelity Audio Compression with Improved RVQGAN", arXiv:2306.06546, section 3.5: windows of 32 to
2048 samples, hops of a quarter, 5 to 320 bins. Bins as in Slaney 1998, "Auditory Toolbox", each of unit area.
"""

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor, nn

WINDOWS = (32, 64, 128, 256, 512, 1024, 2048)
BINS = (5, 10, 20, 40, 80, 160, 320)
FLOOR = 1e-5  # magnitudes below are alike: silence


class MelDistance(nn.Module):
    """Sum over windows of the mean absolute difference of log10 mel magnitudes, floored at 1e-5.

    0 where the sounds are equal; about 1 where a magnitude is wrong by a factor of 1.4 in every bin of all seven windows.
    Hann windows, centred, the signal reflected at its ends. Phases do not count. Differentiable, also in digital silence.
    At low rates some of the narrow bins of the longest window lie between two frequencies of the transform and stay empty.

    Args:
        rate_hz: of both sounds; the highest bin ends at half of it.
        windows: lengths in samples, each a multiple of 4.
        bins: mel bins for each window.
    """

    def __init__(self, rate_hz: int, windows: Sequence[int] = WINDOWS, bins: Sequence[int] = BINS) -> None:
        super().__init__()
        if len(windows) != len(bins) or any(window % 4 for window in windows):
            raise ValueError(f"each window, a multiple of 4, needs its bins, got {list(windows)} and {list(bins)}")
        self.windows = tuple(windows)
        for window, count in zip(windows, bins, strict=True):
            self.register_buffer(f"hann_{window}", torch.hann_window(window), persistent=False)
            self.register_buffer(f"mel_{window}", mel_filters(rate_hz, window, count), persistent=False)

    def forward(self, reference: Tensor, decoded: Tensor, windows: Sequence[int] | None = None) -> Tensor:
        """Two float `(B, T)`, full scale 1, longer than half the longest window, to distances `(B,)`; of `windows` only, if given."""
        if reference.shape != decoded.shape or reference.ndim != 2 or reference.shape[1] <= max(self.windows) // 2:
            raise ValueError(
                f"expected two (B, T) of one shape with more than {max(self.windows) // 2} samples,"
                f" got {tuple(reference.shape)} and {tuple(decoded.shape)}"
            )
        differences = [
            (self.log_mel(reference, window) - self.log_mel(decoded, window)).abs().mean((1, 2))
            for window in (self.windows if windows is None else windows)
        ]
        return torch.stack(differences).sum(0)

    def log_mel(self, waveform: Tensor, window: int) -> Tensor:
        """`(B, T)` to log10 magnitudes `(B, bins, 1 + T // hop)` at one of the windows."""
        hann, filters = self.get_buffer(f"hann_{window}"), self.get_buffer(f"mel_{window}")
        spectrum = torch.stft(waveform.float(), window, window // 4, window=hann, return_complex=True)
        return (filters @ spectrum.abs()).clamp_min(FLOOR).log10()


def mel_filters(rate_hz: int, window: int, bins: int) -> Tensor:
    """`(bins, window // 2 + 1)`: triangles of unit area in Hz, from 0 to half the rate."""
    from torchaudio.functional import melscale_fbanks  # type: ignore[import-untyped]  # here, as only sound needs it

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on empty bins, see `MelDistance`
        filters: Tensor = melscale_fbanks(
            window // 2 + 1, 0.0, rate_hz / 2, bins, rate_hz, norm="slaney", mel_scale="slaney"
        )
    return filters.T.contiguous()
