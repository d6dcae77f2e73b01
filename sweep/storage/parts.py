"""The format of a part file: its name, its columns, and the checks that reject foreign or damaged files."""

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from probes.point import MAX_DEPTH, MAX_SEED, MAX_SIGMA
from sweep.spec.columns import KINDS, SCHEMA_VERSION
from sweep.storage.folder import Folder

KEY_RANGES = {"sigma_w": (0, MAX_SIGMA), "sigma_b": (0, MAX_SIGMA), "depth": (1, MAX_DEPTH), "seed": (0, MAX_SEED)}
_STATUSES = ("ok", "diverged", "failed")
LEFTOVER_NAME = re.compile(  # of a file that a killed driver left half-written
    r"\.writable-[0-9a-f]{32}|part-[0-9a-f]{32}\.parquet\.[0-9a-f]{8}\.tmp|[0-9a-f]{32}\.parquet\.tmp"
)
# Limits of a part. Rows and numbers have their own: a small file may unpack to more than there is memory for.
_MAX_BYTES, _MAX_ROWS, _MAX_NUMBERS = 2**30, 1_000_000, 2**27
PART_NAME = re.compile(r"part-[0-9a-f]{32}\.parquet")


class NotAPart(ValueError):
    """The error for a file that is not a part of the sweep; its message is the reason."""


class PartFormat:
    """The format of the parts of one sweep.

    Parameters
    ----------
    digest:
        The digest of what is measured (`SweepSpec.digest`). Parts with another one are rejected; by default none is.
    further:
        Names of the sweep's further axes, which are columns that tell points apart.

    Attributes
    ----------
    digest:
        As given.
    keys:
        Names of the columns that tell points apart.
    known:
        Names of all columns that this version knows.
    """

    def __init__(self, digest: str = "", further: Collection[str] = ()) -> None:
        self.digest = digest
        self.keys, self.known = [*KEY_RANGES, *further], {*KINDS, *further}
        self._checked: pa.Schema | None = None  # the last schema that was checked: most parts have the same one

    def write(self, folder: Folder, table: pa.Table) -> str:
        """Write a table as a part; return the part's name.

        Raises
        ------
        StoreError
            The part cannot be written.
        """
        table = table.replace_schema_metadata({"schema_version": SCHEMA_VERSION, "sweep": self.digest})
        buffer = pa.BufferOutputStream()
        # With so few rows, dictionaries and statistics are of no use, and reading is faster without them.
        pq.write_table(table, buffer, use_dictionary=False, write_statistics=False)
        data = buffer.getvalue()
        name = part_name(data)
        folder.write(name, data)
        return name

    def decode(
        self, name: str, data: pa.Buffer, columns: Collection[str] | None = None, kept: Collection[str] | None = None
    ) -> pa.Table:
        """Check the bytes of a part, and return its table.

        Parameters
        ----------
        name:
            The file's name, which may contain the checksum.
        data:
            The file's content.
        columns:
            Columns to read and to check; all if None.
        kept:
            Those of them to return; all if None.

        Raises
        ------
        NotAPart
            The file is damaged, or belongs to another sweep. On damaged bytes Arrow raises other errors, too.
        """
        if name.startswith("part-") and name != part_name(data):
            raise NotAPart("its content has changed, or was never complete")
        with pq.ParquetFile(pa.BufferReader(data)) as part:
            schema = part.schema_arrow
            if self._checked is None or not schema.equals(self._checked, check_metadata=True):
                self._check(schema)
                self._checked = schema
            names = [n for n in schema.names if columns is None or n in columns]
            if columns and "status" in columns and "status" not in names:
                raise NotAPart("it has no column status")
            _check_size(part.metadata, names)
            table = part.read(names, use_threads=False).replace_schema_metadata(None)
            for i, field in enumerate(table.schema):
                if pa.types.is_integer(field.type) and KINDS.get(field.name) == "number":
                    table = table.set_column(i, field.name, table.column(i).cast(pa.float64(), safe=False))
            if columns and {"status", "margin"} <= {*columns} and "margin" not in names:
                if not pc.all(pc.equal(table["status"].cast(pa.string()), "failed")).as_py():
                    raise NotAPart("it has no column margin")
            return table if kept is None else table.select([n for n in names if n in kept])

    def _check(self, schema: pa.Schema) -> None:
        metadata = schema.metadata or {}
        version = metadata.get(b"schema_version", SCHEMA_VERSION.encode()).decode(errors="replace")
        if version != SCHEMA_VERSION:
            raise NotAPart(f"it has version {version[:20]} of the format; version {SCHEMA_VERSION} can be read here")
        digest = metadata.get(b"sweep", b"").decode(errors="replace")
        if self.digest and digest and digest != self.digest:
            raise NotAPart(f"it is of another sweep, {digest[:40]}; this one is {self.digest}")
        for name in self.keys:
            if name not in schema.names or pa.types.is_null(schema.field(name).type):
                raise NotAPart(f"it has no column {name}")
        _check_types(schema)


def table_of(rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Return rows as a table that has every column that any of them has."""
    # Arrow takes the columns from the first row only, and a failed or untrained point has fewer.
    names = dict.fromkeys(name for row in rows for name in row)
    table = pa.Table.from_pylist([{name: row.get(name) for name in names} for row in rows])
    _check_types(table.schema)
    return table


def part_name(data: pa.Buffer) -> str:
    """Return the name of a part, which contains a checksum of the whole file: Parquet has none for its footer."""
    return f"part-{hashlib.blake2b(data, digest_size=16).hexdigest()}.parquet"


def check_bytes(size: int) -> None:
    """Refuse a file that has more bytes than a part may have."""
    if size > _MAX_BYTES:
        raise NotAPart(f"it has {size} bytes, more than any part of a sweep")


def _check_size(metadata: pq.FileMetaData, names: Sequence[str]) -> None:
    """Refuse a part that, by its metadata, would take too much memory."""
    if metadata.num_rows > _MAX_ROWS:
        raise NotAPart(f"it claims to hold {metadata.num_rows} rows, more than any part of a sweep")
    if metadata.num_rows > 1024 or any(name.startswith(("profile_", "epoch_")) for name in names):
        groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
        if sum(g.column(i).num_values for g in groups for i in range(g.num_columns)) > _MAX_NUMBERS:
            raise NotAPart("it claims to hold more numbers than any part of a sweep")


def _check_types(schema: pa.Schema) -> None:
    """Refuse duplicate columns and columns of a wrong type.

    Columns that are not known may have any type: a newer version may have written them.
    """
    if len({*schema.names}) < len(schema.names):
        raise NotAPart("it has two columns of the same name")
    for field in schema:
        kind, type_ = KINDS.get(field.name), field.type
        if kind == "numbers" and pa.types.is_list(type_):
            kind, type_ = "number", type_.value_type
        if kind is not None and not pa.types.is_null(type_) and not any(is_type(type_) for is_type in _TYPES[kind]):
            raise NotAPart(f"its column {field.name} is {str(field.type)[:40]}, not {kind}")


def _is_whole(type_: pa.DataType) -> bool:
    return bool(pa.types.is_integer(type_)) and type_ != pa.uint64()


_TYPES: dict[str, tuple[Callable[[pa.DataType], bool], ...]] = {
    "number": (_is_whole, pa.types.is_float32, pa.types.is_float64),
    "integer": (_is_whole,),
    "boolean": (pa.types.is_boolean,),
    "text": (pa.types.is_string,),
    "numbers": (),  # a list: `_check_types` looks at its elements
}
ARROW_TYPES = {
    "number": pa.float64(),
    "integer": pa.int64(),
    "boolean": pa.bool_(),
    "text": pa.string(),
    "numbers": pa.list_(pa.float64()),
}


def concatenated(tables: Iterable[pa.Table]) -> pa.Table:
    """Return the rows of all tables, with the columns that any of them has."""
    tables = list(tables)
    if not tables:
        return pa.table({})
    try:
        same_schema = all(table.schema.equals(tables[0].schema) for table in tables)
        return pa.concat_tables(tables, promote_options="none" if same_schema else "permissive")
    except pa.ArrowException:  # columns that are not known may have different types
        known = [table.select([n for n in table.column_names if n in KINDS]) for table in tables]
        return pa.concat_tables(known, promote_options="permissive")


def each_point_once(table: pa.Table, keys: Sequence[str]) -> pa.Table:
    """Return one row of each point, which ``keys`` tell apart; the measurement if one failed and was measured later."""
    if "status" in table.column_names:
        failed = pc.fill_null(pc.equal(table["status"], "failed"), False).to_numpy()
        table = table.take(pa.array(np.argsort(failed, kind="stable")))
    return table.filter(pa.array(~table.select(keys).to_pandas().duplicated().to_numpy()))


def implausible(table: pa.Table) -> str:
    """Return the reason why a sweep cannot have written these values; an empty text if it can."""
    names = set(table.column_names) if table.num_rows else ()
    for name, (low, high) in KEY_RANGES.items():
        if name in names:
            values = table[name].to_numpy()
            if not np.all((values >= low) & (values <= high) & ((name != "sigma_w") | (values > 0))):
                return f"its column {name} has values that no point can have"
    if "status" in names:
        status = table["status"].cast(pa.string())  # it may hold only nulls
        if not pc.all(pc.is_in(status, pa.array(_STATUSES))).as_py():
            return f"its column status has values other than {', '.join(_STATUSES)}"
        if "margin" in names:
            measured = pc.not_equal(status, "failed")
            if pc.any(pc.and_(measured, pc.is_null(table["margin"]))).as_py():
                return "its column margin has no value for a measured point"
    return ""
