"""Sound written and read again: equal where it can be, block by block or at once, in every format."""

import io
import subprocess
import sys
import tracemalloc
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from codec.errors import MediaError, UsageError
from codec.media import AUDIO_SUFFIXES, open_sound, read_sound, sound_writer, write_sound
from codec.media.audio import read_mono
from codec.media.samples import to_integers
from codec.media.sound import ENCODINGS, Encoding, Samples, SoundFormat
from codec.media.sound_writing import WRITABLE
from codec.media.wav_writing import pack_wav_head
from codec.types import Media

TAGS = {"title": "Früh", "artist": "Wer", "album": "Was", "date": "2020", "tracknumber": "3"}


def noise(frames: int, channels: int = 1, seed: int = 0) -> Samples:
    """float32 `(frames, channels)` over most of the scale."""
    return np.random.default_rng(seed).uniform(-0.9, 0.9, (frames, channels)).astype(np.float32)


def tones(frames: int, channels: int, rate: int) -> Samples:
    """A tone in each channel, 300, 400, … Hz; codecs keep them."""
    seconds = np.arange(frames)[:, None] / rate
    return (0.3 * np.sin(2 * np.pi * (300 + 100 * np.arange(channels)) * seconds)).astype(np.float32)


def pitches(samples: Samples, rate: int) -> list[int]:
    """The strongest frequency of each channel, to the nearest 100 Hz."""
    peaks = np.abs(np.fft.rfft(samples, axis=0)).argmax(0) * rate / len(samples)
    return [round(peak / 100) * 100 for peak in peaks]


def written(
    samples: Samples,
    suffix: str = ".wav",
    rate: int = 24_000,
    encoding: Encoding = "PCM_16",
    tags: Mapping[str, str] | None = None,
) -> bytes:
    """A file of the samples, in two blocks."""
    file = io.BytesIO()
    with sound_writer(file, SoundFormat(rate, samples.shape[1], encoding, tags or {}), suffix) as writer:
        writer.write(samples[: len(samples) // 3])
        writer.write(samples[len(samples) // 3 :])
    return file.getvalue()


def read(data: bytes | Path, size: int = 1000) -> Samples:
    """All samples `(n, C)`."""
    with open_sound(data) as reader:
        return np.concatenate(list(reader.blocks(size)))


@pytest.mark.parametrize("channels", [1, 2, 3, 8])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_wav_keeps_every_bit(encoding: Encoding, channels: int) -> None:
    first = read(written(noise(777, channels), encoding=encoding))  # now as the encoding has them
    data = written(first, encoding=encoding)
    with open_sound(data) as reader:
        assert (reader.format.encoding, reader.format.channels, reader.frames) == (encoding, channels, 777)
    assert np.array_equal(read(data), first)
    known, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    assert rate == 24_000
    assert np.array_equal(known, first)


@pytest.mark.parametrize("kind", ["int16", "int32"])
@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_integers_of_another_writer_survive(suffix: str, kind: str) -> None:
    """The extremes too; of 32 bits the upper 24, which is what float32 and FLAC have."""
    random, limits = np.random.default_rng(0), np.iinfo(kind)
    values: NDArray[np.signedinteger] = random.integers(limits.min, limits.max, (500, 2), kind, endpoint=True)
    values[:2] = [[limits.min, limits.max], [0, -1]]
    subtype: Encoding = "PCM_16"
    if kind == "int32":
        values, subtype = values & ~np.int32(255), "PCM_24"
    source = io.BytesIO()
    soundfile.write(source, values, 44_100, subtype, format=suffix[1:])
    data = written(read(source.getvalue()), suffix, 44_100, subtype)
    again, _ = soundfile.read(io.BytesIO(data), dtype=kind)
    assert np.array_equal(again, values)


@pytest.mark.parametrize("suffix", WRITABLE)
@pytest.mark.parametrize("channels", [1, 2])
def test_every_format_keeps_length_rate_and_pitch(suffix: str, channels: int) -> None:
    samples = tones(24_000, channels, 24_000)
    data = written(samples, suffix)
    with open_sound(data) as reader:
        assert (reader.format.rate, reader.format.channels) == (24_000, channels)
    again = read(data)
    # bare AAC frames do not say what the encoder put before and behind
    assert len(again) == 24_000 if suffix != ".aac" else 24_000 <= len(again) <= 24_000 + 3 * 1024
    assert pitches(again[1_000:21_000], 24_000) == pitches(samples[1_000:21_000], 24_000)


@pytest.mark.parametrize("channels", [3, 5, 6, 7, 8])
@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".opus"])
def test_many_channels_keep_their_order(suffix: str, channels: int) -> None:
    samples = tones(24_000, channels, 48_000)
    if channels > 5:
        samples[:, 3] = 0.5 * np.sin(
            np.arange(24_000) / 48_000 * 2 * np.pi * 100
        )  # the low frequencies, which encoders cut
    again = read(written(samples, suffix, 48_000))
    assert pitches(again, 48_000) == pitches(samples, 48_000)


def test_ogg_channels_stand_where_other_decoders_look_for_them() -> None:
    from tests.media.test_audio_track import decoded_by_ffmpeg

    samples = tones(24_000, 5, 48_000)
    assert pitches(decoded_by_ffmpeg(written(samples, ".ogg", 48_000)), 48_000) == pitches(samples, 48_000)


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a"])
def test_tags_are_kept(suffix: str) -> None:
    with open_sound(written(noise(3000), suffix, tags=TAGS)) as reader:
        assert reader.format.tags == TAGS


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".opus", ".mp3", ".m4a"])
def test_block_size_does_not_matter(suffix: str) -> None:
    data = written(tones(9_000, 2, 24_000), suffix)
    whole = read(data, 1 << 20)
    for size in (1, 997, 4096):
        with open_sound(data) as reader:
            blocks = list(reader.blocks(size))
        assert {len(block) for block in blocks[:-1]} == {size}
        assert np.array_equal(np.concatenate(blocks), whole)


@pytest.mark.parametrize("rate", [8_000, 192_000])
@pytest.mark.parametrize("suffix", [".wav", ".flac"])
def test_rates(suffix: str, rate: int) -> None:
    with open_sound(written(noise(50), suffix, rate)) as reader:
        assert reader.format.rate == rate


@pytest.mark.parametrize("suffix", WRITABLE)
def test_silence_and_one_sample(suffix: str) -> None:
    assert np.abs(read(written(np.zeros((3000, 2), np.float32), suffix))).max() < 1e-9
    assert len(read(written(np.zeros((1, 1), np.float32), suffix))) == 1 or suffix == ".aac"


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_beyond_full_scale_integers_are_clipped_and_floats_kept(encoding: Encoding) -> None:
    loud = np.array([[-3.0], [-1.0], [1.0], [3.0]], np.float32)
    again = read(written(loud, encoding=encoding))
    if encoding == "FLOAT":
        assert np.array_equal(again, loud)
    else:
        assert again[:, 0] == pytest.approx([-1, -1, 1, 1], abs=0.01)
        assert np.abs(again).max() <= 1


def test_integers_are_the_nearest() -> None:
    assert to_integers(np.array([[0.5 / 32768, 1.5 / 32768, -0.6 / 32768]], np.float32), 16).tolist() == [[0, 2, -1]]


def test_media_goes_through_a_file(tmp_path: Path) -> None:
    media = Media(
        "audio", torch.rand(2, 500) - 0.5, {"encoding": b"PCM_24", "tags": b'{"title": "A", "other": 5}'}, 16_000
    )
    write_sound(media, tmp_path / "a.wav")
    again = read_sound(tmp_path / "a.wav")
    assert (again.rate, again.metadata) == (16_000, {"encoding": b"PCM_24", "tags": b'{"title": "A"}'})
    torch.testing.assert_close(again.samples, media.samples, atol=2**-24, rtol=0)
    stream = io.BytesIO()
    write_sound(media, stream, "flac")
    assert torch.equal(read_sound(stream.getvalue()).samples, again.samples)


@pytest.mark.parametrize("metadata", [{"tags": b"\xff"}, {"tags": b"[1]"}, {"tags": b"{"}, {"encoding": b"PCM_99"}])
def test_metadata_of_strangers_does_no_harm(metadata: dict[str, bytes]) -> None:
    stream = io.BytesIO()
    write_sound(Media("audio", torch.zeros(1, 5), metadata, 8_000), stream, "wav")
    assert read_sound(stream.getvalue()).metadata == {"encoding": b"PCM_16"}


def test_one_channel_at_one_rate() -> None:
    stereo = np.stack([np.full(800, 0.5), np.full(800, 0.25)], 1).astype(np.float32)
    mono = read_mono(written(stereo, rate=8_000), "a", 16_000)
    assert mono.shape == (1600,)
    assert mono[400:1200].numpy() == pytest.approx(0.375, abs=1e-3)


def test_more_than_four_gigabytes_need_long_lengths() -> None:
    format = SoundFormat(48_000, 2)
    short, long = (pack_wav_head(format, frames, with_room=True) for frames in (1, 1 << 31))
    assert (short[:4], long[:4], long[12:16]) == (b"RIFF", b"RF64", b"ds64")
    assert len(short) == len(long)
    assert len(pack_wav_head(format, 1, with_room=False)) == 44


def test_memory_does_not_grow_with_length(tmp_path: Path) -> None:
    """A file of 40 MB is written and read in a tenth of that."""
    block = noise(7680, 2)
    tracemalloc.start()
    with (tmp_path / "long.wav").open("wb") as file, sound_writer(file, SoundFormat(24_000, 2), ".wav") as writer:
        for _ in range(1300):
            writer.write(block)
    with open_sound(tmp_path / "long.wav") as reader:
        assert sum(len(block) for block in reader.blocks(7680)) == 1300 * 7680
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < (tmp_path / "long.wav").stat().st_size / 10


def test_sound_loads_neither_pictures_nor_torch() -> None:
    script = (
        "import io, sys, numpy as np; from codec.media import SoundFormat, open_sound, sound_writer\n"
        "file = io.BytesIO()\n"
        "with sound_writer(file, SoundFormat(8000, 1), '.wav') as w: w.write(np.zeros((9, 1), np.float32))\n"
        "with open_sound(file) as reader: print(len(next(reader.blocks(99))))\n"
        "print(sorted({'PIL', 'soundfile', 'av', 'torch'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["9", "[]"], done.stderr


def test_suffixes() -> None:
    assert set(WRITABLE) <= AUDIO_SUFFIXES


@pytest.mark.parametrize(
    ("suffix", "rate", "channels", "message"),
    [
        (".xyz", 8_000, 1, "cannot write sound as 'xyz'; the formats are .wav, "),
        (".mp3", 44_100, 6, "up to 2 channels"),
        (".opus", 44_100, 1, "cannot hold 44,100 samples a second"),
        (".flac", 700_000, 1, "only 1,000 to 655,350"),
    ],
)
def test_what_a_format_cannot_hold(suffix: str, rate: int, channels: int, message: str) -> None:
    with pytest.raises(UsageError, match=message), sound_writer(io.BytesIO(), SoundFormat(rate, channels), suffix):
        pass


def test_mistakes_of_callers() -> None:
    with (
        pytest.raises(ValueError, match=r"shape \(n, 2\)"),
        sound_writer(io.BytesIO(), SoundFormat(8_000, 2), "wav") as writer,
    ):
        writer.write(noise(3))
    announced = sound_writer(io.BytesIO(), SoundFormat(8_000, 2), "wav", frames=5)
    with pytest.raises(ValueError, match="5 samples were announced, 0 were written"), announced:
        pass
    with pytest.raises(ValueError, match="at least one sample"), open_sound(written(noise(3))) as reader:
        next(reader.blocks(0))
    with pytest.raises(ValueError, match="encoding must be one of"):
        SoundFormat(8_000, 1, "ULAW")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="needs a rate"):
        Media("audio", torch.zeros(1, 2))
    with pytest.raises(ValueError, match="float32"):
        Media("audio", torch.zeros(1, 2, dtype=torch.int16), rate=8_000)
    with pytest.raises(UsageError, match="cannot write image as sound"):
        write_sound(Media("image", torch.zeros(1, 2, 2)), io.BytesIO(), "wav")


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".m4a"])
def test_what_is_no_number_is_not_written(suffix: str, tmp_path: Path) -> None:
    samples = torch.zeros(1, 24_000)
    samples[0, 12_000] = torch.nan
    with pytest.raises(MediaError, match=r"cannot write .*a\.\w+: its sample at 0.500000 s in channel 1 is nan"):
        write_sound(Media("audio", samples, rate=24_000), tmp_path / f"a{suffix}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3", ".m4a"])
def test_a_full_disk_is_one_sentence(suffix: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(MediaError, match="cannot write /dev/full: No space left on device"):
        write_sound(Media("audio", torch.rand(1, 200_000), rate=24_000), Path("/dev/full"), suffix)
    assert capfd.readouterr().err == ""
