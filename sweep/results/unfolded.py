"""Stored rows as tables: with one row per point, or one row per point and entry of its lists."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from sweep.spec.columns import COLUMNS, DTYPES, LIST_PREFIX, POINT, described


def unfolded_lists(
    wide: pa.Table, table: str, names: list[str], further: Sequence[str] = (), first: int = 1
) -> pd.DataFrame:
    """Return a table with one row for each entry of the lists of each stored row, sorted by point.

    A list that is missing, or shorter than others of its row, is filled with NaN.

    Parameters
    ----------
    wide:
        The stored rows, with profiles or training curves as lists.
    table:
        ``profiles`` or ``truth``.
    names:
        The columns wanted.
    further:
        Names of the sweep's further axes.
    first:
        The number of the layer that lists of profiles begin with.
    """
    columns = [_list_column(wide, LIST_PREFIX[table] + n) for n in names]
    keys = {k: wide[k].to_numpy() if wide.num_rows else np.empty(0) for k in (*POINT, *further)}
    order = np.lexsort([*keys.values()][::-1])
    column_lengths = [pc.list_value_length(c).to_numpy(zero_copy_only=False)[order].astype(int) for c in columns]
    lengths = np.max(column_lengths, axis=0) if names else np.zeros(len(order), dtype=int)
    rows = np.repeat(np.arange(len(order)), lengths)
    position = np.arange(len(rows)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    unfolded: dict[str, np.ndarray] = {k: keys[k][order][rows].astype(DTYPES[k]) for k in POINT}
    if table == "profiles":
        unfolded["layer"] = position + first
    for name, column, length in zip(names, columns, column_lengths, strict=True):
        flat = pc.list_flatten(column.take(pa.array(order))).to_numpy(zero_copy_only=False)
        if not np.array_equal(length, lengths):
            inside = position < length[rows]
            entries, flat = flat, np.full(len(rows), np.nan)
            flat[inside] = entries  # both are in the order of the rows
        unfolded[name] = flat
    unfolded |= {k: keys[k][order][rows] for k in further}
    return described(pd.DataFrame(unfolded, copy=False), table)


def _list_column(wide: pa.Table, name: str) -> pa.ListArray:
    """Return a column of lists as one array, with empty lists where it has none."""
    type_ = pa.large_list(pa.float64())
    if name not in wide.column_names:
        return pa.array([[]] * wide.num_rows, type_)
    lists = wide[name].cast(type_).combine_chunks()
    return pc.fill_null(lists, pa.scalar([], type_)) if lists.null_count else lists


def points_of(rows: pa.Table, further: Sequence[str] = ()) -> pd.DataFrame:
    """Return the table ``points`` of stored rows; the columns of ``further`` axes are the last ones."""
    names = list(COLUMNS["points"])
    frame = rows.to_pandas().reindex(columns=[*names, *(n for n in further if n not in names)])
    for name in names:
        column = frame[name]
        if DTYPES[name] == "str":
            column = (column if column.dtype == "str" else column.astype(object)).fillna("")
        frame[name] = column.astype(DTYPES[name])
    return described(frame.sort_values([*POINT, *further], ignore_index=True), "points")
