"""The results of a sweep, in immutable Parquet files called parts.

A part holds the rows of one pack. Profiles and training curves are list columns, so that the points alone can be read
without decoding them. Parts are never changed; a point that is in two of them counts once. Many small parts are merged
into few large ones now and then: a part is removed only when its rows are in another one. Files in the folder that are
damaged or not parts of the sweep are reported, and moved aside when the sweep is resumed.
"""

import contextlib
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from sweep.spec.columns import KINDS
from sweep.storage import compaction
from sweep.storage.files import filesystem_at, store_error
from sweep.storage.folder import folder_at
from sweep.storage.parts import (
    ARROW_TYPES,
    LEFTOVER_NAME,
    PartFormat,
    check_bytes,
    each_point_once,
    part_name,
    table_of,
)
from sweep.storage.reading import MAX_ATTEMPTS, Reading, Selection, changing_folder_error, read_parts
from sweep.text import one_line, printable

if TYPE_CHECKING:
    import pyarrow.dataset as ds

_PARTS, _DAMAGED = "parts", "damaged"


class Store:
    """The rows of one sweep.

    Parameters
    ----------
    directory:
        A local path, or any URI that pyarrow understands (``s3://bucket/path``).
    digest:
        The digest of what is measured (`SweepSpec.digest`). Parts with another one are rejected; by default none is.
    further:
        Names of the sweep's further axes, see `PartFormat`.

    Attributes
    ----------
    folder:
        The folder of the parts.

    Raises
    ------
    StoreError
        The URI is malformed, its filesystem is unknown, or it holds a secret.
    """

    def __init__(self, directory: str | Path, digest: str = "", further: Collection[str] = ()) -> None:
        filesystem, root = filesystem_at(directory)
        self.folder, self._damaged = (
            folder_at(filesystem, f"{root}/{_PARTS}"),
            folder_at(filesystem, f"{root}/{_DAMAGED}"),
        )
        self._format = PartFormat(digest, further)

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
        """Refuse a folder for the parts that does not exist or cannot be written.

        A sweep that is resumed calls this and does not make the folder: its disk may only be away.

        Raises
        ------
        StoreError
            The folder does not exist, or cannot be read or written.
        """
        self.folder.check()

    def write(self, rows: Sequence[dict[str, Any]]) -> None:
        """Write rows as one part, whole or not at all.

        Raises
        ------
        StoreError
            The part cannot be written; writing it again is harmless.
        """
        self._format.write(self.folder, table_of(rows))

    def read(
        self, columns: Sequence[str] | None = None, transform: Callable[[pa.Table], pa.Table] | None = None
    ) -> Reading:
        """Return all rows, each point once.

        If a point failed and was measured later, its measurement is returned.

        Parameters
        ----------
        columns:
            Columns to read, besides those of the point; all if None. Columns that no part has are left out.
        transform:
            A function that is applied to each part's table, and may drop rows or columns to save memory.

        Raises
        ------
        StoreError
            The storage itself cannot be read.
        """
        selection = Selection(None if columns is None else {*self._format.keys, *columns}, transform=transform)
        reading = read_parts(self.folder, self._format, selection)
        rows = reading.rows
        if rows.num_rows and rows.select(self._format.keys).to_pandas().duplicated().any():
            if columns is not None and "status" not in columns:
                reading = self.read([*columns, "status"], transform)
                return reading._replace(rows=reading.rows.drop_columns("status"))
            return reading._replace(rows=each_point_once(rows, self._format.keys))
        return reading

    def read_new(self, seen: Collection[str], columns: Sequence[str], max_parts: int | None = None) -> Reading:
        """Return the rows of files that were not read before.

        Parts never change, so that none has to be read twice. A point may be in two of them.

        Parameters
        ----------
        seen:
            Names of files to skip: those of earlier calls (`Reading.seen`).
        columns:
            Columns to read, besides those of the point.
        max_parts:
            The largest number of files to read each time the folder is listed; all if None.

        Raises
        ------
        StoreError
            The storage itself cannot be read.
        """
        return read_parts(self.folder, self._format, Selection({*self._format.keys, *columns}), seen, max_parts)

    def dataset(self) -> "ds.Dataset":
        """Return a pyarrow dataset of the readable parts, with all columns that this version knows.

        While the sweep is running, parts may be merged and removed, and the dataset has to be made again. See
        `Results.dataset`.

        Raises
        ------
        StoreError
            The storage itself cannot be read.
        """
        import pyarrow.dataset as ds

        parts = self._inspect().parts
        entries = self.folder.kinds()  # some parts may have been merged and removed since they were read
        paths = [f"{self.folder.path}/{name}" for name in parts if name in entries]
        kinds = dict.fromkeys(self._format.keys, "number") | KINDS
        schema = pa.schema([(name, ARROW_TYPES[kind]) for name, kind in kinds.items()])
        return ds.dataset(paths, schema=schema, format="parquet", filesystem=self.folder.filesystem)

    def _inspect(self) -> Reading:
        """Check all known columns of every part, but keep only the point, its status and its margin."""
        kept = (*self._format.keys, "status", "margin")
        return read_parts(self.folder, self._format, Selection(self._format.known, kept=kept))

    def copy(self, other: "Store") -> dict[str, str]:
        """Copy every readable part of another store; return the files that were left out, with the reasons.

        Parts are copied unchanged, but for the digest where the other store has a different one for the same
        measurements.

        Raises
        ------
        StoreError
            One of the stores cannot be read or written.
        """
        copied: set[str] = set()
        for _ in range(MAX_ATTEMPTS):
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
        raise changing_folder_error(other.folder)

    def compact(self, begin: Callable[[], None] = lambda: None) -> None:
        """Merge small parts into few large ones, if there are many: see `compaction.compact`.

        Raises
        ------
        StoreError
            The disk cannot be used; nothing is lost.
        """
        compaction.compact(self.folder, self._format, begin)

    def set_aside(self) -> dict[str, str]:
        """Move files that are damaged or not parts of the sweep to ``damaged``; return their paths and the reasons.

        Files that a killed driver left half-written are removed. Only the holder of the sweep's lock may call this.

        Raises
        ------
        StoreError
            The storage cannot be used.
        """
        reading = self._inspect()
        try:
            for name in filter(LEFTOVER_NAME.fullmatch, self.folder.kinds()):
                self.folder.remove(name)
            for name in reading.rejected:
                self.folder.move(name, self._damaged)
        except (OSError, pa.ArrowException) as error:
            text = f"damaged files in {self.folder.path!r} cannot be moved: {one_line(error)}"
            raise store_error(self.folder.filesystem, text) from error
        return reading.damaged

    def damaged_files(self) -> list[str]:
        """Return the printable paths of the files that were moved to the folder ``damaged``."""
        return sorted(f"{_DAMAGED}/{printable(name)}" for name in self._damaged.names())
