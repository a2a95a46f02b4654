"""Speed and size of the entropy coder beside others, on one core: arrays in, bytes out, and back.

Symbols are Gaussians of 64 scales, in random order; every coder gets the same symbols in the same run. "Over" compares its bytes
with the code length under the exact Gaussians, so it holds the rounding of tables as well as the coder's own loss.

    python tools/benchmark_coder.py [--symbols 1000000] [--repeats 10] [--json FILE]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from codec import coding

IntegerArray = NDArray[np.int64]


@dataclass(frozen=True)
class Sample:
    """What is coded: symbols `(n,)`, for each the index of its scale, and the scales `(T,)`."""

    symbols: IntegerArray
    rows: IntegerArray
    scales: NDArray[np.float64]

    def ideal_bits(self) -> float:
        """Code length under the exact Gaussians."""
        pairs, counts = np.unique(np.stack([self.rows, np.abs(self.symbols)]), axis=1, return_counts=True)
        edges = (np.maximum(pairs[1], 0.5) - 0.5, pairs[1] + 0.5)  # of 0, the half above it
        scaled = [edge / (self.scales[pairs[0]] * math.sqrt(2)) for edge in edges]
        mass = [0.5 * (math.erfc(low) - math.erfc(high)) for low, high in zip(*scaled, strict=True)]
        return float(-(counts * np.log2(np.where(pairs[1] == 0, 2, 1) * mass)).sum())


@dataclass(frozen=True)
class Coder:
    """A coder under test; `decode` takes what `encode` gave."""

    name: str
    encode: Callable[[], bytes]
    decode: Callable[[bytes], IntegerArray]


@dataclass(frozen=True)
class Result:
    """One line of the table; speeds in million symbols a second."""

    name: str
    encode_msym_s: float
    decode_msym_s: float
    size_bytes: int
    over_percent: float


def draw_sample(count: int, seed: int) -> Sample:
    """Symbols of 64 scales from 0.11 to 20."""
    random = np.random.default_rng(seed)
    scales = np.geomspace(0.11, 20, 64)
    rows = random.integers(0, scales.size, count)
    return Sample(np.rint(random.normal(0, scales[rows])).astype(np.int64), rows, scales)


def coders(sample: Sample) -> Iterator[Coder]:
    """Ours with each number of lanes, and those others that are installed."""
    tables = coding.gaussian_tables(sample.scales.tolist())
    for lanes in (1, 4, 8):
        yield Coder(
            f"codec, {lanes} lane{'s' * (lanes > 1)}",
            lambda lanes=lanes: coding.encode(sample.symbols, sample.rows, tables, lanes),  # type: ignore[misc]
            lambda data: coding.decode(data, sample.rows, tables),
        )
    for name, make in (("constriction", constriction_coders), ("compressai", compressai_coders)):
        if importlib.util.find_spec(name) is None:
            print(f"{name} is not installed: left out")
        else:
            yield from make(sample)


def constriction_coders(sample: Sample) -> Iterator[Coder]:
    """Its ANS coder with its own quantised Gaussians, 24 bits: its interface takes no integer tables."""
    import constriction

    reach = int(np.abs(sample.symbols).max())
    model = constriction.stream.model.QuantizedGaussian(-reach, reach)
    symbols, scales = sample.symbols.astype(np.int32), sample.scales[sample.rows]
    means = np.zeros(scales.size)

    def encode() -> bytes:
        coder = constriction.stream.stack.AnsCoder()
        coder.encode_reverse(symbols, model, means, scales)
        return coder.get_compressed().tobytes()

    def decode(data: bytes) -> IntegerArray:
        return constriction.stream.stack.AnsCoder(np.frombuffer(data, np.uint32)).decode(model, means, scales)

    yield Coder("constriction", encode, decode)


def compressai_coders(sample: Sample) -> Iterator[Coder]:
    """Its rANS coder with our frequencies and escapes: arrays in and out, as the others; and with its lists made outside the clock."""
    from compressai.ans import RansDecoder, RansEncoder

    tables = coding.gaussian_tables(sample.scales.tolist())
    parts = np.split(tables.frequencies.astype(np.int64), tables.starts[1:])
    cumulative = [[0, *np.cumsum(part).tolist()] for part in parts]
    lengths, offsets = [len(sums) for sums in cumulative], tables.offsets.tolist()
    symbol_list, row_list = sample.symbols.tolist(), sample.rows.tolist()

    def encode(symbols: list[int], rows: list[int]) -> bytes:
        return RansEncoder().encode_with_indexes(symbols, rows, cumulative, lengths, offsets)

    def decode(data: bytes, rows: list[int]) -> list[int]:
        return RansDecoder().decode_with_indexes(data, rows, cumulative, lengths, offsets)

    yield Coder(
        "compressai, arrays",
        lambda: encode(sample.symbols.tolist(), sample.rows.tolist()),
        lambda data: np.array(decode(data, sample.rows.tolist())),
    )
    yield Coder(
        "compressai, lists",
        lambda: encode(symbol_list, row_list),
        lambda data: decode(data, row_list),  # type: ignore[arg-type, return-value]
    )


def measure(coder: Coder, sample: Sample, repeats: int) -> Result:
    """Best of `repeats` runs each way, after one that compiles and checks."""
    data = coder.encode()
    if not np.array_equal(coder.decode(data), sample.symbols):
        raise AssertionError(f"{coder.name} does not decode what it encoded")
    million = sample.symbols.size / 1e6
    return Result(
        coder.name,
        million / best_seconds(coder.encode, repeats),
        million / best_seconds(lambda: coder.decode(data), repeats),
        len(data),
        100 * (8 * len(data) / sample.ideal_bits() - 1),
    )


def best_seconds(run: Callable[[], object], repeats: int) -> float:
    """The shortest of several runs."""
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - begin)
    return min(seconds)


def main() -> None:
    """Measure, print and, if asked, write JSON."""
    parser = argparse.ArgumentParser(description="speed and size of the entropy coder beside others, on one core")
    parser.add_argument("--symbols", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="also write the results here")
    arguments = parser.parse_args()
    sample = draw_sample(arguments.symbols, arguments.seed)
    print(f"{'coder':20}{'encode':>10}{'decode':>10}  Msym/s{'bytes':>12}{'over':>10}")
    results = []
    for coder in coders(sample):
        results.append(measure(coder, sample, arguments.repeats))
        encode, decode, size, over = list(asdict(results[-1]).values())[1:]
        print(f"{coder.name:20}{encode:10.1f}{decode:10.1f}{size:20}{over:9.3f} %")
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(result) for result in results], indent=2) + "\n")


if __name__ == "__main__":
    main()
