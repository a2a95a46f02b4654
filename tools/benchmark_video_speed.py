"""Frames a second and memory of a codec of video, each measured in a process of its own.

    python tools/benchmark_video_speed.py --model video-latent                       # frames a second at 352x288, 1 and 2 threads
    python tools/benchmark_video_speed.py --model video-latent --size 1280x720 --frames 30,60,120 --threads 2

Memory is the peak of the process that encodes, or decodes, as many frames; where it does not grow with their number, it does not grow
with length. Frames are clouds and texture under a camera that moves, read from a YUV4MPEG2 file that another process wrote.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from fractions import Fraction
from multiprocessing import Process
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import torch
from torch.nn import functional as F

from codec.media.video import Chroma, VideoFormat, VideoFrame, open_video
from codec.media.video_writing import video_writer
from codec.models import Encoding, VideoLatentCodec, load
from codec.models.video import VideoFiles

SPEED = (5, 3)  # pixels a frame, down and right


def scene(width: int, height: int, frames: int) -> Iterator[VideoFrame]:
    """Clouds and texture, moving; with a little noise, as cameras make."""
    generator = torch.Generator().manual_seed(0)
    sides = height + SPEED[0] * 64, width + SPEED[1] * 64
    whole = torch.zeros(1, 3, *sides)
    for cells in (4, 16, 64, 200):
        noise = torch.rand(1, 3, cells, cells, generator=generator)
        whole += F.interpolate(noise, sides, mode="bilinear") / cells**0.4
    pixels = ((whole - whole.amin()) / (whole.amax() - whole.amin()) * 255)[0]
    for t in range(frames):
        turn = t % 128
        steps = turn if turn < 64 else 128 - turn
        top, left = SPEED[0] * steps, SPEED[1] * steps
        cut = pixels[:, top : top + height, left : left + width]
        noisy = cut + 2 * torch.randn(cut.shape, generator=generator)
        yield VideoFrame(np.ascontiguousarray(noisy.clamp(0, 255).byte().numpy()), t)


def write_scene(path: Path, width: int, height: int, frames: int) -> None:
    """The scene as a file."""
    chroma: Chroma = "420" if width % 2 == height % 2 == 0 else "444"
    with video_writer(path, VideoFormat(width, height, Fraction(1, 25), Fraction(25), chroma), ".y4m") as writer:
        for frame in scene(width, height, frames):
            writer.write(frame)


def measure(arguments: argparse.Namespace) -> dict[str, float]:
    """In this process: encode a file, or decode it."""
    torch.set_num_threads(arguments.threads)
    model = cast(VideoFiles, load(arguments.model))
    source, path = Path(arguments.folder) / "scene.y4m", Path(arguments.folder) / "scene.lmc"
    begin = time.perf_counter()
    if arguments.child == "encode":
        encoding = Encoding(quality=arguments.quality if isinstance(model, VideoLatentCodec) else None)
        with open_video(source) as video, path.open("wb") as file:
            model.write(video, cast(BinaryIO, file), encoding)
    else:
        with path.open("rb") as coded:
            assert sum(1 for _ in model.open(cast(BinaryIO, coded)).pictures()) == arguments.count
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"frames_a_second": arguments.count / seconds, "peak_mb": peak, "bytes": path.stat().st_size}


def main() -> None:
    """Both directions, for all numbers of frames and threads."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--size", type=lambda text: tuple(map(int, text.split("x"))), default=(352, 288))
    parser.add_argument("--frames", default="50")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--quality", type=int, default=40)
    parser.add_argument("--child", choices=("encode", "decode"), help=argparse.SUPPRESS)
    parser.add_argument("--count", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        arguments.threads = int(arguments.threads)
        print(json.dumps(measure(arguments)))
        return
    width, height = arguments.size
    print("| frames | threads | direction | frames/s | peak MB |\n|---|---|---|---|---|")
    for count in map(int, arguments.frames.split(",")):
        with tempfile.TemporaryDirectory() as folder:
            maker = Process(target=write_scene, args=(Path(folder) / "scene.y4m", width, height, count))
            maker.start()  # a process of its own: what a child inherits of its parent's memory counts
            maker.join()
            for threads in arguments.threads.split(","):
                for child in ("encode", "decode"):
                    own = ["--model", arguments.model, "--threads", threads, "--quality", str(arguments.quality)]
                    own += ["--child", child, "--count", str(count), "--folder", folder]
                    done = subprocess.run([sys.executable, __file__, *own], capture_output=True, text=True, check=True)
                    found = json.loads(done.stdout.splitlines()[-1])
                    print(
                        f"| {count} | {threads} | {child} | {found['frames_a_second']:.1f} | {found['peak_mb']:.0f} |",
                        flush=True,
                    )


if __name__ == "__main__":
    main()
