"""Sound through the command line, each call in a fresh process: files, folders, pipes, packets, and what is no sound."""

import io
import json
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from codec.models import find
from tests.cli.test_command_line import DAMAGED, MEDIA, TINY, USAGE, codec

MODEL = ("--model", "tiny-sound")
SPEECH = Path(__file__).resolve().parents[2] / "docs" / "samples" / "speech.flac"


@pytest.fixture
def tones(tmp_path: Path) -> Path:
    path = tmp_path / "tones.wav"
    path.write_bytes((TINY / "tones.wav").read_bytes())
    return path


@pytest.fixture
def coded(tones: Path) -> Path:
    codec("encode", tones, *MODEL)
    return tones.with_suffix(".lmc")


def samples_of(source: Path | bytes) -> np.ndarray:
    samples, _ = soundfile.read(io.BytesIO(source) if isinstance(source, bytes) else source, always_2d=True)
    return samples


def test_sound_to_file_to_sound(tones: Path, coded: Path, tmp_path: Path) -> None:
    assert coded.stat().st_size < tones.stat().st_size / 20
    codec("decode", coded, tmp_path / "back.wav")
    original, back = samples_of(tones), samples_of(tmp_path / "back.wav")
    assert back.shape == original.shape
    assert np.square(back - original).sum() < 0.6 * np.square(original).sum()
    assert soundfile.info(tmp_path / "back.wav").subtype == "PCM_16"


@pytest.mark.parametrize(("rate", "model"), [(16_000, "audio-speech-16k"), (44_100, "audio-24k")])
def test_the_rate_chooses_the_model(tmp_path: Path, rate: int, model: str) -> None:
    soundfile.write(tmp_path / "tone.wav", 0.3 * np.sin(np.arange(rate // 4) / 20), rate)
    codec("encode", tmp_path / "tone.wav")
    used = json.loads(codec("info", tmp_path / "tone.lmc", "--json").stdout)["coding_hash"]
    assert any(text.startswith(used) for text in find(model).coding_hashes.values())


def test_the_kind_of_media_chooses_the_suffix(coded: Path) -> None:
    codec("decode", coded, "--force")
    assert coded.with_suffix(".wav").stat().st_size == (TINY / "tones.wav").stat().st_size


@pytest.mark.parametrize("suffix", ["flac", "ogg", "mp3", "m4a"])
def test_other_formats(coded: Path, tmp_path: Path, suffix: str) -> None:
    codec("decode", coded, tmp_path / f"back.{suffix}")
    codec("encode", tmp_path / f"back.{suffix}", tmp_path / "again.lmc", *MODEL)
    described = json.loads(codec("info", tmp_path / "again.lmc", "--json").stdout)
    assert (described["kind"], described["rate_hz"], described["channels"]) == ("audio", 8000, 2)


def test_pipes_give_what_files_give(tones: Path, tmp_path: Path) -> None:
    stream = codec("encode", "-", "-", *MODEL, stdin=tones.read_bytes()).stdout
    codec("encode", tones, tmp_path / "file.lmc", "--packet", 40, *MODEL)
    assert codec("decode", "-", "-", stdin=stream).stdout == codec("decode", tmp_path / "file.lmc", "-").stdout


def test_raw_samples_need_their_format(tones: Path) -> None:
    raw = tones.read_bytes()[-20_000:]
    stream = codec("encode", "-", "-", *MODEL, "--raw", "8000,2", stdin=raw).stdout
    assert samples_of(codec("decode", "-", "-", stdin=stream).stdout).shape == (5000, 2)
    codec("encode", "-", "-", *MODEL, "--raw", "8000", stdin=raw, code=USAGE)


def test_a_packet_is_written_as_soon_as_its_sound_is_there() -> None:
    """After so much sound as makes the first packets, their bytes have come, while the input stays open."""
    command = [sys.executable, "-m", "codec", "encode", "-", "-", *MODEL, "--raw", "8000,1"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"CODEC_CHECKPOINTS": str(TINY)}
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(bytes(2 * (3 * 8 + 1) * 40))  # three packets of 8 frames of 40 samples, and a frame
        process.stdin.flush()
        begun = process.stdout.read(60)
        assert begun.startswith(b"LMC")
        rest, _ = process.communicate()
    assert samples_of(codec("decode", "-", "-", stdin=begun + rest).stdout).shape == (1000, 1)


def test_an_excerpt(coded: Path, tmp_path: Path) -> None:
    whole = samples_of(codec("decode", coded, "-").stdout)
    part = samples_of(codec("decode", coded, "-", "--start", 0.25, "--duration", 0.125).stdout)
    assert np.array_equal(part, whole[2000:3000])
    codec("decode", coded, tmp_path / "x.wav", "--start", 7, code=USAGE)


def test_bitrate_and_truncate(tones: Path, coded: Path, tmp_path: Path) -> None:
    codec("encode", tones, tmp_path / "low.lmc", *MODEL, "--bitrate", 6)
    assert (tmp_path / "low.lmc").stat().st_size * 8 / 0.625 <= 6000
    codec("truncate", coded, tmp_path / "cut.lmc", "--planes", 2)
    assert (tmp_path / "cut.lmc").stat().st_size < coded.stat().st_size * 0.6
    assert samples_of(codec("decode", tmp_path / "cut.lmc", "-").stdout).shape == (5000, 2)
    codec("encode", tones, tmp_path / "x.lmc", *MODEL, "--bitrate", 0.1, code=USAGE)
    codec("encode", tones, tmp_path / "x.lmc", *MODEL, "--quality", 50, code=USAGE)


def test_info_and_verify(coded: Path) -> None:
    lines = codec("info", coded).stdout.decode()
    assert "length       0.625 s" in lines
    assert b"whole (checksums and codes" in codec("verify", coded).stdout


def test_a_mixed_folder(tones: Path, tmp_path: Path) -> None:
    """With a model of sound, only sound is taken."""
    folder = tmp_path / "in"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "tones.wav").write_bytes(tones.read_bytes())
    (folder / "colour.png").write_bytes((TINY / "colour.png").read_bytes())
    codec("encode", folder, tmp_path / "out", *MODEL)
    assert [path.name for path in (tmp_path / "out").rglob("*.lmc")] == ["tones.lmc"]
    codec("encode", TINY / "colour.png", tmp_path / "out" / "colour.lmc", "--model", "tiny")
    codec("decode", tmp_path / "out", tmp_path / "back")
    assert sorted(path.name for path in (tmp_path / "back").rglob("*.*")) == ["colour.png", "tones.wav"]


def test_kinds_are_not_mixed_up(tones: Path, tmp_path: Path) -> None:
    assert (
        b"this model is for pictures"
        in codec("encode", tones, tmp_path / "x.lmc", "--model", "tiny", code=USAGE).stderr
    )
    picture = TINY / "colour.png"
    assert b"this model is for sound" in codec("encode", picture, tmp_path / "x.lmc", *MODEL, code=USAGE).stderr
    codec("encode", picture, tmp_path / "x.lmc", "--model", "tiny", "--bitrate", 6, code=USAGE)
    assert not (tmp_path / "x.lmc").exists()


def wav(samples: np.ndarray, rate: int, subtype: str = "PCM_16") -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, subtype, format="WAV")
    return file.getvalue()


def lying(data: bytes, claimed: int) -> bytes:
    """With another number of bytes in the header of its samples."""
    place = data.index(b"data") + 4
    return data[:place] + struct.pack("<I", claimed) + data[place + 4 :]


NOISE = 0.1 * np.random.default_rng(0).standard_normal((4000, 1))
GOOD = {
    "silence": wav(np.zeros((4000, 1)), 8000),
    "one sample": wav(NOISE[:1], 8000),
    "clipped": wav(np.clip(30 * NOISE, -1, 1), 8000),
    "8 kHz": wav(NOISE, 8000),
    "192 kHz": wav(NOISE, 192_000),
    "7.1 channels": wav(NOISE.reshape(-1, 8), 48_000),
    "24 bits": wav(NOISE, 8000, "PCM_24"),
    "32 bits": wav(NOISE, 8000, "PCM_32"),
    "float": wav(NOISE, 8000, "FLOAT"),
    "above full scale": wav(30 * NOISE, 8000, "FLOAT"),
}
BAD = {
    "nothing": b"",
    "no samples": wav(NOISE[:0], 8000),
    "NaN": wav(np.where(np.arange(4000)[:, None] == 77, np.nan, NOISE), 8000, "FLOAT"),
    "truncated": wav(NOISE, 8000)[:5000],
    "header that lies": lying(wav(NOISE, 8000), 1 << 20),
    "text": b"no sound at all\n" * 100,
}


@pytest.mark.parametrize("name", GOOD)
def test_unusual_sound_comes_back(name: str, tmp_path: Path) -> None:
    (tmp_path / "in.wav").write_bytes(GOOD[name])
    codec("encode", tmp_path / "in.wav", *MODEL)
    codec("decode", tmp_path / "in.lmc", tmp_path / "out.wav")
    before, after = soundfile.info(tmp_path / "in.wav"), soundfile.info(tmp_path / "out.wav")
    assert (after.frames, after.samplerate, after.channels) == (before.frames, before.samplerate, before.channels)
    assert after.subtype == before.subtype
    assert np.isfinite(samples_of(tmp_path / "out.wav")).all()


@pytest.mark.parametrize("name", BAD)
def test_bad_sound_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "in.wav").write_bytes(BAD[name])
    codec("encode", tmp_path / "in.wav", *MODEL, code=MEDIA)
    assert not (tmp_path / "in.lmc").exists()


def test_damage_is_told_and_can_be_concealed(coded: Path, tmp_path: Path) -> None:
    data = bytearray(coded.read_bytes())
    data[len(data) // 2] ^= 1
    coded.write_bytes(data)
    codec("decode", coded, tmp_path / "x.wav", code=DAMAGED)
    assert not (tmp_path / "x.wav").exists()
    codec("decode", coded, tmp_path / "x.wav", "--partial")
    assert samples_of(tmp_path / "x.wav").shape == (5000, 2)


def test_the_shipped_generative_model_makes_lost_packets_and_goes_on_with_speech(tmp_path: Path) -> None:
    excerpt, coded = tmp_path / "speech.wav", tmp_path / "speech.lmc"
    samples, rate = soundfile.read(SPEECH, stop=32_000)
    soundfile.write(excerpt, samples, rate)
    codec("encode", excerpt, coded, "--packet", 160, "--model", "audio-speech-16k")
    data = bytearray(coded.read_bytes())
    data[len(data) // 2] ^= 1
    coded.write_bytes(data)
    made = {option: codec("decode", coded, "-", option).stdout for option in ("--partial", "--conceal")}
    assert len(made["--partial"]) == len(made["--conceal"])
    bridged, repaired = (samples_of(one) for one in made.values())
    other = np.flatnonzero(np.abs(bridged - repaired).max(1))
    assert 0 < len(other) < 0.5 * rate
    codec(
        "generate",
        tmp_path / "more.wav",
        "--model",
        "audio-speech-16k",
        "--prompt",
        excerpt,
        "--seconds",
        0.5,
        "--steps",
        2,
    )
    longer = samples_of(tmp_path / "more.wav")
    assert longer.shape == (32_000 + 8_000, 1)
    assert np.abs(longer[32_000:]).max() > 1e-3
