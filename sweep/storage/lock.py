"""The lock of a sweep, which lets one driver at a time run it.

A local directory is locked by ``flock``, which ends with the process. A URI, and a directory whose filesystem has no
such lock, are locked by a lease: a file that its holder renews, and that expires when it is no longer renewed.
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
from sweep.storage.files import filesystem_at
from sweep.storage.lease import Lease
from sweep.text import one_line, printable

LOCK_FILE = "sweep.lock"
_NO_FLOCK = (errno.ENOTSUP, errno.ENOLCK, errno.ENOSYS)


@contextmanager
def locked(directory: str | Path, location: str = "") -> Iterator[None]:
    """Hold the lock of a sweep for the length of the block.

    Parameters
    ----------
    directory:
        Where the sweep is: a path or a URI.
    location:
        What error messages call it; the directory itself by default.

    Raises
    ------
    SpecError
        Another driver holds the lock or has taken it over, or the directory cannot be written.
    StoreError
        The storage cannot be used.
    """
    location = location or str(directory)
    filesystem, root = filesystem_at(directory)
    if isinstance(filesystem, fs.LocalFileSystem):
        try:
            file = _flock(Path(root), location)
        except OSError as error:
            if error.errno not in _NO_FLOCK:
                raise SpecError(f"{location!r} cannot be written: {one_line(error)}") from None
        else:
            try:
                yield
            finally:
                os.close(file)
            return
    with Lease(filesystem, f"{root}/{LOCK_FILE}", location).held():
        yield


def _flock(folder: Path, location: str) -> int:
    """Lock a folder; return the file descriptor that holds the lock until it is closed."""
    file = os.open(folder / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(file, 0)
        os.write(file, this_process().encode())
    except BlockingIOError:
        holder = printable(os.read(file, 200).decode(errors="replace").strip()) or "another process"
        os.close(file)
        raise SpecError(f"{location!r} is being run by {holder}") from None
    except BaseException:
        os.close(file)
        raise
    return file


def is_running(directory: str | Path) -> bool:
    """Return whether a driver holds the lock of a sweep.

    A lock by ``flock`` is seen on this machine only, a lease from everywhere. A directory that cannot be read counts as
    not running.
    """
    try:
        filesystem, root = filesystem_at(directory)
        if isinstance(filesystem, fs.LocalFileSystem):
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
        return Lease(filesystem, f"{root}/{LOCK_FILE}").is_held()
    except (OSError, SpecError):
        return False
