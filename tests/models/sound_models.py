"""A small sound codec whose networks do something, and sounds for it."""

import math

import torch
from torch import Tensor

from codec.models import SoundCodec
from codec.nn import LappedDecoder, LappedEncoder, mdct_basis
from codec.quantizers import EMACodebook, GainShape, Residual, VectorQuantizer
from codec.types import Media

DIM, HOP, RATE = 12, 40, 8000


def tones(length: int, channels: int = 1, rate: int = RATE) -> Media:
    """A few tones that come and go, another in each channel."""
    time = torch.arange(length) / rate
    sounds = [
        0.3 * (2 * math.pi * 5 * time).sin().clamp_min(0) * (2 * math.pi * 220 * (channel + 1) * time).sin()
        for channel in range(channels)
    ]
    return Media("audio", torch.stack(sounds), rate=rate)


def sound_codec(block: int = 8) -> SoundCodec:
    """Residual codes behind a gain; the blocks of its networks are not at rest."""
    torch.manual_seed(0)
    sizes = {"hop": HOP, "width": 8, "depth": 2, "kernel": 3}
    encoder, decoder = LappedEncoder(DIM, **sizes), LappedDecoder(DIM, **sizes)
    for backbone in (encoder, decoder):
        backbone.start_from(mdct_basis(DIM, HOP, 0.1))
        for parameter in backbone.shaping.leave.parameters():
            torch.nn.init.normal_(parameter, std=0.02)
    stages = [VectorQuantizer(EMACodebook(16, DIM, kmeans_iterations=5)) for _ in range(3)]
    model = SoundCodec(encoder, GainShape(Residual(stages), 16), decoder, latent_dim=DIM, rate=RATE, block=block)
    model.quantizer.start(torch.randn(2000, DIM))
    return model.eval()


def pieces(samples: Tensor, length: int) -> list[Tensor]:
    """`(C, N)` cut into pieces of a length."""
    return list(samples.split(length, 1))
