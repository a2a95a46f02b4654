"""VMAF, as far as this build of FFmpeg has it.

Li et al. 2016, "Toward A Practical Perceptual Video Quality Metric", Netflix Technology Blog, in libvmaf, with the model that
sharpening does not deceive ("no enhancement gain").
"""

import json
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from torch import Tensor

from codec.errors import UsageError

FILTER, MODEL = "libvmaf", "version=vmaf_v0.6.1neg"


def vmaf_is_available() -> bool:
    """Whether `vmaf` can measure: most builds of PyAV, the usual one from the package index among them, come without."""
    from codec.media.frame_comparison import has_filter  # here: whoever trains needs no FFmpeg

    return has_filter(FILTER)


def vmaf(original: Iterable[Tensor], decoded: Iterable[Tensor]) -> float:
    """The mean over the frames of VMAF NEG: 0 to 100, higher is better.

    Args:
        original: uint8 RGB frames `(3, H, W)` of one shape, at least one.
        decoded: as many of the same shape.

    Raises:
        UsageError: VMAF is not available in this build.
    """
    if not vmaf_is_available():
        raise UsageError(
            "VMAF is not available: this build of FFmpeg has no libvmaf; install a PyAV that was built with it"
        )
    from codec.media.frame_comparison import run_comparison

    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "vmaf.json"
        run_comparison(FILTER, {"model": MODEL, "log_fmt": "json", "log_path": str(log)}, _pairs(original, decoded))
        if not log.exists():
            raise ValueError("a video has at least one frame, got none")
        return mean_of_log(log.read_text())


def mean_of_log(log: str) -> float:
    """Of all frames, from what the filter wrote with `log_fmt=json`."""
    found: dict[str, Any] = json.loads(log)
    return float(found["pooled_metrics"]["vmaf"]["mean"])


def _pairs(original: Iterable[Tensor], decoded: Iterable[Tensor]) -> Iterator[tuple[Any, Any]]:
    """Frames as the filter takes them, the decoded one first."""
    from codec.media.yuv_frames import YuvFrames

    converter = None
    for reference, found in zip(original, decoded, strict=True):
        converter = converter or YuvFrames(*reference.shape[1:])
        yield converter.to_yuv(found), converter.to_yuv(reference)
