"""What listeners would say of coded speech, by standards: PESQ for quality, STOI for how well words are understood.

ITU-T P.862.2 (2007), "Wideband extension to Recommendation P.862", in the package `pesq`; Taal et al. 2011, "An Algorithm for
Intelligibility Prediction of Time-Frequency Weighted Noisy Speech", in the package `pystoi`; ViSQOL for all sound. All need the extra
`test`.
"""

import warnings
from importlib import import_module
from types import ModuleType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from codec.errors import UsageError
from codec.evaluation.alignment import align
from codec.media.resampling import resampled

RATE_HZ, FULL_BAND_HZ = 16_000, 48_000  # of wideband PESQ; of ViSQOL for all sound
PACKAGES = {"pesq": "pesq", "pystoi": "pystoi", "visqol": "visqol-python"}
SHORTEST_SECONDS = 0.25


def pesq(reference: Tensor, decoded: Tensor, rate_hz: int, clip: str) -> float:
    """Wideband PESQ of speech: 1.0 to 4.6, higher is better.

    Both sounds are brought to 16 kHz, one time and one level. Raises rather than leave a clip out of a mean.

    Args:
        reference: float `(T,)`, full scale 1, at least a quarter of a second, with speech in it.
        decoded: the same shape.
        rate_hz: of both.
        clip: how errors name it.

    Raises:
        UsageError: the clip cannot be measured, or the package is not installed.
    """
    package, failure = _package("pesq"), f"cannot measure PESQ of {clip}"
    pair = _prepared(reference, decoded, rate_hz, failure)
    if not pair[1].any():
        raise UsageError(f"{failure}: what was decoded is silent")
    try:
        return float(package.pesq(RATE_HZ, *pair, "wb"))
    except package.PesqError as error:
        raise UsageError(f"{failure}: {_said(error)}") from error


def stoi(reference: Tensor, decoded: Tensor, rate_hz: int, clip: str) -> float:
    """Short-time objective intelligibility of speech: about 0 to 1, higher is better, 0 for silence.

    Arguments and errors as of `pesq`; about 0.4 seconds of speech are needed.
    """
    package, failure = _package("pystoi"), f"cannot measure STOI of {clip}"
    pair = _prepared(reference, decoded, rate_hz, failure)
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # with which it returns 1e-5 where speech is too short
        try:
            return float(package.stoi(*pair, RATE_HZ))
        except RuntimeWarning as error:
            raise UsageError(f"{failure}: {_said(error)}") from error


def visqol(reference: Tensor, decoded: Tensor, rate_hz: int, clip: str, *, speech: bool) -> float:
    """ViSQOL's estimate of the mean opinion: 1 to 5, higher is better; its mode for speech at 16 kHz, else that for all sound at 48 kHz.

    Chinen et al. 2020, "ViSQOL v3: An Open Source Production Ready Objective Speech and Audio Metric", arXiv:2004.09584, in the
    package `visqol-python`. In speech mode the older polynomial turns similarity into opinions. Arguments and errors as of `pesq`.
    """
    package, failure = _package("visqol"), f"cannot measure ViSQOL of {clip}"
    rate = RATE_HZ if speech else FULL_BAND_HZ
    pair = _prepared(reference, decoded, rate_hz, failure, rate)
    if not pair[1].any():
        raise UsageError(f"{failure}: what was decoded is silent")
    measure = package.VisqolApi()
    measure.create(mode="speech" if speech else "audio", use_lattice_model=False)
    try:
        return float(measure.measure_from_arrays(*pair, rate).moslqo)
    except (ValueError, RuntimeError) as error:
        raise UsageError(f"{failure}: {_said(error)}") from error


def _prepared(
    reference: Tensor, decoded: Tensor, rate_hz: int, failure: str, wanted_hz: int = RATE_HZ
) -> list[NDArray[np.float64]]:
    """Both at the wanted rate, at one time and level, if they can be measured."""
    if len(reference) < SHORTEST_SECONDS * rate_hz:
        raise UsageError(f"{failure}: it is shorter than {SHORTEST_SECONDS} seconds")
    if not reference.any():
        raise UsageError(f"{failure}: the original is silent")
    at_rate, found_at_rate = (
        torch.from_numpy(resampled(sound.detach().cpu().float()[:, None].numpy(), rate_hz, wanted_hz)[:, 0])
        for sound in (reference, decoded)
    )
    pair = align(at_rate, found_at_rate, wanted_hz)
    return [sound.double().numpy() for sound in (pair.reference, pair.decoded)]


def _package(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ImportError as error:
        raise UsageError(f"this measure needs the package {name}: pip install {PACKAGES[name]}") from error


def _said(error: Exception) -> str:
    """The message of a package, whose messages may be bytes."""
    text = error.args[0] if error.args else type(error).__name__
    return text.decode() if isinstance(text, bytes) else str(text)
