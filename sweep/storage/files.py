"""Reading and writing whole files on a disk or at a URI."""

import contextlib
import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
from pyarrow import fs

from sweep.errors import RemoteStoreError, SpecError, StoreError
from sweep.spec.secrets import holds_secret
from sweep.text import one_line

T = TypeVar("T")
_RETRY_DELAYS_S = (0.2, 0.6, 1.8)


def filesystem_at(directory: str | Path) -> tuple[fs.FileSystem, str]:
    """Return the filesystem of a local path or a URI, and the path on it.

    Raises
    ------
    SpecError
        The URI is malformed, its filesystem is unknown, or it holds a secret.
    RemoteStoreError
        The filesystem does not answer.
    """
    text = str(directory)
    if "://" not in text:
        return fs.LocalFileSystem(), str(Path(directory).absolute())
    if holds_secret(text):
        raise SpecError("a storage URI must hold no key or password: they belong in the environment")
    try:
        filesystem, root = fs.FileSystem.from_uri(text)
    except OSError as error:  # the region of a bucket may have to be asked for
        raise RemoteStoreError(f"{text!r} cannot be used: {one_line(error)}") from error
    except (pa.ArrowException, ValueError) as error:
        raise SpecError(f"{text!r} cannot be used: {one_line(error)}") from error
    if not root.strip("/") and not isinstance(filesystem, fs.LocalFileSystem):
        raise SpecError(f"{text!r} cannot be used: it names no bucket or folder")
    return filesystem, root.rstrip("/")


def store_error(filesystem: fs.FileSystem, text: str) -> StoreError:
    """Return the error for a storage that cannot be used, which may be on this machine or not."""
    return StoreError(text) if isinstance(filesystem, fs.LocalFileSystem) else RemoteStoreError(text)


def read_with_retries(read: Callable[[], T], filesystem: fs.FileSystem, path: str) -> T:
    """Call ``read`` and return its result; try again a few times while the storage fails.

    Parameters
    ----------
    read:
        A function that reads. A `StoreError` that it raises itself is passed on at once.
    filesystem, path:
        What is read, for the error.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    StoreError
        The last attempt failed, too.
    """
    for delay in (*_RETRY_DELAYS_S, None):
        try:
            return read()
        except (FileNotFoundError, StoreError):
            raise  # a second try would change nothing
        except (OSError, pa.ArrowException) as error:
            if delay is None:
                raise store_error(filesystem, f"{path!r} cannot be read: {one_line(error)}") from error
            time.sleep(delay)
    raise AssertionError("unreachable")


def write_whole(filesystem: fs.FileSystem, path: str, data: bytes | pa.Buffer) -> None:
    """Write a file that appears whole or not at all.

    Raises
    ------
    StoreError
        The file cannot be written.
    """
    try:
        if isinstance(filesystem, fs.LocalFileSystem):
            _write_durably(path, data)
        else:
            _upload(filesystem, path, data)
    except (OSError, pa.ArrowException) as error:
        raise store_error(filesystem, f"{path!r} cannot be written: {one_line(error)}") from error


@contextmanager
def replaced(path: str | Path, *, hidden: bool = False) -> Iterator[Path]:
    """Yield the path of a temporary file beside ``path``, which replaces it at the end of the block.

    If the block raises, the temporary file is removed and ``path`` stays as it was. If ``path`` is a symbolic link, the
    link is replaced, not what it points to.

    Parameters
    ----------
    path:
        The file to create or replace.
    hidden:
        Whether the name of the temporary file begins with a dot and keeps the suffix of ``path``, for writers that
        choose the format by the suffix.
    """
    path = Path(path)
    name = f".{uuid.uuid4().hex}{path.suffix}" if hidden else f"{path.name}.{uuid.uuid4().hex[:8]}.tmp"
    temporary = path.with_name(name)
    try:
        yield temporary
        temporary.rename(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def _write_durably(path: str, data: bytes | pa.Buffer) -> None:
    """Write a file on a disk that survives a loss of power as soon as this function returns."""
    with replaced(path) as temporary, temporary.open("xb") as file:  # "x": never through a link that somebody put there
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(Path(path).parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # or the rename itself could be lost
    finally:
        os.close(folder)


def _upload(filesystem: fs.FileSystem, path: str, data: bytes | pa.Buffer) -> None:
    """Write an object, and delete it if the upload fails.

    Arrow completes an upload whenever the stream is closed, even after an error, which would leave half of the object.
    """
    out = filesystem.open_output_stream(path)
    try:
        with out:
            out.write(data)
    except BaseException:
        with contextlib.suppress(OSError, pa.ArrowException):
            filesystem.delete_file(path)
        raise
