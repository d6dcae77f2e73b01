"""How threads compute: a pool of threads that share no computation, and the modes of torch in the calling one."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch


@contextmanager
def lone_threads() -> Iterator[ThreadPoolExecutor]:
    """Open a pool of as many threads as torch uses, in each of which torch computes with that one thread.

    For several large products, one thread per product wastes less time than all threads on one product after another.
    The calling thread keeps the number of threads that torch uses there.
    """
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield pool
    finally:
        if threads > 1:
            torch.set_num_threads(threads)  # the pool's threads have changed the default of new threads, too


@contextmanager
def plain_modes() -> Iterator[None]:
    """Compute without the modes of torch that a program has entered: those of inference and of mixed precision.

    They belong to the calling thread, and change numbers or forbid gradients.
    """
    with (
        torch.inference_mode(False),
        torch.autocast("cpu", enabled=False),
        torch.autocast("cuda", enabled=False),
    ):
        yield
