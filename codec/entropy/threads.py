"""Parts of an array at once, in as many threads as torch uses: for compiled loops that let go of the interpreter."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise

import torch


def in_parts(work: Callable[[int, int], object], count: int, least: int = 512) -> None:
    """Call `work(first, last)` on consecutive parts that make up [0, count), and wait for all.

    Args:
        work: must not call this function.
        count: of items.
        least: items in a part that are worth a thread.
    """
    threads = max(1, min(torch.get_num_threads(), count // least))
    edges = [count * i // threads for i in range(threads + 1)]
    waiting = [_pool().submit(work, *part) for part in pairwise(edges[1:])]
    work(edges[0], edges[1])
    for one in waiting:
        one.result()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, (os.cpu_count() or 1) - 1), thread_name_prefix="codec-entropy")


os.register_at_fork(after_in_child=_pool.cache_clear)  # threads do not survive a fork
