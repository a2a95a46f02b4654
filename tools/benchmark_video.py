"""Measure codecs of video against x264, x265 and SVT-AV1 on the same frames, and tokens of video against tokens of pictures.

    python tools/benchmark_video.py --data VIDEOS --out FILE.json [--models video-latent,video-tokens] [--frames 96]
    python tools/benchmark_video.py --data VIDEOS --out FILE.json --images image-tokens-f16,image-tokens-f8
    python tools/benchmark_video.py --data VIDEOS --out FILE.json --models video-latent --bitrates 60,120,240,480

Rows that FILE has already are not measured again, so that a run can be stopped and goes on; the tables are of all rows in it.
Bytes of a model are those of its whole file; of a baseline those of the bare stream. Pictures' tokens are counted without the heads
of their files: as many coder streams as frames. With `--bitrates` models are asked for these in place of qualities. BD-rates are those
of the mean of the frames' PSNRs in RGB, video by video; MS-SSIM at equal bytes is interpolated in decibels over the logarithm of bytes.
"""

import argparse
import io
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from codec.container import Reader, SectionType
from codec.errors import UsageError
from codec.evaluation import (
    VIDEO_BASELINES,
    VideoQuality,
    VideoResult,
    bd_rate,
    measure_video,
    measure_video_baseline,
    video_curve,
)
from codec.media.files import whole_file
from codec.media.video import VideoFormat, open_video
from codec.models import Encoding, TokenCodec, VideoLatentCodec, load
from codec.models.video import VideoFiles
from codec.types import Media

QUALITIES = (5, 20, 35, 50, 65, 80)
CRFS = {"libx264": (18, 23, 28, 33, 38), "libx265": (18, 23, 28, 33, 38), "libsvtav1": (20, 30, 40, 50, 60)}
ANCHOR, BY_RATE = "x264-veryfast-ld", "-cbr"
TOKENS, PICTURES = "video-tokens", ("image-tokens-f16", "image-tokens-f8")


@dataclass(frozen=True)
class Clip:
    """One video in memory."""

    name: str
    frames: list[Tensor]
    format: VideoFormat

    @property
    def pixels(self) -> int:
        """Of all frames."""
        return len(self.frames) * self.frames[0][0].numel()


def clips(folder: Path, most: int | None) -> Iterator[Clip]:
    """The first frames of every video of a folder."""
    for path in sorted(folder.glob("*.mp4")):
        with open_video(path) as video:
            frames: list[Tensor] = []
            for frame in video.pictures():
                if most is not None and len(frames) >= most:
                    break
                frames.append(torch.from_numpy(frame.pixels))
        yield Clip(path.stem, frames, video.format)


def result(
    clip: Clip, codec: str, setting: int, size: int, decoded: Sequence[Tensor], seconds: tuple[float, float]
) -> VideoResult:
    """A row."""
    rate = float(clip.format.rate)
    return VideoResult(
        codec=codec,
        setting=setting,
        bytes=size,
        bits_per_pixel=8 * size / clip.pixels,
        kbps=8 * size * rate / len(clip.frames) / 1000,
        quality=measure_video(clip.frames, decoded),
        encode_seconds=seconds[0],
        decode_seconds=seconds[1],
    )


def measure_model(model: VideoFiles, name: str, clip: Clip, setting: int, encoding: Encoding) -> VideoResult:
    """A whole file and back."""
    media = Media("video", torch.stack(clip.frames, 1), {"rate": str(clip.format.rate).encode()})
    begin = time.perf_counter()
    data = model.compress(media, encoding)
    middle = time.perf_counter()
    decoded = model.decompress(data).samples
    end = time.perf_counter()
    return result(clip, name, setting, len(data), list(decoded.unbind(1)), (middle - begin, end - middle))


def measure_pictures(model: TokenCodec, name: str, clip: Clip) -> VideoResult:
    """Every frame as a picture of its own; only its coder streams count."""
    size, decoded, seconds = 0, [], [0.0, 0.0]
    for frame in clip.frames:
        begin = time.perf_counter()
        data = model.compress(Media("image", frame))
        seconds[0] += time.perf_counter() - begin
        size += sum(len(section.payload) for section in Reader(io.BytesIO(data)) if section.type == SectionType.CODES)
        begin = time.perf_counter()
        decoded.append(model.decompress(data).samples)
        seconds[1] += time.perf_counter() - begin
    return result(clip, name, 0, size, decoded, (seconds[0], seconds[1]))


def jobs(arguments: argparse.Namespace) -> Iterator[tuple[str, int, Callable[[Clip], VideoResult]]]:
    """Codec, setting, and what measures it."""
    for name in _names(arguments.baselines):
        baseline = VIDEO_BASELINES[name]
        for crf in CRFS[baseline.encoder]:
            yield (
                name,
                crf,
                lambda clip, one=baseline, crf=crf: measure_video_baseline(  # type: ignore[misc]
                    one, clip.frames, float(clip.format.rate), [crf], threads=arguments.threads
                )[0],
            )
    for name in _names(arguments.models):
        model = cast(VideoFiles, load(name))
        for codec, setting, encoding in settings(model, name, _names(arguments.bitrates)):
            yield (
                codec,
                setting,
                lambda clip, model=model, codec=codec, setting=setting, encoding=encoding: measure_model(  # type: ignore[misc]
                    model, codec, clip, setting, encoding
                ),
            )
    for name in _names(arguments.images):
        pictures = cast(TokenCodec, load(name))
        yield name, 0, lambda clip, model=pictures, name=name: measure_pictures(model, name, clip)  # type: ignore[misc]


def settings(model: VideoFiles, name: str, bitrates: Sequence[str]) -> list[tuple[str, int, Encoding]]:
    """Name, number and choices of each row of a model."""
    if bitrates:
        return [(name + BY_RATE, int(kbps), Encoding(bitrate=1000.0 * int(kbps))) for kbps in bitrates]
    if isinstance(model, VideoLatentCodec):
        return [(name, quality, Encoding(quality=quality)) for quality in QUALITIES]
    return [(name, 0, Encoding())]


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def row_of(entry: dict[str, Any]) -> VideoResult:
    """From JSON."""
    return VideoResult(**entry | {"quality": VideoQuality(**entry["quality"])})


def tables(rows: dict[str, dict[str, list[VideoResult]]]) -> str:
    """All of a file, as text: means over the videos that a codec was measured on, and BD-rates."""
    lines = [
        "| codec | setting | bits/pixel | kbit/s | PSNR | deviation | MS-SSIM | warping | banding | encode f/s | decode f/s |",
        "|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    codecs = sorted({codec for video in rows.values() for codec in video})
    for codec in codecs:
        for setting in sorted({row.setting for video in rows.values() for row in video.get(codec, [])}):
            found = [row for video in rows.values() for row in video.get(codec, []) if row.setting == setting]
            lines.append(_line(codec, setting, found))
    lines += [
        "",
        f"BD-rate against {ANCHOR}, in %:",
        "",
        "| codec | " + " | ".join(rows) + " | mean |",
        "|---|" + "---|" * (len(rows) + 1),
    ]
    for codec in codecs:
        if codec != ANCHOR and all(len(video.get(codec, [])) >= 4 for video in rows.values()):
            lines.append(_bd_line(codec, rows))
    for codec in codecs:
        if codec.startswith(TOKENS) and all(codec in video for video in rows.values()):
            lines += ["", f"MS-SSIM at the bytes of {codec}:", "", "| codec | " + " | ".join(rows) + " | mean |"]
            lines += ["|---|" + "---|" * (len(rows) + 1)]
            lines += [_similarity_line(own, codec, rows) for own in ([codec], list(PICTURES), [ANCHOR])]
    asked = [row for video in rows.values() for found in video.values() for row in found if row.codec.endswith(BY_RATE)]
    if asked:
        lines += ["", "Kept to bit rates:", "", "| codec | kbit/s | least | most |", "|---|---|---|---|"]
    for codec, kbps in sorted({(row.codec, row.setting) for row in asked}):
        shares = [row.kbps / kbps for row in asked if (row.codec, row.setting) == (codec, kbps)]
        lines.append(f"| {codec} | {kbps} | {min(shares) - 1:+.1%} | {max(shares) - 1:+.1%} |")
    return "\n".join(lines)


def _line(codec: str, setting: int, found: Sequence[VideoResult]) -> str:
    def mean(of: Callable[[VideoResult], float | None], form: str) -> str:
        values = [value for row in found if (value := of(row)) is not None]
        return format(fmean(values), form) if values else "-"

    parts = [
        mean(lambda row: row.bits_per_pixel, ".4f"),
        mean(lambda row: row.kbps, ".1f"),
        mean(lambda row: row.quality.psnr_db, ".2f"),
        mean(lambda row: row.quality.psnr_deviation_db, ".2f"),
        mean(lambda row: row.quality.ms_ssim, ".4f"),
        mean(lambda row: row.quality.warping_error, ".5f"),
        mean(lambda row: row.quality.banding, ".4f"),
        mean(lambda row: row.quality.frames / row.encode_seconds, ".1f"),
        mean(lambda row: row.quality.frames / row.decode_seconds, ".1f"),
    ]
    return f"| {codec} | {setting} | " + " | ".join(parts) + " |"


def _bd_line(codec: str, rows: dict[str, dict[str, list[VideoResult]]]) -> str:
    found: list[float | None] = []
    for video in rows.values():
        try:
            found.append(bd_rate(video_curve(video[ANCHOR]), video_curve(video[codec])))
        except (KeyError, UsageError):
            found.append(None)
    known = [value for value in found if value is not None]
    shown = ["-" if value is None else f"{value:+.1f}" for value in found]
    mean = f"{fmean(known):+.1f}" if len(known) == len(found) else "-"
    return f"| {codec} | " + " | ".join(shown) + f" | {mean} |"


def _similarity_line(own: list[str], codec: str, rows: dict[str, dict[str, list[VideoResult]]]) -> str:
    """MS-SSIM of some codecs' rows, interpolated at the bytes of another; beyond their ends, that of the end."""
    found = []
    for video in rows.values():
        curve = sorted((row.bits_per_pixel, row.quality.ms_ssim) for name in own for row in video.get(name, []))
        if not curve or any(similarity is None for _, similarity in curve):
            return f"| {' and '.join(own)} |" + " - |" * (len(rows) + 1)
        rates, similarities = np.array(curve, float).T
        decibels = np.interp(np.log(video[codec][0].bits_per_pixel), np.log(rates), -10 * np.log10(1 - similarities))
        found.append(float(1 - 10 ** (-decibels / 10)))
    shown = " | ".join(f"{value:.4f}" for value in [*found, fmean(found)])
    return f"| {' and '.join(own)} | {shown} |"


def main() -> None:
    """Measure what is missing, print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of MP4 files")
    parser.add_argument("--out", type=Path, required=True, help="JSON file of all rows")
    parser.add_argument("--models", default="video-latent,video-tokens")
    parser.add_argument("--bitrates", default="", help="kbit/s that models are asked for, in place of qualities")
    parser.add_argument("--images", default="", help="tokenizers of pictures, frame by frame")
    parser.add_argument("--baselines", default=",".join(VIDEO_BASELINES))
    parser.add_argument("--frames", type=int, help="of each video, at most")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    stored = json.loads(arguments.out.read_text()) if arguments.out.exists() else []
    done = {(entry["video"], entry["codec"], entry["setting"]) for entry in stored}
    videos = list(clips(arguments.data, arguments.frames))
    for codec, setting, measure in jobs(arguments):
        for clip in videos:
            if (clip.name, codec, setting) in done:
                continue
            row = measure(clip)
            stored.append({"video": clip.name, **asdict(row)})
            with whole_file(arguments.out) as file:
                file.write(json.dumps(stored, indent=1).encode() + b"\n")
            print(
                f"{clip.name:24} {codec:20} {setting:3} {row.bits_per_pixel:.4f} bpp {row.quality.psnr_db:.2f} dB",
                flush=True,
            )
    rows: dict[str, dict[str, list[VideoResult]]] = {}
    for entry in stored:
        video = entry.pop("video")
        rows.setdefault(video, {}).setdefault(entry["codec"], []).append(row_of(entry))
    print(tables(rows))


if __name__ == "__main__":
    main()
