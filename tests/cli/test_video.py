"""Video through the command line, each call in a fresh process: with its sound, in part, damaged, from pipes, and what is no video."""

import io
import json
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import codec as library
from codec.container import find_index
from codec.media import VideoFormat, VideoFrame, open_video, read_sound, video_writer
from codec.media.sound import BLOCK, SoundFormat
from codec.media.video import VideoReader
from codec.models import save
from tests.cli.test_command_line import DAMAGED, MEDIA, NO_MODEL, USAGE, codec
from tests.media.test_video import from_rgb, movie, waves
from tests.models.video_models import CONFIG, moving_clip, small_video_codec
from tests.models.video_token_models import CONFIG as TOKENS
from tests.models.video_token_models import small_video_tokens

RATE, SOUND_RATE = 25, 16_000


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    save(folder / "small-video", small_video_codec(), CONFIG, "# small-video\n")
    save(folder / "small-tokens", small_video_tokens(), TOKENS, "# small-tokens\n")
    return folder


@pytest.fixture
def run(models: Path) -> "partial[object]":
    return partial(codec, checkpoints=models)


def clip(path: Path, frames: int = 30, *, sound: bool = False, size: tuple[int, int] = (48, 64)) -> Path:
    """A drifting picture; with sound, a click at each fifth of a second."""
    format = VideoFormat(size[1], size[0], Fraction(1, RATE), Fraction(RATE), "444" if size[0] % 2 else "420")
    track = SoundFormat(SOUND_RATE, 1) if sound else None
    with video_writer(path, format, path.suffix, sound=track) as writer:
        for t, picture in enumerate(moving_clip(frames, *size)):
            writer.write(VideoFrame(picture.contiguous().numpy(), t))
            if sound:
                writer.write_sound(_clicks(t))
    return path


def test_the_library_writes_a_video_and_gives_its_pictures_in_one_go(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, opened = library.load(models / "small-video"), []
    opening = type(model).open  # type: ignore[attr-defined]

    def counted(*arguments: object, **named: object) -> object:
        opened.append(arguments)
        return opening(*arguments, **named)

    data = library.encode(clip(tmp_path / "clip.mp4", 8), model=model)
    alone = library.decode(data, model=model)
    monkeypatch.setattr(type(model), "open", counted)
    media = library.decode(data, tmp_path / "back.mkv", model=model)
    assert len(opened) == 1
    assert media.metadata == alone.metadata
    assert media.samples.equal(alone.samples)
    assert len(pictures(tmp_path / "back.mkv")) == 8


def _clicks(t: int) -> np.ndarray:
    samples = np.zeros((SOUND_RATE // RATE, 1), np.float32)
    if t % 5 == 0:
        samples[: SOUND_RATE // 200] = 0.8 * np.sin(np.arange(SOUND_RATE // 200) / 3)[:, None]
    return samples


def pictures(path: Path | bytes) -> np.ndarray:
    """All of a file, uint8 `(T, 3, H, W)`."""
    with open_video(path) as video:
        return np.stack([frame.pixels for frame in video.pictures()])


def decibels(a: np.ndarray, b: np.ndarray) -> float:
    return float(10 * np.log10(255**2 / np.square(a.astype(float) - b).mean()))


@pytest.mark.parametrize("model", ["small-video", "small-tokens"])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".y4m"])
def test_video_to_file_to_video(run: partial, tmp_path: Path, model: str, suffix: str) -> None:
    source = clip(tmp_path / "clip.mp4")
    run("encode", source, "--model", model)
    run("decode", tmp_path / "clip.lmc", tmp_path / f"back{suffix}")
    back = pictures(tmp_path / f"back{suffix}")
    assert back.shape == (30, 3, 48, 64)
    assert decibels(pictures(source), back) > 18


@pytest.mark.parametrize(("frames", "size"), [(1, (48, 64)), (3, (33, 47))])
def test_one_frame_and_odd_sizes(run: partial, tmp_path: Path, frames: int, size: tuple[int, int]) -> None:
    source = clip(tmp_path / "clip.mkv", frames, size=size)
    run("encode", source, "--model", "small-video", "--quality", 90)
    run("decode", tmp_path / "clip.lmc", tmp_path / "back.mkv")
    back = pictures(tmp_path / "back.mkv")
    assert back.shape == (frames, 3, *size)
    assert decibels(pictures(source), back) > 24


def test_the_default_suffix_is_mp4(run: partial, tmp_path: Path) -> None:
    run("encode", clip(tmp_path / "clip.mp4", 3), "--model", "small-video")
    (tmp_path / "clip.mp4").unlink()
    run("decode", tmp_path / "clip.lmc")
    assert len(pictures(tmp_path / "clip.mp4")) == 3


def test_pictures_become_a_folder(run: partial, tmp_path: Path) -> None:
    run("encode", clip(tmp_path / "clip.mp4", 4), "--model", "small-video")
    run("decode", tmp_path / "clip.lmc", tmp_path / "frames", "--format", "png")
    names = sorted(path.name for path in (tmp_path / "frames").iterdir())
    assert names == [f"{t:08}.png" for t in range(1, 5)]
    with Image.open(tmp_path / "frames" / names[0]) as picture:
        assert picture.size == (64, 48)


def test_sound_goes_along_in_time(run: partial, tmp_path: Path) -> None:
    source = clip(tmp_path / "clip.mp4", 50, sound=True)
    run("encode", source, "--model", "small-video")
    run("decode", tmp_path / "clip.lmc", tmp_path / "back.mkv")
    with open_video(tmp_path / "back.mkv") as video:
        assert len(list(video.pictures())) == 50
        level = _levels(video)
    clicks = np.flatnonzero(level > 0.3 * level.max())
    assert {round(click / 10) * 10 for click in clicks} >= {20, 40, 60, 80, 100, 120, 140, 160}


def test_a_model_of_sound_takes_the_sound_track(run: partial, tmp_path: Path) -> None:
    run("encode", clip(tmp_path / "clip.mp4", 50, sound=True), "--model", "audio-speech-16k")
    run("decode", tmp_path / "clip.lmc", tmp_path / "back.wav")
    back = read_sound(tmp_path / "back.wav").samples
    assert back.shape == (1, 2 * SOUND_RATE)
    assert back.abs().max() > 0.1
    assert (
        "no sound track"
        in run("encode", clip(tmp_path / "silent.mp4", 3), "--model", "audio-24k", code=MEDIA).stderr.decode()
    )


def test_an_excerpt_has_its_own_sound(run: partial, tmp_path: Path) -> None:
    run("encode", clip(tmp_path / "clip.mp4", 50, sound=True), "--model", "small-video")
    run("decode", tmp_path / "clip.lmc", tmp_path / "whole.y4m")
    run("decode", tmp_path / "clip.lmc", tmp_path / "part.y4m", "--start", 0.8, "--duration", 0.4)
    assert np.array_equal(pictures(tmp_path / "part.y4m"), pictures(tmp_path / "whole.y4m")[20:30])
    run("decode", tmp_path / "clip.lmc", tmp_path / "part.mkv", "--start", 0.8, "--duration", 0.4)
    with open_video(tmp_path / "part.mkv") as video:
        assert len(list(video.pictures())) == 10
        level = _levels(video)
    assert len(level) < 60
    assert level[:3].max() > 0.3 * level.max()


def _levels(video: VideoReader) -> np.ndarray:
    """Loudness of each hundredth of a second from the first picture on."""
    assert video.sound is not None
    samples = np.concatenate(list(video.sound.blocks(BLOCK)))[:, 0]
    rate = video.sound.format.rate
    before = round(float(video.sound_start) * rate)
    samples = np.concatenate([np.zeros(before), samples]) if before > 0 else samples[-before:]
    count = len(samples) // (rate // 100)
    return np.abs(samples[: count * (rate // 100)]).reshape(count, -1).max(1)


def test_a_bit_rate_counts_the_sound(run: partial, tmp_path: Path) -> None:
    source = clip(tmp_path / "clip.mp4", 50, sound=True)
    run("encode", source, "--model", "small-video", "--bitrate", 60)
    assert (tmp_path / "clip.lmc").stat().st_size * 8 / 2 < 1.25 * 60_000


def test_pipes(run: partial, tmp_path: Path) -> None:
    source = clip(tmp_path / "clip.y4m", 9)
    coded = run("encode", "-", "-", "--model", "small-video", stdin=source.read_bytes()).stdout
    back = run("decode", "-", "-", "--format", "y4m", stdin=coded).stdout
    assert pictures(back).shape == (9, 3, 48, 64)


def test_info_and_verify(run: partial, tmp_path: Path) -> None:
    run("encode", clip(tmp_path / "clip.mp4", 9), "--model", "small-video")
    facts = json.loads(run("info", tmp_path / "clip.lmc", "--json").stdout)
    assert (facts["kind"], facts["width"], facts["height"]) == ("video", 64, 48)
    assert b"9 pictures" in run("info", tmp_path / "clip.lmc").stdout
    assert b"checksums and codes" in run("verify", tmp_path / "clip.lmc").stdout


def test_a_damaged_file_is_refused_or_bridged(run: partial, tmp_path: Path) -> None:
    run("encode", clip(tmp_path / "clip.mp4"), "--model", "small-video")
    data = bytearray((tmp_path / "clip.lmc").read_bytes())
    entries = find_index(io.BytesIO(data))
    assert entries is not None
    data[entries[1].offset + 20] ^= 1
    (tmp_path / "clip.lmc").write_bytes(data)
    message = run("decode", tmp_path / "clip.lmc", tmp_path / "back.mp4", code=DAMAGED).stderr.decode()
    assert f"codes of chunk {entries[1].chunk}" in message
    assert not (tmp_path / "back.mp4").exists()
    run("decode", tmp_path / "clip.lmc", tmp_path / "back.mp4", "--partial")
    assert len(pictures(tmp_path / "back.mp4")) == 30


BAD = {
    "text": (b"This is a text.\n" * 100, "no video"),
    "cut": (movie("mp4", "mpeg4", from_rgb(waves(9)))[:-300], "damaged or truncated"),
    "no pictures": (b"YUV4MPEG2 W64 H48 F25:1 C420jpeg\n", "no pictures"),
    "other size on the way": (
        movie("mpegts", "mpeg2video", from_rgb(waves(5))) + movie("mpegts", "mpeg2video", from_rgb(waves(5, (32, 32)))),
        "change from 64 x 48 to 32 x 32",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_video_is_refused_and_nothing_is_left(run: partial, tmp_path: Path, name: str) -> None:
    data, text = BAD[name]
    source = tmp_path / ("clip.y4m" if name == "no pictures" else "clip.ts" if "size" in name else "clip.mp4")
    source.write_bytes(data)
    message = run("encode", source, tmp_path / "clip.lmc", "--model", "small-video", code=MEDIA).stderr.decode()
    assert text in message
    assert [path.name for path in tmp_path.iterdir()] == [source.name]


def test_missing_timestamps_are_made_up(run: partial, tmp_path: Path) -> None:
    """AVI has none."""
    (tmp_path / "clip.mp4").write_bytes(movie("avi", "mpeg4", from_rgb(waves(7))))
    run("encode", tmp_path / "clip.mp4", "--model", "small-video")
    run("decode", tmp_path / "clip.lmc", tmp_path / "back.mp4")
    assert len(pictures(tmp_path / "back.mp4")) == 7


def test_what_a_model_is_not_for_is_refused(run: partial, tmp_path: Path) -> None:
    source = clip(tmp_path / "clip.mp4", 2)
    assert "for pictures" in run("encode", source, "--model", "image-latent", code=USAGE).stderr.decode()
    run("encode", source, "--model", "small-tokens", "--quality", 5, code=USAGE)
    run("encode", source, "--model", "small-video", "--target-psnr", 30, code=USAGE)
    run("encode", source, "--model", "nothing", code=NO_MODEL)


@pytest.mark.parametrize("format", ["npy", "parquet"])
def test_scenes_become_records_and_come_back(run: partial, tmp_path: Path, format: str) -> None:
    source = tmp_path / "in"
    source.mkdir()
    clip(source / "clip.mkv", 40)
    run("tokenize", source, tmp_path / "tokens", "--model", "small-tokens", "--format", format)
    run("detokenize", tmp_path / "tokens", tmp_path / "out", "--format", "y4m")
    names = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.y4m"))
    assert names == ["clip/00000.y4m", "clip/00001.y4m", "clip/00002.y4m"]
    run("encode", source / "clip.mkv", "--model", "small-tokens")
    run("decode", source / "clip.lmc", tmp_path / "whole.y4m")
    scenes = np.concatenate([pictures(tmp_path / "out" / name) for name in names])
    assert np.array_equal(scenes, pictures(tmp_path / "whole.y4m"))


def test_tokens_of_a_file_are_those_of_its_video(run: partial, tmp_path: Path) -> None:
    from codec.generation import TokenDataset

    for name in ("raw", "coded"):
        (tmp_path / name).mkdir()
    clip(tmp_path / "raw" / "clip.mkv", 23)
    run("encode", tmp_path / "raw" / "clip.mkv", tmp_path / "coded" / "clip.lmc", "--model", "small-tokens")
    found = []
    for name in ("raw", "coded"):
        run("tokenize", tmp_path / name, tmp_path / f"{name}-tokens", "--model", "small-tokens")
        data = TokenDataset(tmp_path / f"{name}-tokens")
        found.append([data.record(i) for i in range(len(data))])
    assert [record.key for record in found[0]] == [record.key for record in found[1]] == ["clip/00000", "clip/00001"]
    for one, two in zip(*found, strict=True):
        assert np.array_equal(one.codes, two.codes)
        assert one.media == two.media


def test_no_videos_are_drawn_yet(run: partial, tmp_path: Path) -> None:
    message = run("generate", "--model", "small-tokens", tmp_path / "new.mp4", code=USAGE).stderr.decode()
    assert "not drawn yet" in message


@pytest.mark.parametrize(("model", "bits", "least"), [("video-tokens", 0.3, 20.0), ("video-latent", 1.0, 26.0)])
def test_shipped_models_give_back_what_moves(model: str, bits: float, least: float, tmp_path: Path) -> None:
    with Image.open("docs/samples/kodim23.png") as photo:
        frames = [np.asarray(photo.crop((200 + 3 * t, 100 + t, 376 + 3 * t, 220 + t))) for t in range(9)]
    format = VideoFormat(176, 120, Fraction(1, RATE), Fraction(RATE))
    with video_writer(tmp_path / "clip.y4m", format, ".y4m") as writer:
        for t, frame in enumerate(frames):
            writer.write(VideoFrame(np.ascontiguousarray(frame.transpose(2, 0, 1)), t))
    codec("encode", tmp_path / "clip.y4m", "--model", model)
    codec("decode", tmp_path / "clip.lmc", tmp_path / "back.y4m")
    found = pictures(tmp_path / "back.y4m").astype(float)
    errors = (found - np.stack(frames).transpose(0, 3, 1, 2)) ** 2
    assert (10 * np.log10(255**2 / errors.mean((1, 2, 3))) > least).all()
    assert (tmp_path / "clip.lmc").stat().st_size * 8 < bits * len(frames) * 176 * 120
