"""Sound packs: every format at one rate, crops that resume and reach every moment, and clear refusals."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from numpy.typing import NDArray

from codec.errors import MediaError, UsageError
from codec.training.audio_pack import FULL_SCALE, AudioCrops, AudioPack, open_audio_pack

RATE_HZ = 16_000


def tone(rate_hz: int, seconds: float, channels: int = 1) -> NDArray[np.float32]:
    """440 Hz at half of full scale, `(T, channels)`."""
    time = np.arange(round(rate_hz * seconds)) / rate_hz
    return np.tile(0.5 * np.sin(2 * np.pi * 440 * time)[:, None], channels).astype(np.float32)


def sound_file(samples: NDArray[np.float32], rate_hz: int, format: str, subtype: str | None = None) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format=format, subtype=subtype)
    return file.getvalue()


def tar_of(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            header = tarfile.TarInfo(name)
            header.size = len(data)
            tar.addfile(header, io.BytesIO(data))
    return path


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    members = {
        "speech/a_0.flac": sound_file(tone(RATE_HZ, 0.3), RATE_HZ, "FLAC"),
        "speech/b_1.opus": sound_file(tone(RATE_HZ, 0.5), RATE_HZ, "OGG", "OPUS"),
        "speech/c_2.wav": sound_file(tone(44_100, 0.2, 2), 44_100, "WAV"),
        "speech/c_2.txt": b"what was said",
        "music44/d_3.flac": sound_file(tone(44_100, 0.2), 44_100, "FLAC"),
    }
    return tar_of(tmp_path / "sounds.tar", members)


def test_a_pack_holds_every_clip_of_its_kind_at_one_rate(archive: Path, tmp_path: Path) -> None:
    pack = open_audio_pack(archive, tmp_path / "cache", rate_hz=RATE_HZ, kind="speech")
    assert pack.names == ("speech/a_0.flac", "speech/b_1.opus", "speech/c_2.wav")
    assert [len(pack[i]) for i in range(3)] == [4800, 8000, 3200]
    for i in (0, 2):
        expected = FULL_SCALE * tone(RATE_HZ, len(pack[i]) / RATE_HZ)[100:-100, 0]
        assert np.abs(pack[i][100:-100] - expected).max() < 0.01 * FULL_SCALE
    loudness = np.sqrt(np.square(pack[1][2000:-2000].astype(float)).mean())  # as Opus is lossy
    assert loudness == pytest.approx(0.5 * FULL_SCALE / np.sqrt(2), rel=0.05)
    assert len(open_audio_pack(archive, tmp_path / "cache", rate_hz=RATE_HZ)) == 4


def test_a_pack_is_decoded_once(archive: Path, tmp_path: Path) -> None:
    first = open_audio_pack(archive, tmp_path / "cache", rate_hz=RATE_HZ)
    (folder,) = (tmp_path / "cache").iterdir()
    written = {file.name: file.stat().st_mtime_ns for file in folder.iterdir()}
    second = open_audio_pack(archive, tmp_path / "cache", rate_hz=RATE_HZ)
    assert {file.name: file.stat().st_mtime_ns for file in folder.iterdir()} == written
    assert np.array_equal(first.samples, second.samples)


def test_refusals(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no tar"):
        open_audio_pack(tmp_path / "missing.tar", tmp_path, rate_hz=RATE_HZ)
    with pytest.raises(UsageError, match="under noise/"):
        open_audio_pack(archive, tmp_path, rate_hz=RATE_HZ, kind="noise")
    broken = tar_of(tmp_path / "broken.tar", {"speech/e_4.flac": b"fLaC but nothing else"})
    with pytest.raises(MediaError, match=r"speech/e_4\.flac"):
        open_audio_pack(broken, tmp_path, rate_hz=RATE_HZ)
    silent = tar_of(tmp_path / "silent.tar", {"speech/f_5.wav": sound_file(tone(RATE_HZ, 0), RATE_HZ, "WAV")})
    with pytest.raises(MediaError, match="no samples"):
        open_audio_pack(silent, tmp_path, rate_hz=RATE_HZ)
    (tmp_path / "text.tar").write_text("no tar at all" * 100)
    with pytest.raises(MediaError, match=r"text\.tar"):
        open_audio_pack(tmp_path / "text.tar", tmp_path, rate_hz=RATE_HZ)


def ramp(*lengths: int) -> AudioPack:
    """Clips whose samples are their places in the pack, from 1."""
    offsets = np.cumsum([0, *lengths[:-1]])
    index = np.stack([offsets, lengths], 1).astype(np.int64)
    return AudioPack(np.arange(1, sum(lengths) + 1, dtype=np.int16), index, ("clip",) * len(lengths), RATE_HZ)


def test_crops_depend_on_seed_and_number_alone() -> None:
    pack = ramp(50, 30, 7)
    one, other = (AudioCrops(pack, batch_size=4, crop=10, seed=3) for _ in range(2))
    one.batch(0)
    assert torch.equal(one.batch(5), other.batch(5))
    assert not torch.equal(one.batch(5), one.batch(6))
    assert not torch.equal(one.batch(5), AudioCrops(pack, batch_size=4, crop=10, seed=4).batch(5))


def test_crops_begin_everywhere_and_never_cross_clips() -> None:
    crops = AudioCrops(ramp(50, 30, 7), batch_size=2000, crop=10, seed=0).batch(0)
    assert crops.dtype == torch.int16
    assert crops.shape == (2000, 10)
    first = crops[:, 0]
    assert set(first.tolist()) == {*range(1, 42), *range(51, 72), 81}
    whole = crops[first != 81]
    assert torch.equal(whole - whole[:, :1], torch.arange(10, dtype=torch.int16).expand_as(whole))
    assert crops[first == 81][0].tolist() == [*range(81, 88), 0, 0, 0]


def test_an_empty_pack_has_no_crops() -> None:
    empty = AudioPack(np.zeros(0, np.int16), np.zeros((0, 2), np.int64), (), RATE_HZ)
    with pytest.raises(ValueError, match="no clips"):
        AudioCrops(empty, batch_size=1, crop=10, seed=0)
