"""The results of a sweep: immutable Parquet parts, each written whole.

A part holds the rows of one pack, profiles and training curves as list columns, so that the points alone are
decoded without them. Parts are never changed; a point that stands in two of them counts once. Many small parts are
put together in few large ones now and then: what is removed stands in another part before. What stands among
them and is no part of the sweep, or a damaged one, is named, and set aside when the sweep goes on.
"""

import contextlib
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from sweep.errors import StoreError
from sweep.spec.columns import KINDS
from sweep.storage import compaction
from sweep.storage.files import filesystem
from sweep.storage.folder import folder_at
from sweep.storage.parts import (
    ARROW_TYPES,
    KEY_RANGES,
    LEFTOVERS,
    PartFormat,
    check_bytes,
    each_point_once,
    part_name,
    table_of,
)
from sweep.storage.reading import TRIES, Reading, Wanted, come_and_go, read_parts
from sweep.text import one_line, printable

if TYPE_CHECKING:
    import pyarrow.dataset as ds

_PARTS, _ASIDE = "parts", "damaged"


class Store:
    """Rows of one sweep at a local path or at any URI that pyarrow understands (``s3://bucket/path``).

    ``digest`` says what was measured (`SweepSpec.digest`): parts that bear another one are not read. ``folder`` is
    that of the parts.

    Raises
    ------
    StoreError
        The URI is malformed, its filesystem unknown, or it holds a secret.
    """

    def __init__(self, uri: str | Path, digest: str = "") -> None:
        where, base = filesystem(uri)
        self.folder, self._aside = folder_at(where, f"{base}/{_PARTS}"), folder_at(where, f"{base}/{_ASIDE}")
        self._format = PartFormat(digest)

    def create(self) -> None:
        """Make the folder for the parts.

        Raises
        ------
        StoreError
            It cannot be made or written to.
        """
        self.folder.create()
        self.folder.check()

    def check(self) -> None:
        """Refuse a folder for the parts that is not there: a sweep that goes on never makes it, it may come back.

        Raises
        ------
        StoreError
            It is not there, or cannot be written to.
        """
        self.folder.check()

    def write(self, rows: Sequence[dict[str, Any]]) -> None:
        """Write one part, whole or not at all.

        Raises
        ------
        StoreError
            It cannot be written; it can be tried again.
        """
        self._format.write(self.folder, table_of(rows))

    def read(self, columns: Sequence[str] | None = None, each: Callable[[pa.Table], pa.Table] | None = None) -> Reading:
        """Return all rows, each point once, with the columns asked for (those that any part has) or all.

        Of a point that failed and was measured after all, the measurement. ``each`` is what becomes of every part's
        table, where not all of it is wanted: what it drops takes no memory.

        Raises
        ------
        StoreError
            The storage itself cannot be read.
        """
        wanted = Wanted(None if columns is None else {*KEY_RANGES, *columns}, each=each)
        reading = read_parts(self.folder, self._format, wanted)
        rows = reading.rows
        if rows.num_rows and rows.select([*KEY_RANGES]).to_pandas().duplicated().any():
            if columns is not None and "status" not in columns:
                reading = self.read([*columns, "status"], each)
                return reading._replace(rows=reading.rows.drop_columns("status"))
            return reading._replace(rows=each_point_once(rows))
        return reading

    def read_new(self, seen: Collection[str], columns: Sequence[str], most: int | None = None) -> Reading:
        """Return the rows of so many readable parts whose names are not among those ``seen`` (`Reading.seen`).

        Parts never change, so that nobody need read one twice. A point may stand in two of them.

        Raises
        ------
        StoreError
            The storage itself cannot be read.
        """
        return read_parts(self.folder, self._format, Wanted({*KEY_RANGES, *columns}), seen, most)

    def dataset(self) -> "ds.Dataset":
        """Return a pyarrow dataset of the readable parts, with the columns that are known: see `Results.dataset`.

        Of a sweep that is under way it may have to be made again: parts are put together.

        Raises
        ------
        StoreError
            The storage itself cannot be read.
        """
        import pyarrow.dataset as ds

        parts = self._inspect().parts
        there = self.folder.kinds()  # some may have been put together since they were read
        paths = [f"{self.folder.path}/{name}" for name in parts if name in there]
        schema = pa.schema([(name, ARROW_TYPES[kind]) for name, kind in KINDS.items()])
        return ds.dataset(paths, schema=schema, format="parquet", filesystem=self.folder.filesystem)

    def _inspect(self) -> Reading:
        """Check all columns that are known of every part; keep few."""
        return read_parts(self.folder, self._format, Wanted(KINDS.keys(), kept=(*KEY_RANGES, "status", "margin")))

    def copy(self, other: "Store") -> dict[str, str]:
        """Copy every readable part of another store; return what was left out of it, and why.

        As it is, but for the digest of one that says the same in other words.

        Raises
        ------
        StoreError
            One of them cannot be read or written.
        """
        copied: set[str] = set()
        for _ in range(TRIES):
            reading = other._inspect()
            for name in sorted({*reading.parts} - copied):
                with contextlib.suppress(FileNotFoundError):
                    data = other.folder.read(name, check_bytes)
                    if other._format.digest == self._format.digest:
                        self.folder.write(part_name(data), data)
                    else:
                        self._format.write(self.folder, other._format.decode(name, data))
                    copied.add(name)
            if copied.issuperset(reading.parts):
                return reading.damaged
        raise come_and_go(other.folder)

    def put_together(self, begin: Callable[[], None] = lambda: None) -> None:
        """Make few large parts of many small ones: see `compaction.put_together`.

        Raises
        ------
        StoreError
            The disk cannot be used; nothing is lost.
        """
        compaction.put_together(self.folder, self._format, begin)

    def set_aside(self) -> dict[str, str]:
        """Move what is no part of the sweep, or cannot be read, to the folder ``damaged``; return its names, and why.

        For the holder of the sweep's lock: files that a killed driver left half-written are removed.

        Raises
        ------
        StoreError
            The storage cannot be used.
        """
        reading = self._inspect()
        try:
            for name in filter(LEFTOVERS.fullmatch, self.folder.kinds()):
                self.folder.remove(name)
            for name in reading.wrong:
                self.folder.move(name, self._aside)
        except (OSError, pa.ArrowException) as error:
            raise StoreError(f"{self.folder.path!r} cannot be put in order: {one_line(error)}") from error
        return reading.damaged

    def aside(self) -> list[str]:
        """Return the names of what was set aside."""
        return sorted(f"{_ASIDE}/{printable(name)}" for name in self._aside.names())
