"""How threads compute: a pool of threads that share no computation, and the modes of torch in the calling one."""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache, wraps
from pathlib import Path
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
T = TypeVar("T")
_FORKED_WITHOUT_EXEC = 0x40  # PF_FORKNOEXEC of Linux, in the flags of /proc/PID/stat


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


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with the calling thread alone: small arrays are not worth more, and a fork may have no others."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def safe_in_forks(compute: Callable[P, T]) -> Callable[P, T]:
    """Let a function compute in a new thread where this process is a fork of another, or it might wait for ever.

    OpenMP keeps threads for each thread that computes. In a fork, those of the thread that was forked are gone, which
    OpenMP does not know. A new thread gets threads of its own.
    """

    @wraps(compute)
    def wrapped(*args: P.args, **more: P.kwargs) -> T:
        threads = torch.get_num_threads()
        if threads == 1 or not _is_fork(os.getpid()):
            return compute(*args, **more)
        with ThreadPoolExecutor(1, initializer=torch.set_num_threads, initargs=(threads,)) as pool:
            return pool.submit(compute, *args, **more).result()

    return wrapped


@cache
def _is_fork(process: int) -> bool:
    """Return whether this process, of that number, is a copy of its parent; False where that is unknown."""
    try:
        flags = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[6])
    except (OSError, ValueError, IndexError):
        return False
    return bool(flags & _FORKED_WITHOUT_EXEC)
