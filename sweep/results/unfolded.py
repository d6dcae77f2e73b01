"""Rows of part files as tables: one row a point, or one row a point and list entry."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from sweep.spec.columns import COLUMNS, DTYPES, LIST_PREFIX, POINT, described


def unfolded_lists(wide: pa.Table, table: str, names: list[str], first: int = 1) -> pd.DataFrame:
    """Unfold the list columns of every row; layers are counted from ``first``.

    A list that is shorter than others of its row, or absent, is filled with NaN.
    """
    columns = [_list(wide, LIST_PREFIX[table] + n) for n in names]
    keys = {k: wide[k].to_numpy() if wide.num_rows else np.empty(0) for k in POINT}
    order = np.lexsort([*keys.values()][::-1])
    own = [pc.list_value_length(c).to_numpy(zero_copy_only=False)[order].astype(int) for c in columns]
    lengths = np.max(own, axis=0) if names else np.zeros(len(order), dtype=int)
    rows = np.repeat(np.arange(len(order)), lengths)
    at = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    found: dict[str, np.ndarray] = {k: v[order][rows].astype(DTYPES[k]) for k, v in keys.items()}
    if table == "profiles":
        found["layer"] = at + first
    for name, column, long in zip(names, columns, own, strict=True):
        flat = pc.list_flatten(column.take(pa.array(order))).to_numpy(zero_copy_only=False)
        if not np.array_equal(long, lengths):
            inside = at < long[rows]
            there, flat = flat, np.full(len(rows), np.nan)
            flat[inside] = there  # in the same order
        found[name] = flat
    return described(pd.DataFrame(found, copy=False), table)


def _list(wide: pa.Table, name: str) -> pa.ListArray:
    """Return a list column in one piece, with empty lists where there are none."""
    type_ = pa.large_list(pa.float64())
    if name not in wide.column_names:
        return pa.array([[]] * wide.num_rows, type_)
    found = wide[name].cast(type_).combine_chunks()
    return pc.fill_null(found, pa.scalar([], type_)) if found.null_count else found


def points_of(rows: pa.Table) -> pd.DataFrame:
    """Return the ``points`` table of rows."""
    names = list(COLUMNS["points"])
    frame = rows.to_pandas().reindex(columns=names)
    for name in names:
        column = frame[name]
        if DTYPES[name] == "str":
            column = (column if column.dtype == "str" else column.astype(object)).fillna("")
        frame[name] = column.astype(DTYPES[name])
    return described(frame.sort_values(list(POINT), ignore_index=True), "points")
