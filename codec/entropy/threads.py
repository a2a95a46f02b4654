"""Parts of an array at once, in as many threads as torch uses: for compiled loops that let go of the interpreter."""

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cache
from itertools import pairwise

import torch

PORTIONS = 4  # parts for each thread: one that wakes late leaves more of them to the others


def in_parts(work: Callable[[int, int], object], count: int, least: int = 512) -> None:
    """Call `work(first, last)` on consecutive parts that make up [0, count), and wait for all.

    Args:
        work: must not call this function.
        count: of items.
        least: items that are worth a thread.
    """
    threads = max(1, min(torch.get_num_threads(), count // least))
    portions = threads * PORTIONS if threads > 1 else 1
    left = deque(pairwise(count * i // portions for i in range(portions + 1)))
    waiting = [_pool().submit(_work_off, work, left) for _ in range(threads - 1)]
    try:
        _work_off(work, left)
    finally:
        for one in waiting:
            one.cancel()
        wait(waiting)
    for one in waiting:
        if not one.cancelled():
            one.result()


def _work_off(work: Callable[[int, int], object], left: deque[tuple[int, int]]) -> None:
    """Take parts, first to last, until none is left."""
    while True:
        try:
            part = left.popleft()
        except IndexError:
            return
        work(*part)


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, (os.cpu_count() or 1) - 1), thread_name_prefix="codec-entropy")


os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not survive a fork
