"""Seconds and memory of nearest-codeword search: both roads of `codec.quantizers` against vector-quantize-pytorch and faiss.

    python tools/benchmark_search.py [--json FILE] [--repeats 7] [--large]
    .venv-compare/bin/python tools/benchmark_search.py      (the peers: pip install vector-quantize-pytorch faiss-cpu there)

A step is one forward pass in training mode: search, gather and the update of running means. faiss, which has no update, adds the
codewords to a flat index and searches it. Each cell of the table runs in a process of its own on one core, in CPU seconds, so that
other work on the machine disturbs it little; the shortest step counts. Memory is the peak above what was resident before the first
step. The last table compares the search alone with the machine's best float32 matrix product. Peers that need over 4 GB for
a cell are left out; --large lets them try.
"""

import argparse
import importlib.util
import json
import os
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from codec.quantizers import EMACodebook, Residual, VectorQuantizer, kernel, nearest
from codec.quantizers.search import ROAD_VARIABLE

Result = TypeVar("Result")
METHODS = ("peer", "faiss", "torch", "kernel")


@dataclass(frozen=True)
class Shape:
    """What is searched: N queries of D dimensions, K codewords, and so many residual levels."""

    queries: int
    codes: int
    dim: int
    levels: int = 1

    def __str__(self) -> str:
        return f"{self.queries} x {self.codes} x {self.dim}" + (f", {self.levels} levels" if self.levels > 1 else "")


@dataclass(frozen=True)
class Cell:
    """What one method took for one step."""

    seconds: float
    extra_mb: float


SHAPES = (
    Shape(4096, 1024, 64),
    Shape(4096, 16_384, 64),
    Shape(4096, 16_384, 8),
    Shape(1024, 100_000, 64),
    Shape(4096, 262_144, 8),
    Shape(4096, 1024, 64, levels=8),
)
SHARES = (Shape(4096, 16_384, 8), Shape(4096, 1024, 64), Shape(4096, 16_384, 64), Shape(4096, 4096, 256))


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--large", action="store_true", help="also cells for which a peer needs over 4 GB")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    methods = [method for method in METHODS if is_there(method)]
    cells: dict[str, dict[str, Cell]] = {}
    for shape in SHAPES:
        fitting = [m for m in methods if m != "peer" or arguments.large or shape.queries * shape.codes < 2e8]
        cells[str(shape)] = {method: apart(step_cell, method, shape, arguments.repeats) for method in fitting}
        print_row(shape, cells[str(shape)])
    shares = {str(shape): apart(kernel_share, shape, arguments.repeats) for shape in SHARES if kernel.is_built()}
    for name, share in shares.items():
        print(f"{name:28} kernel at {share:.0%} of the best float32 matrix product")
    if arguments.json:
        rows = {shape: {method: asdict(cell) for method, cell in row.items()} for shape, row in cells.items()}
        arguments.json.write_text(json.dumps({"steps": rows, "shares": shares}, indent=2) + "\n")


def is_there(method: str) -> bool:
    """Whether a method can run here."""
    package = {"peer": "vector_quantize_pytorch", "faiss": "faiss"}.get(method)
    return kernel.is_built() if method == "kernel" else package is None or importlib.util.find_spec(package) is not None


def print_row(shape: Shape, row: dict[str, Cell]) -> None:
    """One line: seconds, memory and the gain over the peer."""
    texts = []
    for method, cell in row.items():
        gain = f" {row['peer'].seconds / cell.seconds:5.1f}x" if "peer" in row and method != "peer" else ""
        texts.append(f"{method} {1000 * cell.seconds:8.1f} ms {cell.extra_mb:5.0f} MB{gain}")
    print(f"{shape!s:28}", " | ".join(texts), flush=True)


def apart(run: Callable[..., Result], *arguments: object) -> Result:
    """The result of a function in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(run, *arguments).result()


def step_cell(method: str, shape: Shape, repeats: int) -> Cell:
    """Time and memory of a step."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    z = torch.randn(shape.queries, shape.dim)
    run = step_of(method, shape, z)
    before = resident_mb("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    with torch.no_grad():
        seconds = best_seconds(run, repeats)
    return Cell(seconds, resident_mb("VmHWM") - before)


def step_of(method: str, shape: Shape, z: Tensor) -> Callable[[], object]:
    """One training step of a method on `(N, D)` vectors."""
    if method == "faiss":
        return faiss_step(shape, z)
    module = peer_module(shape) if method == "peer" else own_module(method, shape)
    batch = z[None]
    return lambda: module(batch)


def own_module(method: str, shape: Shape) -> torch.nn.Module:
    """This package's quantizer, on one road for the whole process."""
    os.environ[ROAD_VARIABLE] = method
    stages = [VectorQuantizer(EMACodebook(shape.codes, shape.dim)) for _ in range(shape.levels)]
    return Residual(stages) if shape.levels > 1 else stages[0]


def peer_module(shape: Shape) -> torch.nn.Module:
    """The most used package's quantizer, as it comes."""
    from vector_quantize_pytorch import ResidualVQ, VectorQuantize

    if shape.levels > 1:
        return ResidualVQ(dim=shape.dim, codebook_size=shape.codes, num_quantizers=shape.levels)
    return VectorQuantize(dim=shape.dim, codebook_size=shape.codes)


def faiss_step(shape: Shape, z: Tensor) -> Callable[[], object]:
    """Exact search by a flat index, filled anew as the codewords move at every step."""
    import faiss

    faiss.omp_set_num_threads(1)
    queries, codewords = z.numpy(), torch.randn(shape.codes, shape.dim).numpy()

    def run() -> None:
        for _ in range(shape.levels):
            index = faiss.IndexFlatL2(shape.dim)
            index.add(codewords)
            index.search(queries, 1)

    return run


def kernel_share(shape: Shape, repeats: int) -> float:
    """Products per second of the search, over those of a large matrix product by the faster of torch's roads."""
    torch.set_num_threads(1)
    z, e = torch.randn(shape.queries, shape.dim), torch.randn(shape.codes, shape.dim)
    square, rates = torch.randn(1536, 1536), []
    rates.append(shape.queries * shape.codes * shape.dim / best_seconds(lambda: nearest(z, e), repeats))
    for precision in ("highest", "medium"):
        torch.set_float32_matmul_precision(precision)
        rates.append(len(square) ** 3 / best_seconds(lambda: square @ square, repeats))
    return rates[0] / max(rates[1:])


def best_seconds(run: Callable[[], object], repeats: int) -> float:
    """CPU seconds of the shortest of several runs, after one that does not count."""
    seconds = []
    for _ in range(repeats + 1):
        begin = time.process_time()
        run()
        seconds.append(time.process_time() - begin)
    return min(seconds[1:])


def resident_mb(field: str) -> float:
    """A line of /proc/self/status, in units of 10^6 bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024 / 1e6
    raise RuntimeError(f"expected {field} in /proc/self/status; this tool needs Linux")


if __name__ == "__main__":
    main()
