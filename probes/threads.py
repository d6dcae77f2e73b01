"""Threads that compute alone: for large products one thread each wastes less than all threads together on one."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch


@contextmanager
def lone_threads() -> Iterator[ThreadPoolExecutor]:
    """Give a pool of as many threads as torch has, each of which computes alone; the caller keeps what it has."""
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool
    finally:
        if threads > 1:
            torch.set_num_threads(threads)  # what new threads begin with
