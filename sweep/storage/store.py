"""The results on disk: immutable Parquet parts, each written beside and renamed.

A part holds the rows of one pack, profiles and training curves as list columns, so that the points alone are
decoded without them. Parts are never changed; a point that stands in two of them counts once. Many small parts are
put together in few large ones now and then: what is removed stands in another part before. What stands among
them and is no part of the sweep, or a damaged one, is named, and set aside when the sweep goes on.
"""

import contextlib
import os
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow import fs

from sweep.errors import StoreError
from sweep.spec.columns import SCHEMA_VERSION
from sweep.storage.files import filesystem, patiently, write_whole
from sweep.storage.parts import (
    ARROW_TYPES,
    KEY_RANGES,
    LEFTOVERS,
    MOST_BYTES,
    PART_NAME,
    NotAPart,
    check_size,
    check_types,
    concatenated,
    each_point_once,
    implausible,
    part_name,
)
from sweep.text import one_line, printable

if TYPE_CHECKING:
    import pyarrow.dataset as ds

__all__ = ["Store"]

Each = Callable[[pa.Table], pa.Table]
_PARTS, _ASIDE = "parts", "damaged"
_TRIES = 3  # where the folder was away for a moment, or parts were put together
_UNPACKED = 2**26  # bytes of a small part in memory
_MANY, _SMALL, _LARGE = 64, 2**21, 2**22  # parts that are put together, their bytes, those of what becomes of them
_THREADS = 2, 16  # on a local disk; elsewhere most of the time is waiting
_AT_ONCE = 64  # parts that a thread takes, where there are many: handing over takes as long as reading one


class Store:
    """Rows of one sweep at a local path or at any URI that pyarrow understands (``s3://bucket/path``).

    ``digest`` says what was measured (`SweepSpec.digest`): parts that bear another one are not read.

    Raises
    ------
    StoreError
        The URI is malformed, its filesystem unknown, or it holds a secret.
    """

    def __init__(self, uri: str | Path, digest: str = "") -> None:
        self._fs, self._base = filesystem(uri)
        self._root, self._digest = f"{self._base}/{_PARTS}", digest
        self._local = isinstance(self._fs, fs.LocalFileSystem)
        self._good: pa.Schema | None = None
        self._wrong: dict[str, str] = {}  # by the names as they are
        self._right: list[str] = []
        self.damaged: dict[str, str] = {}  # what the last `read` found that is no part of the sweep, and why

    def create(self) -> None:
        """Make the folder for the parts.

        Raises
        ------
        StoreError
            It cannot be made or written to.
        """
        try:
            self._fs.create_dir(self._root, recursive=True)
        except (OSError, pa.ArrowException) as error:
            raise StoreError(f"{self._root!r} cannot be written: {one_line(error)}") from error
        self.check()

    def check(self) -> None:
        """Whether the folder for the parts is there: a sweep that goes on never makes it, it may be away for a while.

        Raises
        ------
        StoreError
            It is not there, or cannot be written to.
        """
        self._files()
        try:
            probe = f"{self._root}/.writable-{uuid.uuid4().hex}"
            with self._fs.open_output_stream(probe) as out:
                out.write(b"")
            self._fs.delete_file(probe)
        except (OSError, pa.ArrowException) as error:
            raise StoreError(f"{self._root!r} cannot be written: {one_line(error)}") from error

    def write(self, rows: Sequence[dict[str, Any]]) -> None:
        """Write one part, whole or not at all.

        Raises
        ------
        StoreError
            It cannot be written; it can be tried again.
        """
        # Arrow looks for columns in the first row only; a failed or untrained point has fewer.
        names = dict.fromkeys(name for row in rows for name in row)
        table = pa.Table.from_pylist([{name: row.get(name) for name in names} for row in rows])
        check_types(table.schema)
        self._write(table)

    def _write(self, table: pa.Table) -> str:
        """Its name."""
        table = table.replace_schema_metadata({"schema_version": SCHEMA_VERSION, "sweep": self._digest})
        buffer = pa.BufferOutputStream()
        # Of so few rows neither a dictionary nor statistics are of use; reading is faster without.
        pq.write_table(table, buffer, use_dictionary=False, write_statistics=False)
        data = buffer.getvalue()
        name = part_name(data)
        write_whole(self._fs, f"{self._root}/{name}", data)
        return name

    def read(self, columns: Sequence[str] | None = None, each: Each | None = None) -> pa.Table:
        """All rows, each point once, with the columns asked for (those that any part has) or all.

        Of a point that failed and was measured after all, the measurement.

        Files that are no part of the sweep, or cannot be read, are listed in `damaged`. ``each`` is what
        becomes of every part's table, where not all of it is wanted: what it drops takes no memory.

        Raises
        ------
        StoreError
            The storage itself cannot be read.
        """
        table = self._read(None if columns is None else [*dict.fromkeys((*KEY_RANGES, *columns))], each=each)
        if table.num_rows and table.select([*KEY_RANGES]).to_pandas().duplicated().any():
            if columns is not None and "status" not in columns:
                return self.read([*columns, "status"], each).drop_columns("status")
            table = each_point_once(table)
        return table

    def read_new(self, seen: set[str], columns: Sequence[str], most: int | None = None) -> pa.Table:
        """The rows of so many readable parts whose names are not among those ``seen``, which are added to them.

        Parts never change, so that nobody need read one twice. A point may stand in two of them.

        Raises
        ------
        StoreError
            The storage itself cannot be read.
        """
        table = self._read([*KEY_RANGES, *columns], skip=seen, most=most)
        seen.update(self._right, self._wrong)
        return table

    def dataset(self) -> "ds.Dataset":
        """A pyarrow dataset of the readable parts, with the columns that are known: see `Results.dataset`.

        Of a sweep that is under way it may have to be made again: parts are put together.

        Raises
        ------
        StoreError
            The storage itself cannot be read.
        """
        import pyarrow.dataset as ds

        from sweep.spec.columns import KINDS

        paths = [f"{self._root}/{name}" for name in self.names()]
        schema = pa.schema([(name, ARROW_TYPES[kind]) for name, kind in KINDS.items()])
        return ds.dataset(paths, schema=schema, format="parquet", filesystem=self._fs)

    def names(self) -> list[str]:
        """Names of the readable parts; other files are named in `damaged`.

        Raises
        ------
        StoreError
            The storage itself cannot be read.
        """
        from sweep.spec.columns import KINDS

        self._read(list(KINDS), keep=[*KEY_RANGES, "status", "margin"])
        there = self._files()  # some may have been put together since they were read
        return [name for name in self._right if name in there]

    def copy(self, other: "Store") -> dict[str, str]:
        """Copy every readable part of another store, as it is; what was left out of it, and why.

        Raises
        ------
        StoreError
            One of them cannot be read or written.
        """
        copied: set[str] = set()
        for _ in range(_TRIES):
            names = set(other.names())
            for name in sorted(names - copied):
                path = f"{other._root}/{name}"
                with contextlib.suppress(FileNotFoundError):
                    data = patiently(lambda path=path: other._bytes(path), path)  # type: ignore[misc]
                    write_whole(self._fs, f"{self._root}/{part_name(data)}", data)
                    copied.add(name)
            if names <= copied:
                return other.damaged
        raise StoreError(f"{other._root!r} cannot be read: its files come and go")

    def put_together(self, begin: Callable[[], None] = lambda: None) -> None:
        """Make few large parts of many small ones, which take a hundred times as long to read.

        ``begin`` is called where there are so many. A small part is removed when what it holds was read back from a
        large one. On a disk only: an object storage can neither write beside and rename, nor tell a write that failed
        from one that came through.

        Raises
        ------
        StoreError
            The disk cannot be used; nothing is lost.
        """
        if not self._local:
            return
        try:
            small = self._small()
            if len(small) < _MANY:
                return
            begin()
            groups, size = defaultdict[int, list[str]](list), 0
            for name in sorted(small):
                groups[size // _LARGE].append(name)
                size += small[name]
            old, new = set[str](), set[str]()
            for group in groups.values():
                good = self._good_ones(group)
                if len(good) > 1 and (made := self._written(each_point_once(concatenated(good.values())), good)):
                    old.update(good)
                    new.add(made)
            # Not before all are there: who reads meanwhile looks once more for what is gone.
            for name in sorted(old - new):
                self._remove(f"{self._root}/{name}")
        except (OSError, pa.ArrowException) as error:
            raise StoreError(f"{self._root!r} cannot be put in order: {one_line(error)}") from error

    def _small(self) -> dict[str, int]:
        """Parts that are small, and their bytes."""
        with os.scandir(self._root) as entries:
            ours = [e for e in entries if PART_NAME.fullmatch(e.name) and e.is_file(follow_symlinks=False)]
            sizes = {entry.name: entry.stat().st_size for entry in ours}
        return {name: size for name, size in sizes.items() if size < _SMALL}

    def _good_ones(self, names: Sequence[str]) -> dict[str, pa.Table]:
        """Of these parts, those that hold what a pack does, and nothing that this version does not know."""
        from sweep.spec.columns import KINDS

        found = {}
        for name in names:
            table = self._part(name, "file", None, None)
            if isinstance(table, pa.Table) and not implausible(table) and table.nbytes < _UNPACKED:
                if set(table.column_names) <= KINDS.keys():
                    found[name] = table
        return found

    def _written(self, table: pa.Table, source: Collection[str]) -> str | None:
        """The name of the part that was made of others, if it reads as it should."""
        name = self._write(table)
        back = self._part(name, "file", None, None)
        if isinstance(back, pa.Table) and back.num_rows == table.num_rows:  # and its checksum is right
            return name
        if name not in source:
            self._remove(f"{self._root}/{name}")
        return None

    def set_aside(self) -> dict[str, str]:
        """Move what is no part of the sweep, or cannot be read, to the folder ``damaged``: its names, and why.

        For the holder of the sweep's lock: files that a killed driver left half-written are removed.

        Raises
        ------
        StoreError
            The storage cannot be used.
        """
        from sweep.spec.columns import KINDS

        self._read(list(KINDS), keep=[*KEY_RANGES, "status", "margin"])
        try:
            for name in self._files():
                if LEFTOVERS.fullmatch(name):
                    self._remove(f"{self._root}/{name}")
            for name in self._wrong:
                self._move_aside(name)
        except (OSError, pa.ArrowException) as error:
            raise StoreError(f"{self._root!r} cannot be put in order: {one_line(error)}") from error
        return self.damaged

    def aside(self) -> list[str]:
        """Names of what was set aside."""
        return sorted(f"{_ASIDE}/{printable(name)}" for name in self._list(f"{self._base}/{_ASIDE}") or ())

    def _files(self) -> dict[str, str]:
        """What the folder for the parts holds, as `_list` has it."""
        found = self._list(self._root)
        if found is None:
            raise StoreError(f"{self._root!r} cannot be read: no such folder")
        return found

    def _list(self, folder: str) -> dict[str, str] | None:
        """What a folder holds: names, and of each whether it is a ``file`` or what it is instead; None: no folder.

        In an object store a folder that is not there and an empty one are the same.
        """

        def look() -> dict[str, str]:
            if self._local:  # Arrow fails at names that are no text, and keeps silent about links to nothing
                with os.scandir(folder) as entries:
                    kinds = {e.name: (_quietly(e.is_file), _quietly(e.is_dir)) for e in entries}
            else:
                found = self._fs.get_file_info(fs.FileSelector(folder, allow_not_found=True))
                kinds = {i.base_name: (i.is_file, i.type == fs.FileType.Directory) for i in found if i.base_name}
            return {n: "file" if file else "a folder" if dir else "no file" for n, (file, dir) in kinds.items()}

        try:
            return patiently(look, folder)
        except FileNotFoundError:
            return None

    def _read(
        self,
        wanted: list[str] | None,
        keep: list[str] | None = None,
        each: Each | None = None,
        skip: Collection[str] = (),
        most: int | None = None,
    ) -> pa.Table:
        """The rows of the readable parts, of their columns those to ``keep``; other files are named in `damaged`."""
        tables = self._tables(lambda name, kind: self._part(name, kind, wanted, keep, each), skip, most)
        parts = {name: table for name, table in tables.items() if isinstance(table, pa.Table)}
        self._wrong = {name: reason for name, reason in tables.items() if isinstance(reason, str)}
        together = concatenated(parts.values())
        if implausible(together):  # looked at together: one by one takes long
            self._wrong |= {name: reason for name, table in parts.items() if (reason := implausible(table))}
            together = concatenated(table for name, table in parts.items() if name not in self._wrong)
        self._right = [name for name in parts if name not in self._wrong]
        self.damaged = {f"{_PARTS}/{printable(name)}": self._wrong[name] for name in sorted(self._wrong)}
        return together

    def _tables(
        self, read: Callable[[str, str], pa.Table | str | None], skip: Collection[str], most: int | None
    ) -> dict[str, pa.Table | str]:
        """What `_part` says of so many files that are not to be skipped.

        Parts may be put together meanwhile: then there are others to read.
        """
        threads, tables = _THREADS[not self._local], dict[str, pa.Table | str]()
        for _ in range(_TRIES):
            listed = self._files().items()
            wanted = (file for file in listed if file[0] not in tables and file[0] not in skip)
            files = sorted(file for file in wanted if not LEFTOVERS.fullmatch(file[0]))[:most]
            size = min(_AT_ONCE, -(-len(files) // threads) or 1)
            some = [files[i : i + size] for i in range(0, len(files), size)]
            with ThreadPoolExecutor(threads) as pool:
                found = [*chain(*pool.map(lambda chosen: [read(*file) for file in chosen], some))]
            tables |= {name: table for (name, _), table in zip(files, found, strict=True) if table is not None}
            if all(table is not None for table in found):
                return tables
        raise StoreError(f"{self._root!r} cannot be read: its files come and go")

    def _part(
        self,
        name: str,
        kind: str,
        wanted: list[str] | None,
        keep: list[str] | None,
        each: Each | None = None,
    ) -> pa.Table | str | None:
        """A part's table, or what is wrong with it; None if it is gone since it was listed."""
        path = f"{self._root}/{name}"
        if kind != "file":
            return kind
        if not (name.endswith(".parquet") and name.isprintable()):
            return "no part of a sweep"
        try:
            data = patiently(lambda: self._bytes(path), path)
            table = self._parse(name, data, wanted, keep)
            if each is None:
                return table
            return implausible(table) or each(table)  # as a whole: a part is right or wrong whatever is asked for
        except FileNotFoundError:
            return None
        except StoreError:
            raise
        except Exception as error:  # Arrow's parsers raise a dozen kinds on damaged bytes
            return one_line(error)

    def _bytes(self, path: str) -> pa.Buffer:
        """All of a file: a storage that fails and a file that is damaged give the same errors when they meet."""
        with self._fs.open_input_file(path) as file:
            if (size := file.size()) > MOST_BYTES:
                raise NotAPart(f"its {size} bytes are more than any pack's")
            return file.read_buffer()

    def _parse(self, name: str, data: pa.Buffer, wanted: list[str] | None, keep: list[str] | None) -> pa.Table:
        from sweep.spec.columns import KINDS

        if name.startswith("part-") and name != part_name(data):
            raise NotAPart("its content has changed, or was never complete")
        with pq.ParquetFile(pa.BufferReader(data)) as part:
            schema = part.schema_arrow
            if self._good is None or not schema.equals(self._good, check_metadata=True):
                self._check(schema)
                self._good = schema  # most parts have the same
            names = [n for n in schema.names if wanted is None or n in wanted]
            if wanted and "status" in wanted and "status" not in names:
                raise NotAPart("it has no column status")
            check_size(part.metadata, names)
            table = part.read(names, use_threads=False).replace_schema_metadata(None)
            for i, field in enumerate(table.schema):
                if pa.types.is_integer(field.type) and KINDS.get(field.name) == "number":
                    table = table.set_column(i, field.name, table.column(i).cast(pa.float64(), safe=False))
            if wanted and {"status", "margin"} <= {*wanted} and "margin" not in names:
                if not pc.all(pc.equal(table["status"].cast(pa.string()), "failed")).as_py():
                    raise NotAPart("it has no column margin")
            return table if keep is None else table.select([n for n in names if n in keep])

    def _check(self, schema: pa.Schema) -> None:
        about = schema.metadata or {}
        if (
            version := about.get(b"schema_version", SCHEMA_VERSION.encode()).decode(errors="replace")
        ) != SCHEMA_VERSION:
            raise NotAPart(f"of version {version[:20]} of the format, this is version {SCHEMA_VERSION}")
        digest = about.get(b"sweep", b"").decode(errors="replace")
        if self._digest and digest and digest != self._digest:
            raise NotAPart(f"of another sweep, {digest[:40]}; this is {self._digest}")
        check_types(schema)

    def _remove(self, path: str) -> None:
        if self._local:
            Path(path).unlink(missing_ok=True)
        else:
            self._fs.delete_file(path)

    def _move_aside(self, name: str) -> None:
        """Links are moved, not followed."""
        source, folder = f"{self._root}/{name}", f"{self._base}/{_ASIDE}"
        target = f"{folder}/{f'{uuid.uuid4().hex[:8]}-' * (name in (self._list(folder) or ()))}{name}"
        self._fs.create_dir(folder, recursive=True)
        if self._local:
            os.rename(source, target)
        elif self._fs.get_file_info(source).is_file:
            self._fs.move(source, target)
        else:  # object stores cannot move folders
            for info in self._fs.get_file_info(fs.FileSelector(source, recursive=True)):
                if info.is_file:
                    self._fs.move(info.path, target + info.path[len(source) :])
            self._fs.delete_dir(source)


def _quietly(asked: Callable[[], bool]) -> bool:
    """What `os.path.isfile` says of a link to itself, too."""
    try:
        return asked()
    except OSError:
        return False
