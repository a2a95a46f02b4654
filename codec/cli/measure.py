"""Measure codecs on pictures: a model through its real file, a classical codec at no fewer bytes; print the means."""

import time
from collections.abc import Iterator, Sequence

from codec.errors import UsageError
from codec.evaluation import BASELINES, Baseline, CodecSummary, CodedImage
from codec.models import Codec
from codec.types import Media


def parse_baselines(names: str) -> list[Baseline]:
    """Classical codecs from a comma-separated list."""
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in BASELINES]
    if unknown:
        raise UsageError(f"unknown baseline {', '.join(unknown)}: choose from {', '.join(BASELINES)}")
    return [BASELINES[name] for name in wanted]


def code_with_model(name: str, codec: Codec, media: Media) -> CodedImage:
    """Encode to the bytes of a file, decode from them, with the wall time of each."""
    begin = time.perf_counter()
    data = codec.compress(media)
    middle = time.perf_counter()
    decoded = codec.decompress(data).samples
    return CodedImage(name, None, data, decoded, middle - begin, time.perf_counter() - middle)


def code_with_baselines(classical: Sequence[Baseline], media: Media, target_bytes: int) -> Iterator[CodedImage]:
    """Each classical codec at the smallest quality that spends at least `target_bytes`."""
    for codec in classical:
        yield codec.at_size(media.samples, target_bytes)


def format_table(means: Sequence[CodecSummary]) -> str:
    """Aligned columns, a codec a line."""
    lines = [f"{'codec':18} {'bytes':>9} {'bpp':>7} {'PSNR dB':>8} {'MS-SSIM':>8} {'enc s':>7} {'dec s':>7}"]
    for row in means:
        similarity = "-" if row.ms_ssim is None else f"{row.ms_ssim:.4f}"
        lines.append(
            f"{row.codec:18} {row.bytes:9.0f} {row.bits_per_pixel:7.3f} {row.psnr_db:8.2f} {similarity:>8}"
            f" {row.encode_seconds:7.3f} {row.decode_seconds:7.3f}"
        )
    return "\n".join(lines)
