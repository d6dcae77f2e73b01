"""The results on disk: immutable Parquet parts, each written beside and renamed.

A part holds the rows of one pack, profiles and training curves as list columns, so that the points alone are
read without them. Parts are never changed; a point that stands in two of them counts once.
"""

import os
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

__all__ = ["Store", "StoreError", "filesystem", "write_whole"]

_KEY = ("sigma_w", "sigma_b", "depth", "seed")


class StoreError(OSError):
    """The place for the results cannot be used; the message is one line."""


def filesystem(uri: str | Path) -> tuple[fs.FileSystem, str]:
    """The filesystem and the path on it of a local path or a URI.

    Raises
    ------
    StoreError
        The URI is malformed or its filesystem unknown.
    """
    try:
        if "://" not in str(uri):
            return fs.LocalFileSystem(), str(Path(uri).absolute())
        found, root = fs.FileSystem.from_uri(str(uri))
        return found, root.rstrip("/")
    except (pa.ArrowException, OSError, ValueError) as error:
        raise StoreError(f"{str(uri)!r} cannot be used: {' '.join(str(error).split())}") from error


def write_whole(where: fs.FileSystem, path: str, write: Callable[[Any], Any]) -> None:
    """Let ``write`` fill a file that appears whole or not at all."""
    if not isinstance(where, fs.LocalFileSystem):
        with where.open_output_stream(path) as out:
            write(out)  # an object appears when it is closed
        return
    beside = Path(f"{path}.tmp")
    with beside.open("wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    beside.rename(path)
    folder = os.open(beside.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # or the rename itself could be lost with the power
    finally:
        os.close(folder)


class Store:
    """Rows of one sweep at a local path or at any URI that pyarrow understands (``s3://bucket/path``).

    Raises
    ------
    StoreError
        The URI is malformed or its filesystem unknown.
    """

    def __init__(self, uri: str | Path) -> None:
        self._fs, root = filesystem(uri)
        self._root = f"{root}/parts"
        self.damaged: list[str] = []  # parts that could not be read, by the last `read`

    def create(self) -> None:
        """Make the folder for the parts.

        Raises
        ------
        StoreError
            It cannot be made or written to.
        """
        try:
            self._fs.create_dir(self._root, recursive=True)
            probe = f"{self._root}/.writable-{uuid.uuid4().hex}"
            with self._fs.open_output_stream(probe) as out:
                out.write(b"")
            self._fs.delete_file(probe)
        except (OSError, pa.ArrowException) as error:
            raise StoreError(f"{self._root!r} cannot be written: {' '.join(str(error).split())}") from error

    def write(self, rows: Sequence[dict[str, Any]]) -> None:
        """Write one part, whole or not at all."""
        # Arrow looks for columns in the first row only; a failed or untrained point has fewer.
        names = dict.fromkeys(name for row in rows for name in row)
        table = pa.Table.from_pylist([{name: row.get(name) for name in names} for row in rows])
        write_whole(self._fs, f"{self._root}/{uuid.uuid4().hex}.parquet", lambda file: pq.write_table(table, file))

    def read(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows, each point once, with the columns asked for (those that any part has) or all.

        Parts that cannot be read are listed in `damaged`.

        Raises
        ------
        StoreError
            The storage itself cannot be read.
        """
        try:
            found = self._fs.get_file_info(fs.FileSelector(self._root, allow_not_found=True))
        except (OSError, pa.ArrowException) as error:
            raise StoreError(f"{self._root!r} cannot be read: {' '.join(str(error).split())}") from error
        self.damaged = []
        tables = []
        for path in sorted(f.path for f in found if f.is_file and f.path.endswith(".parquet")):
            try:
                part = pq.ParquetFile(self._fs.open_input_file(path))
                wanted = None if columns is None else [*dict.fromkeys((*_KEY, *columns))]
                names = [n for n in part.schema_arrow.names if wanted is None or n in wanted]
                if not set(_KEY) <= set(names):
                    raise pa.ArrowInvalid("no part of a sweep")
                tables.append(part.read(names))
            except FileNotFoundError:
                continue  # gone since it was listed
            except (pa.ArrowException, OSError):
                self.damaged.append(path)
        if not tables:
            return pa.table({})
        table = pa.concat_tables(tables, promote_options="permissive")
        seen: set[tuple[Any, ...]] = set()
        keep = []
        for key in zip(*(table[k].to_pylist() for k in _KEY), strict=True):
            keep.append(key not in seen)
            seen.add(key)
        return table if all(keep) else table.filter(pa.array(keep))
