"""One driver to a sweep."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .spec import SpecError

__all__ = ["is_running", "locked"]

LOCK_FILE = "sweep.lock"


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the sweep's lock; it goes with the process, however that ends.

    Raises
    ------
    SpecError
        Another driver holds it, or the directory cannot be written.
    """
    try:
        file = (path / LOCK_FILE).open("a+")
    except OSError as error:
        raise SpecError(f"{str(path)!r} cannot be written: {error.strerror or error}") from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip() or "another process"
        file.close()
        raise SpecError(f"{str(path)!r} is being run by {holder}") from None
    try:
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        yield
    finally:
        file.close()


def is_running(path: Path) -> bool:
    """Whether a driver on this machine is at the sweep."""
    try:
        with (path / LOCK_FILE).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False
