"""What a part file is: its name, its columns, and the checks that keep foreign or damaged files out."""

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
_STATUS = ("ok", "diverged", "failed")
LEFTOVERS = re.compile(  # what a killed driver leaves
    r"\.writable-[0-9a-f]{32}|part-[0-9a-f]{32}\.parquet\.[0-9a-f]{8}\.tmp|[0-9a-f]{32}\.parquet\.tmp"
)
# Of a part: a small file may hold more than there is memory for.
_MOST_BYTES, _MOST_ROWS, _MOST_NUMBERS = 2**30, 1_000_000, 2**27
PART_NAME = re.compile(r"part-[0-9a-f]{32}\.parquet")


class NotAPart(ValueError):
    """What is wrong with a file that is no part of the sweep."""


class PartFormat:
    """The format of the parts of one sweep.

    ``digest`` says what was measured (`SweepSpec.digest`): parts that bear another one are refused.
    """

    def __init__(self, digest: str = "") -> None:
        self.digest = digest
        self._good: pa.Schema | None = None  # the last that was checked: most parts have the same

    def write(self, folder: Folder, table: pa.Table) -> str:
        """Write a table as a part; return the part's name.

        Raises
        ------
        StoreError
            It cannot be written.
        """
        table = table.replace_schema_metadata({"schema_version": SCHEMA_VERSION, "sweep": self.digest})
        buffer = pa.BufferOutputStream()
        # Of so few rows neither a dictionary nor statistics are of use; reading is faster without.
        pq.write_table(table, buffer, use_dictionary=False, write_statistics=False)
        data = buffer.getvalue()
        name = part_name(data)
        folder.write(name, data)
        return name

    def decode(
        self, name: str, data: pa.Buffer, columns: Collection[str] | None = None, kept: Collection[str] | None = None
    ) -> pa.Table:
        """Return the table in a part's bytes: of the columns asked for, which are checked, those to keep.

        Raises
        ------
        NotAPart
            It is damaged, or of another sweep. Arrow raises more on damaged bytes.
        """
        if name.startswith("part-") and name != part_name(data):
            raise NotAPart("its content has changed, or was never complete")
        with pq.ParquetFile(pa.BufferReader(data)) as part:
            schema = part.schema_arrow
            if self._good is None or not schema.equals(self._good, check_metadata=True):
                self._check(schema)
                self._good = schema
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
        about = schema.metadata or {}
        version = about.get(b"schema_version", SCHEMA_VERSION.encode()).decode(errors="replace")
        if version != SCHEMA_VERSION:
            raise NotAPart(f"of version {version[:20]} of the format, this is version {SCHEMA_VERSION}")
        digest = about.get(b"sweep", b"").decode(errors="replace")
        if self.digest and digest and digest != self.digest:
            raise NotAPart(f"of another sweep, {digest[:40]}; this is {self.digest}")
        _check_types(schema)


def table_of(rows: Sequence[dict[str, Any]]) -> pa.Table:
    """Return the rows of a pack as a table."""
    # Arrow looks for columns in the first row only; a failed or untrained point has fewer.
    names = dict.fromkeys(name for row in rows for name in row)
    table = pa.Table.from_pylist([{name: row.get(name) for name in names} for row in rows])
    _check_types(table.schema)
    return table


def part_name(data: pa.Buffer) -> str:
    """Return the name of a part, the checksum of its content: Parquet has none for its footer."""
    return f"part-{hashlib.blake2b(data, digest_size=16).hexdigest()}.parquet"


def check_bytes(size: int) -> None:
    """Refuse a file that is larger than any part."""
    if size > _MOST_BYTES:
        raise NotAPart(f"its {size} bytes are more than any pack's")


def _check_size(about: pq.FileMetaData, names: Sequence[str]) -> None:
    """Refuse what claims to hold more than there may be memory for."""
    if about.num_rows > _MOST_ROWS:
        raise NotAPart(f"it claims to hold {about.num_rows} rows, more than any pack")
    if about.num_rows > 1024 or any(name.startswith(("profile_", "epoch_")) for name in names):
        groups = [about.row_group(i) for i in range(about.num_row_groups)]
        if sum(g.column(i).num_values for g in groups for i in range(g.num_columns)) > _MOST_NUMBERS:
            raise NotAPart("it claims to hold more numbers than any pack")


def _check_types(schema: pa.Schema) -> None:
    """Refuse columns of other types; of those that are not known nothing is asked: a newer version may have more."""
    if len({*schema.names}) < len(schema.names):
        raise NotAPart("it has two columns of one name")
    for name in KEY_RANGES:
        if name not in schema.names or pa.types.is_null(schema.field(name).type):
            raise NotAPart(f"it has no column {name}")
    for field in schema:
        kind, type_ = KINDS.get(field.name), field.type
        if kind == "numbers" and pa.types.is_list(type_):
            kind, type_ = "number", type_.value_type
        if kind is not None and not pa.types.is_null(type_) and not any(is_(type_) for is_ in _TYPES[kind]):
            raise NotAPart(f"its column {field.name} is {str(field.type)[:40]}, not {kind}")


def _is_whole(type_: pa.DataType) -> bool:
    return bool(pa.types.is_integer(type_)) and type_ != pa.uint64()


_TYPES: dict[str, tuple[Callable[[pa.DataType], bool], ...]] = {
    "number": (_is_whole, pa.types.is_float32, pa.types.is_float64),
    "whole": (_is_whole,),
    "truth": (pa.types.is_boolean,),
    "text": (pa.types.is_string,),
    "numbers": (),  # a list of them
}
ARROW_TYPES = {
    "number": pa.float64(),
    "whole": pa.int64(),
    "truth": pa.bool_(),
    "text": pa.string(),
    "numbers": pa.list_(pa.float64()),
}


def concatenated(tables: Iterable[pa.Table]) -> pa.Table:
    """Return the rows of all tables, with the columns that any of them has."""
    tables = list(tables)
    if not tables:
        return pa.table({})
    try:
        alike = all(table.schema.equals(tables[0].schema) for table in tables)
        return pa.concat_tables(tables, promote_options="none" if alike else "permissive")
    except pa.ArrowException:  # columns that are not known, of different types
        known = [table.select([n for n in table.column_names if n in KINDS]) for table in tables]
        return pa.concat_tables(known, promote_options="permissive")


def each_point_once(table: pa.Table) -> pa.Table:
    """Return each point once: of one that failed and was measured after all, the measurement."""
    if "status" in table.column_names:
        failed = pc.fill_null(pc.equal(table["status"], "failed"), False).to_numpy()
        table = table.take(pa.array(np.argsort(failed, kind="stable")))
    return table.filter(pa.array(~table.select([*KEY_RANGES]).to_pandas().duplicated().to_numpy()))


def implausible(table: pa.Table) -> str:
    """Return which values are none that a sweep writes; empty if all may be."""
    names = set(table.column_names) if table.num_rows else ()
    for name, (low, high) in KEY_RANGES.items():
        if name in names:
            values = table[name].to_numpy()
            if not np.all((values >= low) & (values <= high) & ((name != "sigma_w") | (values > 0))):
                return f"its column {name} holds what no point has"
    if "status" in names:
        status = table["status"].cast(pa.string())  # it may be nothing but nulls
        if not pc.all(pc.is_in(status, pa.array(_STATUS))).as_py():
            return f"its column status holds what is none of {', '.join(_STATUS)}"
        if "margin" in names:
            measured = pc.not_equal(status, "failed")
            if pc.any(pc.and_(measured, pc.is_null(table["margin"]))).as_py():
                return "its column margin lacks that of a measured point"
    return ""
