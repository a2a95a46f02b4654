"""The sound of a video: in time with its pictures, and read independently of them."""

import io
from fractions import Fraction

import numpy as np
import pytest

from codec.errors import MediaError
from codec.media import VideoFormat, VideoFrame, open_video, video_writer
from codec.media.sound import BLOCK, SoundFormat
from codec.media.video_encoders import KINDS
from tests.media.test_audio import noise, pitches, tones
from tests.media.test_video import waves
from tests.media.test_video_writing import NTSC, written


def flash_and_click(suffix: str, rate: int, start: Fraction, time_base: Fraction, channels: int = 1) -> bytes:
    """A second of video in which one picture flashes, with a click at its beginning."""
    count = int(1 / time_base)
    flash = count // 2
    samples = np.zeros((rate, channels), np.float32)
    place = round((flash * time_base - start) * rate)
    samples[place : place + rate // 200] = 0.8
    format, file = VideoFormat(64, 48, time_base, 1 / time_base), io.BytesIO()
    with video_writer(file, format, suffix, sound=SoundFormat(rate, channels), sound_start=start) as writer:
        for tick in range(count):
            writer.write(VideoFrame(np.full((3, 48, 64), 200 if tick == flash else 20, np.uint8), tick))
            writer.write_sound(samples[tick * rate // count : (tick + 1) * rate // count])
    return file.getvalue()


def seconds_of(data: bytes) -> tuple[float, float]:
    """Of the flash and of the click, from the first picture on."""
    with open_video(data) as reader:
        assert reader.sound is not None
        flashes = [frame.ticks for frame in reader.pictures() if frame.pixels.mean() > 100]
        samples = np.abs(np.concatenate(list(reader.sound.blocks(BLOCK)))).max(1)
        click = int((samples > 0.3 * samples.max()).argmax())
        return float(flashes[0] * reader.format.time_base), float(reader.sound_start) + click / reader.sound.format.rate


@pytest.mark.parametrize("start", [Fraction(0), Fraction(1, 10), Fraction(-1, 7)])
@pytest.mark.parametrize(
    ("suffix", "rate", "time_base"),
    [(".mp4", 48_000, Fraction(1, 20)), (".mp4", 44_100, NTSC), (".mov", 44_100, Fraction(1, 24)), (".mkv", 22_050, NTSC),
     (".webm", 48_000, Fraction(1, 20)), (".webm", 44_100, NTSC), (".mp4", 50_000, Fraction(1, 20))],
)  # fmt: skip
def test_sound_fits_the_pictures(suffix: str, rate: int, time_base: Fraction, start: Fraction) -> None:
    """Whenever it begins, and whether its rate must be converted or not."""
    flash, click = seconds_of(flash_and_click(suffix, rate, start, time_base))
    assert flash == pytest.approx(float(int(1 / time_base) // 2 * time_base), abs=0.0011)
    assert click == pytest.approx(flash, abs=0.003)


@pytest.mark.parametrize(
    ("suffix", "channels"), [(suffix, channels) for suffix in (".mp4", ".webm") for channels in KINDS[suffix].channels]
)
def test_channels_keep_their_order(suffix: str, channels: int) -> None:
    samples, file = tones(48_000, channels, 48_000), io.BytesIO()
    if channels == 6:
        samples[:, 3] = 0.5 * np.sin(
            np.arange(48_000) / 48_000 * 2 * np.pi * 100
        )  # the low frequencies, which encoders cut
    with video_writer(file, VideoFormat(64, 48, Fraction(1)), suffix, sound=SoundFormat(48_000, channels)) as writer:
        writer.write(VideoFrame(waves(1)[0], 0))
        writer.write_sound(samples)
    with open_video(file.getvalue()) as reader:
        assert reader.sound is not None
        again = np.concatenate(list(reader.sound.blocks(BLOCK)))[3000:43_000]
    assert pitches(again, 48_000) == pitches(samples[3000:43_000], 48_000)


def test_sound_and_pictures_are_read_independently() -> None:
    data = flash_and_click(".mp4", 48_000, Fraction(0), Fraction(1, 20))
    with open_video(data) as reader:
        assert reader.sound is not None
        blocks, pictures = reader.sound.blocks(2400), reader.pictures()
        turns = [(len(next(blocks)), next(pictures).ticks) for _ in range(20)]
    with open_video(data) as reader:
        assert reader.sound is not None
        assert [frame.ticks for frame in reader.pictures()] == [ticks for _, ticks in turns]
        assert sum(len(block) for block in reader.sound.blocks(1000)) == 48_000
    assert [length for length, _ in turns] == [2400] * 20


def test_a_video_without_sound() -> None:
    with open_video(written(waves(2), ".mp4")) as reader:
        assert (reader.sound, reader.sound_start) == (None, 0)


def test_samples_that_are_no_numbers() -> None:
    bad = noise(100)
    bad[50] = np.nan
    with (
        pytest.raises(MediaError, match=r"cannot write film: its sample at .* is nan"),
        video_writer(
            io.BytesIO(), VideoFormat(64, 48, Fraction(1)), ".mkv", sound=SoundFormat(48_000, 1), name="film"
        ) as writer,
    ):
        writer.write_sound(bad)
