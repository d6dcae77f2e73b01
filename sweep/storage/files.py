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

from sweep.errors import StoreError
from sweep.spec.secrets import holds_secret
from sweep.text import one_line

T = TypeVar("T")
_WAITS = (0.2, 0.6, 1.8)  # seconds between tries to read


def filesystem(uri: str | Path) -> tuple[fs.FileSystem, str]:
    """Return the filesystem of a local path or a URI, and the path on it.

    Raises
    ------
    StoreError
        The URI is malformed, its filesystem unknown, or it holds a secret.
    """
    text = str(uri)
    if "://" not in text:
        return fs.LocalFileSystem(), str(Path(uri).absolute())
    if holds_secret(text):
        raise StoreError("a storage URI must hold no key or password: they belong in the environment")
    try:
        found, root = fs.FileSystem.from_uri(text)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise StoreError(f"{text!r} cannot be used: {one_line(error)}") from error
    return found, root.rstrip("/")


def patiently(work: Callable[[], T], name: str) -> T:
    """Return the result of a read, tried again a few times where the storage fails, but for a `StoreError` of its own.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    StoreError
        It still fails.
    """
    for wait in (*_WAITS, None):
        try:
            return work()
        except (FileNotFoundError, StoreError):
            raise  # a second try would change nothing
        except (OSError, pa.ArrowException) as error:
            if wait is None:
                raise StoreError(f"{name!r} cannot be read: {one_line(error)}") from error
            time.sleep(wait)
    raise AssertionError("unreachable")


def write_whole(where: fs.FileSystem, path: str, data: bytes | pa.Buffer) -> None:
    """Write a file that appears whole or not at all.

    Raises
    ------
    StoreError
        It cannot be written.
    """
    try:
        if isinstance(where, fs.LocalFileSystem):
            _write_durably(path, data)
        else:
            _upload(where, path, data)
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"{path!r} cannot be written: {one_line(error)}") from error


@contextmanager
def replaced(path: str | Path, *, hidden: bool = False) -> Iterator[Path]:
    """Give the name of a new file beside another, which takes its place if all goes well and is removed if not.

    A link that stands there is replaced, not followed. A ``hidden`` file has the ending of the other, for writers that
    go by it.
    """
    path = Path(path)
    name = f".{uuid.uuid4().hex}{path.suffix}" if hidden else f"{path.name}.{uuid.uuid4().hex[:8]}.tmp"
    beside = path.with_name(name)
    try:
        yield beside
        beside.rename(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise


def _write_durably(path: str, data: bytes | pa.Buffer) -> None:
    """Write a file that survives a loss of power as soon as this returns."""
    with replaced(path) as beside, beside.open("xb") as file:  # never through a link that somebody put there
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    folder = os.open(Path(path).parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # or the rename itself could be lost
    finally:
        os.close(folder)


def _upload(where: fs.FileSystem, path: str, data: bytes | pa.Buffer) -> None:
    """Write an object: closing a stream, all that Arrow knows, has it appear, so that half of one is removed."""
    out = where.open_output_stream(path)
    try:
        with out:
            out.write(data)
    except BaseException:
        with contextlib.suppress(OSError, pa.ArrowException):
            where.delete_file(path)
        raise
