"""What a classifier is given: spectra of samples, or vectors of files at a bit rate, with the bytes that each takes."""

from pathlib import Path

import torch
from benchmark_classifier import BINS, FRAMES_A_SECOND, as_samples, as_tokens

from codec.models import SoundCodec, load_as
from codec.types import Media

TINY = Path(__file__).parents[1] / "golden" / "tiny-sound"


def test_bytes_are_those_of_the_files_and_of_the_samples() -> None:
    model = load_as(SoundCodec, str(TINY))
    tone = Media("audio", 0.3 * torch.sin(torch.arange(2 * model.rate) / 20)[None], {}, model.rate)
    samples, few, many = (
        as_samples([(tone, 1)], model.rate),
        as_tokens([(tone, 1)], model, 3),
        as_tokens([(tone, 1)], model, 8),
    )
    assert samples.bytes == 2 * 2 * model.rate
    assert few.bytes < many.bytes < samples.bytes / 10
    assert few.bytes <= 3000 / 8 * 2
    assert samples.files[0].vectors.shape == (1, 2 * FRAMES_A_SECOND + 1, BINS)
    assert few.files[0].vectors.shape[1:] == (2 * model.rate // model.hop + 1, model.latent_dim)
    assert [stored.files[0].label for stored in (samples, few, many)] == [1, 1, 1]
