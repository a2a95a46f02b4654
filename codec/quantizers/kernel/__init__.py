"""The C++ road of the search: there if pip found a compiler; called through ctypes, which lets go of the interpreter's lock."""

import ctypes
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import torch
from torch import Tensor

VERSION = 3  # of the library's interface, as in nearest.cpp
INSTRUCTION_SETS = ("plain", "avx2", "avx512", "avx512_bf16")
COARSE_FROM = 8  # dimensions from which a filter in bfloat16 pays: below, too much is left to the decision
QUERIES_PER_THREAD = 64  # fewer are not worth a thread
FAILURES = {1: "the processor lacks the instruction set", 2: "memory or threads ran out"}


def is_built() -> bool:
    """Whether the library is there."""
    return _library() is not None


@cache
def available_sets() -> tuple[str, ...]:
    """Instruction sets that library and processor have, slowest first."""
    library = _library()
    return tuple(name for i, name in enumerate(INSTRUCTION_SETS) if library is not None and library.has_set(i))


def by_kernel(
    z: Tensor, e: Tensor, bias: Tensor | None, count: int = 1, instruction_set: str | None = None
) -> tuple[Tensor, Tensor]:
    """The kernel's road, in torch's number of threads.

    Args:
        z: float32 `(N, D)` on the CPU.
        e: float32 `(K, D)`.
        bias: float32 `(K,)`.
        count: how many codewords for each query.
        instruction_set: one of `available_sets`; by default the fastest.

    Returns:
        Float64 scores and int64 codes, `(N, count)` each, nearest first.
    """
    library = _library()
    if library is None:
        raise RuntimeError("the search kernel was not built; reinstall with a C++ compiler, or search by_matmul")
    z, e, bias = z.contiguous(), e.contiguous(), None if bias is None else bias.contiguous()
    codes = torch.empty(len(z), count, dtype=torch.int64)
    scores = torch.empty(len(z), count, dtype=torch.float64)
    threads = max(1, min(torch.get_num_threads(), len(z) // QUERIES_PER_THREAD))
    chosen = INSTRUCTION_SETS.index(instruction_set or _fastest(z.shape[1]))
    bias_pointer = None if bias is None else bias.data_ptr()
    found = count, scores.data_ptr(), codes.data_ptr()
    failure = library.nearest_codewords(
        z.data_ptr(), len(z), e.data_ptr(), bias_pointer, *e.shape, *found, threads, chosen
    )
    if failure:
        raise RuntimeError(f"the search kernel gave up: {FAILURES[failure]}")
    return scores, codes


def _fastest(dim: int) -> str:
    """The instruction set for so many dimensions."""
    return [name for name in available_sets() if dim >= COARSE_FROM or name != "avx512_bf16"][-1]


@cache
def _library() -> ctypes.CDLL | None:
    """The library beside this file, if it loads and is of this version."""
    for suffix in EXTENSION_SUFFIXES:
        path = Path(__file__).with_name(f"nearest{suffix}")
        if path.is_file():
            try:
                library = ctypes.CDLL(str(path))
                if library.interface_version() == VERSION:
                    return _declared(library)
            except (OSError, AttributeError):  # built for another system
                continue
    return None


def _declared(library: ctypes.CDLL) -> ctypes.CDLL:
    pointer, size, number = ctypes.c_void_p, ctypes.c_int64, ctypes.c_int
    library.nearest_codewords.argtypes = [
        *(pointer, size),  # queries
        *(pointer, pointer, size, size),  # codewords and biases
        *(number, pointer, pointer),  # how many, scores and indices
        *(number, number),  # threads, instruction set
    ]
    return library
