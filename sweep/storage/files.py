"""Reading and writing whole files on a disk or at a URI."""

import contextlib
import os
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pyarrow as pa
from pyarrow import fs

from sweep.errors import StoreError
from sweep.spec.secrets import holds_secret
from sweep.text import one_line

__all__ = ["filesystem", "patiently", "write_whole"]

T = TypeVar("T")
_WAITS = (0.2, 0.6, 1.8)  # seconds between tries to read


def filesystem(uri: str | Path) -> tuple[fs.FileSystem, str]:
    """The filesystem and the path on it of a local path or a URI.

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
    """The result of a read, tried again a few times where the storage fails.

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
        except FileNotFoundError:
            raise
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
            _write_beside(path, data)
        else:
            _upload(where, path, data)
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"{path!r} cannot be written: {one_line(error)}") from error


def _write_beside(path: str, data: bytes | pa.Buffer) -> None:
    beside = Path(f"{path}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with beside.open("xb") as file:  # never through a link that somebody put there
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.rename(path)
    except BaseException:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise
    folder = os.open(beside.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # or the rename itself could be lost with the power
    finally:
        os.close(folder)


def _upload(where: fs.FileSystem, path: str, data: bytes | pa.Buffer) -> None:
    """An object appears when it is closed, and closing is all that Arrow's streams know: half of one is removed."""
    out = where.open_output_stream(path)
    try:
        with out:
            out.write(data)
    except BaseException:
        with contextlib.suppress(OSError, pa.ArrowException):
            where.delete_file(path)
        raise
