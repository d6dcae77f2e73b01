"""What a part file is: its name, its columns, and the checks that keep foreign or damaged files out."""

import hashlib
import re
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from probes.point import MAX_DEPTH, MAX_SEED, MAX_SIGMA

__all__ = [
    "ARROW_TYPES",
    "KEY_RANGES",
    "LEFTOVERS",
    "MOST_BYTES",
    "NotAPart",
    "PART_NAME",
    "check_size",
    "check_types",
    "concatenated",
    "each_point_once",
    "implausible",
    "part_name",
]

KEY_RANGES = {"sigma_w": (0, MAX_SIGMA), "sigma_b": (0, MAX_SIGMA), "depth": (1, MAX_DEPTH), "seed": (0, MAX_SEED)}
_STATUS = ("ok", "diverged", "failed")
LEFTOVERS = re.compile(  # what a killed driver leaves
    r"\.writable-[0-9a-f]{32}|part-[0-9a-f]{32}\.parquet\.[0-9a-f]{8}\.tmp|[0-9a-f]{32}\.parquet\.tmp"
)
# Of a part: a small file may hold more than there is memory for.
MOST_BYTES, _MOST_ROWS, _MOST_NUMBERS = 2**30, 1_000_000, 2**27
PART_NAME = re.compile(r"part-[0-9a-f]{32}\.parquet")


class NotAPart(ValueError):
    """Says what is wrong with a file."""


def part_name(data: pa.Buffer) -> str:
    """A part bears the checksum of its content: Parquet has none for its footer."""
    return f"part-{hashlib.blake2b(data, digest_size=16).hexdigest()}.parquet"


def check_types(schema: pa.Schema) -> None:
    """Of the columns that are known: a newer version may have more."""
    from sweep.spec.columns import KINDS

    if len({*schema.names}) < len(schema.names):
        raise NotAPart("it has two columns of one name")
    if missing := [
        name for name in KEY_RANGES if name not in schema.names or pa.types.is_null(schema.field(name).type)
    ]:
        raise NotAPart(f"it has no column {missing[0]}")
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


def check_size(found: pq.FileMetaData, names: Sequence[str]) -> None:
    if found.num_rows > _MOST_ROWS:
        raise NotAPart(f"it claims to hold {found.num_rows} rows, more than any pack")
    if found.num_rows > 1024 or any(name.startswith(("profile_", "epoch_")) for name in names):
        groups = [found.row_group(i) for i in range(found.num_row_groups)]
        if sum(g.column(i).num_values for g in groups for i in range(g.num_columns)) > _MOST_NUMBERS:
            raise NotAPart("it claims to hold more numbers than any pack")


def concatenated(tables: Iterable[pa.Table]) -> pa.Table:
    tables = list(tables)
    if not tables:
        return pa.table({})
    try:
        alike = all(table.schema.equals(tables[0].schema) for table in tables)
        return pa.concat_tables(tables, promote_options="none" if alike else "permissive")
    except pa.ArrowException:  # columns that are not known, of different types
        from sweep.spec.columns import KINDS

        known = [table.select([n for n in table.column_names if n in KINDS]) for table in tables]
        return pa.concat_tables(known, promote_options="permissive")


def each_point_once(table: pa.Table) -> pa.Table:
    """Each point once: of one that failed and was measured after all, the measurement."""
    if "status" in table.column_names:
        failed = pc.fill_null(pc.equal(table["status"], "failed"), False).to_numpy()
        table = table.take(pa.array(np.argsort(failed, kind="stable")))
    return table.filter(pa.array(~table.select([*KEY_RANGES]).to_pandas().duplicated().to_numpy()))


def implausible(table: pa.Table) -> str:
    """Which values are none that a sweep writes; empty if all may be."""
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
