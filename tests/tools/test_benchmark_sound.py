"""The measurement of sound: clips by kind from a tar, a table, JSON, and what it refuses."""

import io
import json
import tarfile
from pathlib import Path

import pytest
import torch
from benchmark_sound import RATES_HZ, main, read_clips

from codec.errors import UsageError
from codec.media import write_sound
from codec.types import Media
from tests.evaluation.test_speech_quality import speech

TINY = Path(__file__).parents[1] / "golden" / "tiny-sound"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips of speech, and one of music at another rate in two channels."""
    folder = tmp_path_factory.mktemp("media")
    music = torch.stack([speech(1.0, 44_100), speech(1.0, 44_100)])
    sounds = {"speech/b": speech(2.0)[None], "speech/a": speech(1.0)[None], "music44/a": music}
    with tarfile.open(folder / "audio-val.tar", "w") as archive:
        for name, samples in sounds.items():
            file = io.BytesIO()
            write_sound(Media("audio", samples, rate=44_100 if len(samples) == 2 else 16_000), file, ".flac")
            member = tarfile.TarInfo(f"{name}.flac")
            member.size = len(file.getvalue())
            file.seek(0)
            archive.addfile(member, file)
    return folder


def test_clips_are_mono_at_the_rate_of_their_kind(data: Path) -> None:
    clips = list(read_clips(data / "audio-val.tar", list(RATES_HZ)))
    assert [(clip.name, clip.kind) for clip in clips] == [
        ("music44/a.flac", "music"),
        ("speech/a.flac", "speech"),
        ("speech/b.flac", "speech"),
    ]
    assert [(clip.media.rate, tuple(clip.media.samples.shape)) for clip in clips] == [
        (24_000, (1, 24_000)),
        (16_000, (1, 16_000)),
        (16_000, (1, 32_000)),
    ]
    assert [clip.kind for clip in read_clips(data / "audio-val.tar", ["music"])] == ["music"]


def test_table_and_json(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--data", str(data), "--baselines", "opus_voip,mp3", "--json", str(tmp_path / "found.json")])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:4] for line in lines[1:]] == [
        ["speech", "opus_voip", "6", "2"],
        ["speech", "opus_voip", "9", "2"],
        ["speech", "opus_voip", "12", "2"],
        ["speech", "mp3", "16", "2"],
        ["speech", "mp3", "32", "2"],
        ["speech", "mp3", "64", "2"],
        ["music", "mp3", "16", "1"],
        ["music", "mp3", "32", "1"],
        ["music", "mp3", "64", "1"],
    ]
    found = json.loads((tmp_path / "found.json").read_text())
    assert len(found["means"]) == 9
    assert len(found["sounds"]) == 15
    assert found["means"][-1]["pesq"] is None
    assert found["sounds"][0]["bytes"] > 0


def test_models_at_bit_rates(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--data", str(data), "--models", str(TINY), "--bitrates", "6,8", "--baselines", "", "--kinds", "speech"])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert [line[1:4] for line in lines] == [["tiny-sound", "6", "2"], ["tiny-sound", "8", "2"]]
    assert float(lines[0][4]) <= 6
    assert float(lines[1][4]) <= 8


def test_what_it_refuses(data: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown baseline vorbis: choose from opus, opus_voip, mp3"):
        main(["--data", str(data), "--baselines", "opus,vorbis"])
    with pytest.raises(UsageError, match="unknown kind '': choose from speech"):
        main(["--data", str(data), "--kinds", ""])
    with pytest.raises(UsageError, match=r"audio-val\.tar is missing"):
        main(["--data", str(tmp_path)])
