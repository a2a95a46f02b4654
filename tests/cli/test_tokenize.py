"""Files to shards of tokens and back through the command line, each call in a fresh process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from codec.generation import TokenDataset, open_shard
from tests.cli.test_command_line import DAMAGED, MEDIA, TINY, USAGE, codec
from tests.conftest import synthetic_picture

MODEL, SOUND = ("--model", "tiny"), ("--model", "tiny-sound")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Five pictures of different sizes, one with a class, one with a caption."""
    folder = tmp_path / "in"
    (folder / "cats").mkdir(parents=True)
    for i in range(5):
        place = folder / "cats" if i % 2 else folder
        picture = synthetic_picture(40 + 3 * i, 50, seed=i).numpy()
        Image.fromarray(np.moveaxis(picture, 0, 2)).save(place / f"{i}.png")
    (folder / "cats" / "1.cls").write_text("12\n")
    (folder / "2.txt").write_text("zwei\n", encoding="utf-8")
    return folder


def complaint(*arguments: object, code: int) -> str:
    return codec(*arguments, code=code).stderr.decode()


def shards(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize("format", ["npy", "bin", "webdataset", "parquet"])
def test_pictures_to_tokens(pictures: Path, tmp_path: Path, format: str) -> None:
    codec("tokenize", pictures, tmp_path / "out", *MODEL, "--format", format, "--shard-size", "2")
    data = TokenDataset(tmp_path / "out")
    assert [data.record(i).key for i in range(5)] == ["0", "2", "4", "cats/1", "cats/3"]
    assert (data.record(3).label, data.record(1).caption) == (12, "zwei")


def test_tokens_to_pictures(pictures: Path, tmp_path: Path) -> None:
    codec("tokenize", pictures, tmp_path / "out", *MODEL)
    codec("detokenize", tmp_path / "out", tmp_path / "back")
    for source in pictures.rglob("*.png"):
        with Image.open(tmp_path / "back" / source.relative_to(pictures)) as back, Image.open(source) as original:
            assert back.size == original.size


def test_coded_files_have_the_tokens_of_their_pictures(pictures: Path, tmp_path: Path) -> None:
    codec("encode", pictures, tmp_path / "coded", *MODEL)
    codec("tokenize", tmp_path / "coded", tmp_path / "from_lmc")
    codec("tokenize", pictures, tmp_path / "from_png", *MODEL)
    one, two = TokenDataset(tmp_path / "from_lmc"), TokenDataset(tmp_path / "from_png")
    assert one.source.coding_hash == two.source.coding_hash
    for i in range(5):
        assert np.array_equal(one.record(i).codes, two.record(i).codes)
        assert one.record(i).media == two.record(i).media
    codec("detokenize", tmp_path / "from_png", tmp_path / "back", "--format", "lmc")
    coded = sorted((tmp_path / "coded").rglob("*.lmc"))
    assert len(coded) == 5
    for file in coded:
        assert (tmp_path / "back" / file.relative_to(tmp_path / "coded")).read_bytes() == file.read_bytes()


def test_sound_keeps_its_length_and_may_keep_fewer_planes(tmp_path: Path) -> None:
    codec("tokenize", TINY / "tones.wav", tmp_path / "out", *SOUND)
    codec("detokenize", tmp_path / "out", tmp_path / "back")
    original, back = soundfile.info(TINY / "tones.wav"), soundfile.info(tmp_path / "back" / "tones.wav")
    assert (back.frames, back.channels, back.samplerate) == (original.frames, original.channels, original.samplerate)
    whole = TokenDataset(tmp_path / "out")
    counts = complaint("tokenize", TINY / "tones.wav", tmp_path / "few", *SOUND, "--planes", "99", code=USAGE)
    assert "planes, not 99" in counts
    few = int(counts.partition(" decodes ")[2].partition(",")[0])
    codec("tokenize", TINY / "tones.wav", tmp_path / "few", *SOUND, "--planes", str(few))
    assert np.array_equal(TokenDataset(tmp_path / "few").record(0).codes, whole.record(0).codes[:few])
    codec("detokenize", tmp_path / "few", tmp_path / "coarse")
    assert soundfile.info(tmp_path / "coarse" / "tones.wav").frames == original.frames


def test_stopped_work_goes_on_and_two_processes_write_the_same(pictures: Path, tmp_path: Path) -> None:
    codec("tokenize", pictures, tmp_path / "one", *MODEL, "--shard-size", "2")
    codec("tokenize", pictures, tmp_path / "two", *MODEL, "--shard-size", "2", "--workers", "2")
    whole = shards(tmp_path / "one")
    assert shards(tmp_path / "two") == whole
    (tmp_path / "one" / "shard-00001.json").unlink()
    again = json.loads(codec("tokenize", pictures, tmp_path / "one", *MODEL, "--shard-size", "2", "--json").stdout)
    assert [Path(row["shard"]).name for row in again["written"]] == ["shard-00001.json"]
    assert shards(tmp_path / "one") == whole


def test_a_cluster_writes_the_same(pictures: Path, tmp_path: Path) -> None:
    codec("tokenize", pictures, tmp_path / "one", *MODEL, "--shard-size", "2")
    codec("tokenize", pictures, tmp_path / "two", *MODEL, "--shard-size", "2", "--workers", "2", "--engine", "ray")
    assert shards(tmp_path / "one") == shards(tmp_path / "two")


def test_a_bad_file_is_named_and_the_rest_goes_on(pictures: Path, tmp_path: Path) -> None:
    (pictures / "1.png").write_text("no picture")
    (pictures / "4.cls").write_text("cat")
    command = [sys.executable, "-m", "codec", "tokenize", pictures, tmp_path / "out", *MODEL]
    done = subprocess.run(
        command, env=os.environ | {"CODEC_CHECKPOINTS": str(TINY)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == MEDIA
    failed = done.stderr
    assert "1.png" in failed
    assert "4.cls holds no class" in failed
    assert "2 of 6 files failed" in failed
    assert len(open_shard(tmp_path / "out" / "shard-00000.json")) == 4


def test_what_does_not_belong_together_is_refused(pictures: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    codec("tokenize", pictures, out, *MODEL)
    before = shards(out)
    assert "of other files" in complaint("tokenize", pictures / "cats", out, *MODEL, code=USAGE)
    assert "holds codes of tiny" in complaint("tokenize", pictures, out, "--model", "image-tokens-f16", code=DAMAGED)
    assert "not of tiny-sound" in complaint("detokenize", out, tmp_path / "back", *SOUND, code=DAMAGED)
    assert "no tokens" in complaint("tokenize", pictures, out, "--model", "image-latent", code=USAGE)
    assert "exists" in complaint("detokenize", out, pictures, code=USAGE)
    (pictures / "tones.wav").write_bytes((TINY / "tones.wav").read_bytes())
    assert "several kinds" in complaint("tokenize", pictures, tmp_path / "mixed", code=USAGE)
    assert "holds no file" in complaint("tokenize", tmp_path / "out", tmp_path / "mixed", code=MEDIA)
    assert shards(out) == before
    assert not (tmp_path / "mixed").exists()
    assert not (tmp_path / "back").exists()


def test_damaged_shards_are_refused(pictures: Path, tmp_path: Path) -> None:
    codec("tokenize", pictures, tmp_path / "out", *MODEL)
    data = tmp_path / "out" / "shard-00000.npy"
    data.write_bytes(data.read_bytes()[:-10])
    assert "shard-00000.npy" in complaint("detokenize", tmp_path / "out", tmp_path / "back", code=DAMAGED)
    values = np.full(10**6, 0)
    np.save(data, values)
    assert "shard-00000.npy" in complaint("detokenize", tmp_path / "out", tmp_path / "back", code=DAMAGED)
    assert not (tmp_path / "back").exists()
