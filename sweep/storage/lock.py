"""One driver to a sweep.

A directory is locked by ``flock``, which goes with the process. A URI, and a directory whose filesystem knows no such
lock, by a lease: a file that its holder renews, and that counts as nobody's when it was not renewed for a while.
"""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pyarrow import fs

from sweep.errors import SpecError
from sweep.processes import this_process
from sweep.storage.files import filesystem
from sweep.storage.lease import Lease
from sweep.text import one_line, printable

LOCK_FILE = "sweep.lock"
_NO_FLOCK = (errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS)


@contextmanager
def locked(directory: str | Path, named: str = "") -> Iterator[None]:
    """Hold the lock of a sweep at a path or a URI, which messages call ``named``; it goes with the process.

    Raises
    ------
    SpecError
        Another driver holds it or has taken it over, or the directory cannot be written.
    StoreError
        The storage cannot be used.
    """
    named = named or str(directory)
    where, root = filesystem(directory)
    if isinstance(where, fs.LocalFileSystem):
        try:
            file = _flock(Path(root), named)
        except OSError as error:
            if error.errno not in _NO_FLOCK:
                raise SpecError(f"{named!r} cannot be written: {one_line(error)}") from None
        else:
            try:
                yield
            finally:
                os.close(file)
            return
    with Lease(where, f"{root}/{LOCK_FILE}", named).held():
        yield


def _flock(folder: Path, named: str) -> int:
    """Return the file descriptor that holds the lock of a folder: closing it gives the lock back."""
    file = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(file, 0)
        os.write(file, this_process().encode())
    except BlockingIOError:
        holder = printable(os.read(file, 200).decode(errors="replace").strip()) or "another process"
        os.close(file)
        raise SpecError(f"{named!r} is being run by {holder}") from None
    except BaseException:
        os.close(file)
        raise
    return file


def is_running(directory: str | Path) -> bool:
    """Return whether a driver is at the sweep: on this machine, or on any where the sweep is locked by a lease."""
    try:
        where, root = filesystem(directory)
        if isinstance(where, fs.LocalFileSystem):
            file = os.open(Path(root) / LOCK_FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                return False
            except BlockingIOError:
                return True
            except OSError as error:
                if error.errno not in _NO_FLOCK:
                    raise
            finally:
                os.close(file)
        return Lease(where, f"{root}/{LOCK_FILE}").is_held()
    except OSError:
        return False
