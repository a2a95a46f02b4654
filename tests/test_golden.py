"""Golden bytes: a stream written once decodes to the same codes for ever; a change here raises the bitstream version."""

import hashlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from codec.container import Reader, SectionType
from codec.media import read_image, read_sound
from codec.models import SoundCodec, VideoTokenCodec, load, load_as
from codec.types import Codes, Plane

GOLDEN = Path(__file__).parent / "golden"
CODES = {"colour": "b9ec98c9bd05f6cb", "grey": "edbdcaef8cfde11f"}

SOUNDS = {"tones": "f846459f71503e6b", "live": "f846459f71503e6b"}
VIDEO = "86f6d6811477a648"

FRESH = """
import hashlib, sys, torch
from pathlib import Path
from codec.models import load
torch.set_num_threads(int(sys.argv[2]))
model = load(Path(sys.argv[1]) / "tiny")
for name in ("colour", "grey"):
    with open(Path(sys.argv[1]) / f"{name}.lmc", "rb") as file:
        codes = model.read_codes(file).planes[0].codes
    print(hashlib.sha256(codes.numpy().tobytes()).hexdigest())
model = load(Path(sys.argv[1]) / "tiny-sound")
for name in ("tones", "live"):
    with open(Path(sys.argv[1]) / f"{name}.lmc", "rb") as file:
        codes = torch.stack([plane.codes for plane in model.read_codes(file).planes])
    print(hashlib.sha256(codes.numpy().tobytes()).hexdigest())
with open(Path(sys.argv[1]) / "clouds.lmc", "rb") as file:
    print(load(Path(sys.argv[1]) / "tiny-video").read_codes(file).digest.hex())
"""


def golden_codes(name: str) -> Plane:
    data = (GOLDEN / f"{name}.lmc").read_bytes()
    return load(GOLDEN / "tiny").read_codes(io.BytesIO(data)).planes[0]


@pytest.mark.parametrize("name", CODES)
def test_golden_streams_hold_the_recorded_codes(name: str) -> None:
    assert hashlib.sha256(golden_codes(name).codes.numpy().tobytes()).hexdigest()[:16] == CODES[name]


@pytest.mark.parametrize("name", CODES)
def test_the_recorded_codes_make_the_golden_bytes(name: str) -> None:
    """The lossless half only: float encoders may differ between machines, the bytes of given codes may not."""
    model, sink = load(GOLDEN / "tiny"), io.BytesIO()
    model.write(read_image(GOLDEN / f"{name}.png"), Codes((golden_codes(name),)), sink, "static")
    assert sink.getvalue() == (GOLDEN / f"{name}.lmc").read_bytes()


@pytest.mark.parametrize("name", CODES)
def test_the_picture_comes_back(name: str) -> None:
    decoded = load(GOLDEN / "tiny").decompress((GOLDEN / f"{name}.lmc").read_bytes()).samples
    original = read_image(GOLDEN / f"{name}.png").samples
    assert decoded.shape == original.shape
    assert (decoded.float() - original.float()).square().mean().sqrt() < 0.6 * original.float().std()


@pytest.mark.parametrize(
    ("variables", "threads"),
    [
        ({"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"}, 1),
        ({"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}, 2),
        ({"NUMBA_CPU_NAME": "generic"}, 1),
    ],
    ids=["sse", "avx2", "numba-generic"],
)
def test_other_machines_read_the_same_codes(variables: dict[str, str], threads: int, tmp_path: Path) -> None:
    environment = os.environ | variables | {"NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", FRESH, str(GOLDEN), str(threads)],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [line[:16] for line in done.stdout.split()] == [*CODES.values(), *SOUNDS.values(), VIDEO]


def test_the_worked_example_of_the_specification_is_this_file() -> None:
    """docs/bitstream.md shows grey.lmc byte by byte."""
    text = Path("docs/bitstream.md").read_text().split("## A whole file")[1]
    rows = re.findall(r"^ *\d+  ((?:[0-9a-f]{2} )+) ", text.split("```")[1], re.MULTILINE)
    shown = bytes.fromhex("".join(rows))
    assert shown == (GOLDEN / "grey.lmc").read_bytes()


def golden_sound(name: str) -> tuple[SoundCodec, bytes, Codes]:
    model, data = load_as(SoundCodec, GOLDEN / "tiny-sound"), (GOLDEN / f"{name}.lmc").read_bytes()
    return model, data, model.read_codes(io.BytesIO(data))


@pytest.mark.parametrize("name", SOUNDS)
def test_golden_sounds_hold_the_recorded_codes(name: str) -> None:
    _, _, codes = golden_sound(name)
    stacked = torch.stack([plane.codes for plane in codes.planes])
    assert hashlib.sha256(stacked.numpy().tobytes()).hexdigest()[:16] == SOUNDS[name]


@pytest.mark.parametrize("name", SOUNDS)
def test_recoded_golden_sounds_have_the_same_bytes(name: str) -> None:
    """The lossless half only: cutting no plane off reads all codes and writes them again."""
    model, data, codes = golden_sound(name)
    sink = io.BytesIO()
    model.truncate(io.BytesIO(data), sink, len(codes.planes))
    assert sink.getvalue() == data


def test_the_sound_comes_back() -> None:
    model, data, _ = golden_sound("tones")
    original = read_sound(GOLDEN / "tones.wav")
    decoded = model.decompress(data)
    assert decoded.samples.shape == original.samples.shape
    assert decoded.metadata == original.metadata
    assert (decoded.samples - original.samples).square().mean().sqrt() < 0.7 * original.samples.std()


def test_a_golden_video_holds_the_recorded_codes() -> None:
    with (GOLDEN / "clouds.lmc").open("rb") as file:
        held = load_as(VideoTokenCodec, GOLDEN / "tiny-video").read_codes(file)
    assert (held.frames, held.digest.hex()[:16]) == (19, VIDEO)


def test_recoded_scenes_of_a_golden_video_have_the_same_bytes() -> None:
    """The lossless half only: all groups of both scenes, as the golden file has them."""
    model, data = load_as(VideoTokenCodec, GOLDEN / "tiny-video"), (GOLDEN / "clouds.lmc").read_bytes()
    format, scenes = model.read_scenes(io.BytesIO(data))
    layers = (layer for scene in scenes for layer in scene.layers(model.group))
    recoded = [group.payload for group in model.chunks(layers, "static")]
    assert (format.width, format.height) == (70, 50)
    assert recoded == [one.payload for one in Reader(io.BytesIO(data)) if one.type == SectionType.CODES]


def test_the_video_comes_back() -> None:
    decoded = load(GOLDEN / "tiny-video").decompress((GOLDEN / "clouds.lmc").read_bytes())
    assert decoded.samples.shape == (3, 19, 50, 70)
    assert decoded.metadata == {"rate": b"30000/1001"}
    later = (
        decoded.samples[:, 16, :, 32:].float() - decoded.samples[:, 0, :, :-32].float()
    )  # clouds drift two pixels a frame
    assert later.square().mean().sqrt() < 0.5 * decoded.samples.float().std()
