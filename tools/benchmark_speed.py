"""Seconds for one picture: each verb in a fresh process, and encode and decode in a warm one with where the time goes.

A fresh process is the installed `codec` script, from start to exit; the median of its runs counts. In a warm process each part is
run on its own and the shortest run counts; coder and container are what is left of a whole when its parts are taken away, so
they carry the noise of both.

    python tools/benchmark_speed.py PICTURE [--model NAME] [--runs 5] [--threads N] [--json FILE] [--no-fresh]
    .venv-compare/bin/python tools/benchmark_speed.py PICTURE --model NAME --compare

With --compare the same picture goes through CompressAI's mbt2018-mean, quality 3, in the same process; see `peer_codec.py` for what
that codes. Its seconds are from samples to bytes and back, as ours. For a large picture and peak memory see `benchmark_memory.py`.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from codec.entropy import EntropyModel, Layout, decode_chunk, encode_chunk
from codec.entropy.driver import source_of, walk
from codec.media import read_image
from codec.models import LatentCodec, TokenCodec, load
from codec.models.base import Codec, Encoding, PriorName
from codec.models.rate import gain_of
from codec.models.tiling import block_around, cut_block, tiles
from codec.types import Codes, Media

Seconds = dict[str, float]
PEER = ("mbt2018-mean", 3)


def fresh_processes(picture: Path, model: str, runs: int, threads: int) -> Seconds:
    """Median wall time of verbs, each run in a process of its own."""
    script = Path(sys.executable).with_name("codec")
    command = [str(script)] if script.is_file() else [sys.executable, "-m", "codec"]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)}
    with tempfile.TemporaryDirectory() as folder:
        coded, decoded = f"{folder}/picture.lmc", f"{folder}/picture.png"
        verbs = {
            "encode": ["encode", str(picture), coded, "--model", model, "--force"],
            "decode": ["decode", coded, decoded, "--force"],
            "info": ["info", coded],
            "models": ["models"],
            "help": ["--help"],
        }

        def seconds(arguments: list[str]) -> float:
            begin = time.perf_counter()
            subprocess.run([*command, *arguments], check=True, capture_output=True, env=environment)
            return time.perf_counter() - begin

        for arguments in verbs.values():  # once for the caches of compiled code, and so that there is a file to read
            seconds(arguments)
        return {name: statistics.median(seconds(verb) for _ in range(runs)) for name, verb in verbs.items()}


def warm_encode(codec: TokenCodec, media: Media, prior: PriorName, runs: int) -> Seconds:
    """Encoding to bytes, and its parts."""
    pixels = media.samples.expand(3, -1, -1)[None]
    codes, model, encoding = codec.encode(pixels), codec.priors()[prior], Encoding(prior=prior)
    latents = codec.quantizer.decode(torch.stack([plane.codes for plane in codes.planes], -1))
    parts = {
        "total": best(lambda: codec.compress(media, encoding), runs),
        "transform": best(lambda: [codec.encoder(block) for block in blocks(codec, pixels)], runs),
        "quantizer": best(lambda: codec.quantizer.encode(latents), runs),
        "prior": best(lambda: walk_given(model, codec, codes), runs),
    }
    chunks = best(lambda: [encode_chunk(model, part) for part in chunked(codec, codes)], runs)
    file = best(lambda: codec.write(media, codes, io.BytesIO(), prior), runs)
    return parts | {"coder": chunks - parts["prior"], "container": file - chunks}


def warm_decode(codec: TokenCodec, data: bytes, prior: PriorName, runs: int) -> Seconds:
    """Decoding from bytes, and its parts."""
    codes, model = codec.read_codes(io.BytesIO(data)), codec.priors()[prior]
    planes = chunked(codec, codes)
    streams = [encode_chunk(model, part) for part in planes]
    layouts = [Layout(tuple((plane.shape[0], plane.shape[1]) for plane in part)) for part in planes]

    def decode_chunks() -> None:
        for layout, stream in zip(layouts, streams, strict=True):
            decode_chunk(model, layout, stream)

    parts = {
        "total": best(lambda: codec.decompress(data), runs),
        "transform": best(lambda: codec.decode(codes), runs),
        "prior": best(lambda: walk_given(model, codec, codes), runs),
    }
    chunks, file = best(decode_chunks, runs), best(lambda: codec.read_codes(io.BytesIO(data)), runs)
    return parts | {"coder": chunks - parts["prior"], "container": file - chunks}


def latent_encode(codec: LatentCodec, media: Media, quality: int, runs: int) -> Seconds:
    """Encoding to bytes, and its parts; the rest is container."""
    pixels, gain, encoding = media.samples.expand(3, -1, -1)[None], gain_of(quality), Encoding(quality=quality)
    picture = codec.picture(pixels)
    return {
        "total": best(lambda: codec.compress(media, encoding), runs),
        "transform": best(lambda: codec.analyse(pixels), runs),
        "entropy": best(lambda: picture.streams(gain), runs),
    }


def latent_decode(codec: LatentCodec, data: bytes, runs: int) -> Seconds:
    """Decoding from bytes, and its parts: the lossless half, and what is left."""
    total = best(lambda: codec.decompress(data), runs)
    entropy = best(lambda: codec.read_codes(io.BytesIO(data)), runs)
    return {"total": total, "transform": total - entropy, "entropy": entropy}


def warm(codec: Codec, media: Media, runs: int) -> dict[str, Seconds]:
    """Both ways of a model, for each of its priors or at a few qualities."""
    results = {}
    if isinstance(codec, LatentCodec):
        for quality in (10, 50, 90):
            data = codec.compress(media, Encoding(quality=quality))
            results[f"encode, quality {quality}"] = latent_encode(codec, media, quality, runs)
            results[f"decode, quality {quality}"] = latent_decode(codec, data, runs)
        return results
    assert isinstance(codec, TokenCodec)
    for prior in codec.priors():
        data = codec.compress(media, Encoding(prior=prior))
        results[f"encode, {prior} prior"] = warm_encode(codec, media, prior, runs)
        results[f"decode, {prior} prior"] = warm_decode(codec, data, prior, runs)
    return results


def warm_peer(media: Media, runs: int) -> dict[str, Seconds]:
    """The same of another codec, without parts."""
    from peer_codec import PeerCodec

    peer = PeerCodec(*PEER)
    data = peer.compress(media)
    name = f"{PEER[0]} {PEER[1]}"
    return {
        f"encode, {name}": {"total": best(lambda: peer.compress(media), runs)},
        f"decode, {name}": {"total": best(lambda: peer.decompress(data), runs)},
    }


def blocks(codec: TokenCodec, pixels: Tensor) -> list[Tensor]:
    """What the encoder sees: the canonical blocks of a picture."""
    height, width = (-(-side // codec.stride) for side in pixels.shape[-2:])
    found = []
    for tile in tiles((height, width), codec.tile):
        block = cut_block(pixels, block_around(tile, (height, width), codec.tile, codec.encoder.halo), codec.stride)
        found.append((block.float() / 255).contiguous(memory_format=torch.channels_last))
    return found


def chunked(codec: TokenCodec, codes: Codes) -> list[list[Tensor]]:
    """The planes of each chunk."""
    return [
        [plane.codes[0, part.rows, part.columns] for plane in codes.planes] for part in tiles(codes.grid, codec.chunk)
    ]


def walk_given(model: EntropyModel, codec: TokenCodec, codes: Codes) -> None:
    """Compute the tables of every step and code nothing."""
    for part in chunked(codec, codes):
        walk(model, Layout(tuple((plane.shape[0], plane.shape[1]) for plane in part)), source_of(model, part))


def best(run: Callable[[], object], runs: int) -> float:
    """The shortest of several runs, after one that does not count."""
    seconds = []
    for _ in range(runs + 1):
        begin = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begin)
    return min(seconds[1:])


@torch.inference_mode()
def main() -> None:
    """Measure, print and, if asked, write JSON."""
    parser = argparse.ArgumentParser(description="seconds for one picture, in fresh processes and in a warm one")
    parser.add_argument("picture", type=Path)
    parser.add_argument("--model", default="image-tokens-f8")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--no-fresh", action="store_true", help="leave out the runs in fresh processes")
    parser.add_argument("--compare", action="store_true", help="beside CompressAI's mbt2018-mean, in .venv-compare")
    parser.add_argument("--json", type=Path, help="also write the results here")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    media, results = read_image(arguments.picture), {}
    if not (arguments.no_fresh or arguments.compare):
        results["fresh"] = fresh_processes(arguments.picture, arguments.model, arguments.runs, arguments.threads)
    results |= warm(load(arguments.model), media, arguments.runs)
    if arguments.compare:
        results |= warm_peer(media, arguments.runs)
    for title, seconds in results.items():
        print(f"{title:24}", "  ".join(f"{name} {value:.4f}" for name, value in seconds.items()))
    if arguments.json:
        facts = {"picture": str(arguments.picture.name), "model": arguments.model, "threads": arguments.threads}
        arguments.json.write_text(json.dumps(facts | {"seconds": results}, indent=2) + "\n")


if __name__ == "__main__":
    main()
