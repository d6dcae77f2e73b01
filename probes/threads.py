"""A pool of threads that share no computation.

For several large products, one thread per product wastes less time than all threads on one product after another.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch


@contextmanager
def lone_threads() -> Iterator[ThreadPoolExecutor]:
    """Open a pool of as many threads as torch uses, in each of which torch computes with that one thread.

    The calling thread keeps the number of threads that torch uses there.
    """
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool
    finally:
        if threads > 1:
            torch.set_num_threads(threads)  # the pool's threads have changed the default of new threads, too
