"""Crops of several packs in their shares, functions of seed and number alone; augmentation keeps within its bounds."""

import io
import tarfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from codec.training.audio_pack import FULL_SCALE, AudioPack
from codec.training.sound_augmentation import SoundAugmentation
from codec.training.sound_data import SoundArchive, SoundCrops, SoundData, WholeClips, shares_of

PLAIN = SoundAugmentation(level_db=(0, 0), polarity=0, silent=0, mixed=0, dither=0)


def constant(value: float, clips: int = 3, length: int = 500) -> AudioPack:
    samples = np.full(clips * length, round(value * FULL_SCALE), np.int16)
    index = np.stack([length * np.arange(clips), np.full(clips, length)], 1)
    return AudioPack(samples, index, tuple(f"speech/{value}_{i}.wav" for i in range(clips)), 16_000)


def stream(augmentation: SoundAugmentation, batch_size: int = 6, **options: int) -> SoundCrops:
    packs = [constant(0.1), constant(0.4)]
    return SoundCrops(
        packs, [0.25, 0.75], batch_size=batch_size, crop=100, seed=3, augmentation=augmentation, **options
    )


def test_batches_are_a_function_of_their_number() -> None:
    one = stream(SoundAugmentation())
    assert one.batch(5).shape == (6, 1, 100)
    assert one.batch(5).dtype == torch.float32
    later = iter(stream(SoundAugmentation(), first_batch=5))
    assert torch.equal(next(later), one.batch(5))
    assert torch.equal(next(later), one.batch(6))
    second = iter(stream(SoundAugmentation(), rank=1, world_size=2))
    assert torch.equal(next(second), one.batch(1))
    assert torch.equal(next(second), one.batch(3))
    assert not torch.equal(one.batch(5), one.batch(6))


def test_packs_are_drawn_in_their_shares() -> None:
    levels = stream(PLAIN, batch_size=2000).batch(0)[:, 0, 0]
    assert set(levels.round(decimals=3).tolist()) == {torch.tensor(0.1).item(), torch.tensor(0.4).item()}
    assert (levels > 0.2).float().mean() == pytest.approx(0.75, abs=0.03)


def test_shares_are_stated_or_by_length() -> None:
    packs = [constant(0.1, clips=1), constant(0.1, clips=3)]
    plain = [SoundArchive("a.tar"), SoundArchive("b.tar")]
    assert shares_of(plain, packs) == [0.25, 0.75]
    assert shares_of([replace(source, share=2.0) for source in plain], packs) == [0.5, 0.5]
    with pytest.raises(ValueError, match="either every archive has a share"):
        shares_of([plain[0], replace(plain[1], share=1.0)], packs)


def test_augmentation_keeps_its_bounds() -> None:
    random = np.random.default_rng(0)
    crops = random.uniform(-0.5, 0.5, (400, 200)).astype(np.float32)
    assert np.array_equal(PLAIN(crops, random), crops)
    louder = replace(PLAIN, level_db=(-15, 30))(crops, random)
    assert np.abs(louder).max() <= 1
    gains = 20 * np.log10(np.abs(louder).max(1) / np.abs(crops).max(1))
    assert gains.min() == pytest.approx(-15, abs=0.5)
    assert np.allclose(louder, crops * 10 ** (gains / 20)[:, None], atol=1e-5)
    turned = replace(PLAIN, polarity=0.5)(crops, random)
    assert np.mean(turned[:, 0] == -crops[:, 0]) == pytest.approx(0.5, abs=0.1)
    mixed = replace(PLAIN, mixed=1.0)(crops, random)
    assert np.abs(mixed).max() <= 0.5
    assert not (mixed == crops).all(1).any()


def test_silence_is_at_one_end_and_dither_fills_it() -> None:
    random = np.random.default_rng(0)
    crops = np.full((300, 50), 0.5, np.float32)
    silent = replace(PLAIN, silent=1.0)(crops, random) == 0
    assert (np.abs(np.diff(silent, axis=1)).sum(1) <= 1).all()
    assert silent[:, 0].any()
    assert silent[:, -1].any()
    dithered = replace(PLAIN, silent=1.0, dither=1.0)(crops, random)
    assert (dithered != 0).all()
    assert np.abs(dithered[silent & (dithered < 0.25)]).max() < 1e-3
    with pytest.raises(ValueError, match="levels must ascend"):
        SoundAugmentation(level_db=(3, -15))


def test_validation_clips_are_whole_and_spread(tmp_path: Path) -> None:
    clips = WholeClips([constant(0.1, clips=7), constant(0.4, clips=2)], most=3)
    assert [clip.name for clip in clips] == [
        "speech/0.1_0.wav", "speech/0.1_2.wav", "speech/0.1_4.wav", "speech/0.4_0.wav", "speech/0.4_1.wav",
    ]  # fmt: skip
    assert clips[0].samples.shape == (1, 500)
    assert clips[0].kind == "speech"


def test_a_faster_archive_is_shorter_and_higher(tmp_path: Path) -> None:
    tone, file = np.sin(2 * np.pi * 440 * np.arange(16_000) / 16_000), io.BytesIO()
    soundfile.write(file, 0.5 * tone, 16_000, format="WAV")
    with tarfile.open(tmp_path / "tones.tar", "w") as tar:
        member = tarfile.TarInfo("tones/one.wav")
        member.size = len(file.getvalue())
        tar.addfile(member, io.BytesIO(file.getvalue()))
    data = SoundData(str(tmp_path), [], [], cache=str(tmp_path / "cache"))
    (pack,) = data.packs([SoundArchive("tones.tar", speed=1.25)], 16_000)
    assert abs(len(pack[0]) - 12_800) <= 1
    assert np.abs(np.fft.rfft(pack[0][:8000])).argmax() * 2 == 550
