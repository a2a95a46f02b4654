"""Classical codecs of sound on the same samples, through FFmpeg: real files, decoded back to exactly where they were.

Valin et al. 2012, "Definition of the Opus Audio Codec", RFC 6716, in Ogg (RFC 7845), whose pre-skip and last position say which
samples count; ISO/IEC 13818-3 (MP3), whose header by LAME says how many samples its encoder put before and behind.
"""

import io
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from codec.errors import UsageError
from codec.media.resampling import resampled
from codec.media.sound import Samples, SoundFormat
from codec.types import Media

BLOCK = 1 << 16  # samples decoded at once


@dataclass(frozen=True)
class CodedSound:
    """One sound through one codec.

    Attributes:
        name: the codec's, with its setting.
        data: a whole file.
        decoded: float32 `(C, N)`, the shape of the original.
    """

    name: str
    data: bytes
    decoded: Tensor
    encode_seconds: float
    decode_seconds: float


@dataclass(frozen=True)
class SoundBaseline:
    """A classical codec with a bit rate.

    Attributes:
        names: FFmpeg's, of container and encoder.
        rates: that it has; a sound of another is coded at the next higher one, or the highest.
        curve: bit rates of a report, in kbit/s.
        kinds: of sound that it is for.
        options: of the encoder.
    """

    name: str
    names: tuple[str, str]
    rates: tuple[int, ...]
    curve: tuple[float, ...]
    kinds: tuple[str, ...] = ("speech", "music", "sound")
    options: tuple[tuple[str, str], ...] = ()

    def encode(self, samples: Tensor, rate_hz: int, kbps: float) -> bytes:
        """Float `(C, N)` with full scale 1 to a whole file, at a bit rate that the encoder aims at for its stream alone."""
        from codec.media.sound_encoders import AvWriter  # here: whoever trains needs no FFmpeg

        if kbps <= 0:
            raise UsageError(f"a bit rate is above 0 kbit/s, got {kbps:g}")
        coded_hz = self.coded_rate_hz(rate_hz)
        turned = resampled(np.ascontiguousarray(samples.numpy().T, np.float32), rate_hz, coded_hz)
        options = {"bit_rate": round(1000 * kbps / samples.shape[0])} | dict(self.options)
        file, format = io.BytesIO(), SoundFormat(coded_hz, samples.shape[0])
        writer = AvWriter(file, format, self.names, options=options, failure=f"cannot encode with {self.name}")
        writer.write(turned)
        writer.close()
        return file.getvalue()

    def decode(self, data: bytes, rate_hz: int, frames: int) -> Tensor:
        """A whole file to float32 `(C, frames)` at the rate of the original.

        Encoders may drop a few samples at the end, or round the last block up: silence stands for those, and these are cut.
        """
        from codec.media.av_sound import open_av

        with open_av(io.BytesIO(data), f"a file of {self.name}") as reader:
            decoded: Samples = np.concatenate(list(reader.blocks(BLOCK)))
            turned = resampled(decoded, reader.format.rate, rate_hz)[:frames]
        whole = np.zeros((frames, turned.shape[1]), np.float32)
        whole[: len(turned)] = turned
        return torch.from_numpy(np.ascontiguousarray(whole.T))

    def code(self, media: Media, kbps: float) -> CodedSound:
        """Encode and decode, with the wall time that each took, changes of rate included."""
        started = time.perf_counter()
        data = self.encode(media.samples, media.rate, kbps)
        encoded = time.perf_counter()
        decoded = self.decode(data, media.rate, media.samples.shape[1])
        return CodedSound(f"{self.name} {kbps:g}", data, decoded, encoded - started, time.perf_counter() - encoded)

    def coded_rate_hz(self, rate_hz: int) -> int:
        """The rate at which a sound is given to the encoder."""
        return min((rate for rate in self.rates if rate >= rate_hz), default=max(self.rates))


OPUS_RATES = (8_000, 12_000, 16_000, 24_000, 48_000)
MP3_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)

SOUND_BASELINES = {
    baseline.name: baseline
    for baseline in (
        # As FFmpeg and opusenc are used: 20 ms a packet, variable rate, all of the encoder's effort.
        SoundBaseline("opus", ("ogg", "libopus"), OPUS_RATES, (6, 9, 12, 16, 24)),
        # What Opus can do for a file of speech: longer packets spend less on their heads and on the pages of Ogg.
        SoundBaseline(
            "opus_voip",
            ("ogg", "libopus"),
            OPUS_RATES,
            (6, 9, 12),
            kinds=("speech",),
            options=(("application", "voip"), ("frame_duration", "60")),
        ),
        SoundBaseline("mp3", ("mp3", "libmp3lame"), MP3_RATES, (16, 32, 64)),
    )
}
"""By name, as tools take them."""
