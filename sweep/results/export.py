"""Write a table as CSV, Parquet or JSON, to a file or to standard output, and read it again."""

import io
import json
import math
import sys
from pathlib import Path
from typing import Any

import pandas as pd

from sweep.errors import SpecError
from sweep.spec.columns import COLUMNS, DTYPES, SWEEP, described
from sweep.spec.options import TABLES

_KINDS = {".csv": "csv", ".parquet": "parquet", ".json": "json"}
_INFINITE = {math.inf: "Infinity", -math.inf: "-Infinity"}  # as JavaScript's Number and Python's float understand them


def write_table(frame: pd.DataFrame, kind: str | None, output: str | None) -> None:
    """``kind`` by the file's ending if it is None, csv if that says nothing.

    Numbers are written in full. JSON is a list of records, in which NaN and what is not known are null, and infinity is
    the text ``Infinity``; in CSV they are empty and ``inf``. `read_table` gives the same table again.

    Raises
    ------
    SpecError
        The file cannot be written.
    """
    kind = kind or _KINDS.get(Path(output or "").suffix.lower(), "csv")
    buffer = io.BytesIO()
    if kind == "parquet":
        frame.to_parquet(buffer, index=False)
    elif kind == "json":
        # Not pandas' own: it rounds to 15 digits.
        columns = [_plain(frame[name]) for name in frame]
        records = [dict(zip(frame.columns, values, strict=True)) for values in zip(*columns, strict=True)]
        buffer.write(json.dumps(records, allow_nan=False).encode() + b"\n")
    else:
        buffer.write(frame.to_csv(index=False, lineterminator="\n").encode())
    if output is None:
        sys.stdout.buffer.write(buffer.getvalue())
        sys.stdout.buffer.flush()
        return
    try:
        Path(output).write_bytes(buffer.getvalue())
    except OSError as error:
        raise SpecError(f"`output` {output!r} cannot be written: {error.strerror or error}") from None


def _plain(column: pd.Series) -> list[Any]:
    """Values that JSON knows."""
    if column.dtype == "float64":
        return [None if math.isnan(v) else _INFINITE.get(v, v) for v in column.tolist()]
    return [None if v is pd.NA else v for v in column.astype(object).tolist()]


def read_table(path: str | Path, table: str | None = None, kind: str | None = None) -> pd.DataFrame:
    """A table that `write_table` (``sweep results``) wrote, as it was: the same columns, types and values.

    ``kind`` is by the file's ending if it is None. ``table`` is one of `TABLES`; by default, the one whose columns the
    file has, which JSON without rows does not tell.

    Raises
    ------
    SpecError
        The file cannot be read, or holds no such table.
    """
    kind = kind or _KINDS.get(Path(path).suffix.lower(), "csv")
    try:
        data = io.BytesIO(Path(path).read_bytes())
        if kind == "parquet":
            frame = pd.read_parquet(data)
        elif kind == "json":
            frame = pd.DataFrame(json.load(data))
        else:
            # As text, since pandas takes a text "NA" for none.
            frame = pd.read_csv(data, dtype=str, keep_default_na=False, na_filter=False)
    except OSError as error:
        raise SpecError(f"`path` {str(path)!r} cannot be read: {error.strerror or error}") from None
    except ValueError as error:  # of pandas', Arrow's and json's parsers
        raise SpecError(f"`path` {str(path)!r} cannot be read: {' '.join(str(error).split())[:200]}") from None
    names = [str(n) for n in frame.columns if n != SWEEP]
    if table is None:
        table = next((t for t in TABLES if list(COLUMNS[t]) == names), None)
    elif not names:
        frame = pd.DataFrame(columns=list(COLUMNS[table]))
    if table is None or list(COLUMNS[table]) != [n for n in frame.columns if n != SWEEP]:
        raise SpecError(f"`path` {str(path)!r} must hold the table {table or 'of a sweep'}, got other columns")
    try:
        return described(pd.DataFrame({n: _typed(frame[n]) for n in frame}), table)
    except (ValueError, TypeError) as error:
        raise SpecError(f"`path` {str(path)!r} holds what is no {table}: {str(error)[:200]}") from None


def _typed(column: pd.Series) -> pd.Series:
    """As of `DTYPES`, from text, from JSON's values or as it is already."""
    dtype = DTYPES[str(column.name)]
    if column.dtype == dtype:
        return column
    if dtype == "str":
        return column.astype(object).fillna("").astype(str)
    values = [None if v is None or v == "" or v is pd.NA else v for v in column.astype(object)]
    if dtype == "float64":
        return pd.Series([math.nan if v is None else float(v) for v in values], dtype=float)
    if dtype == "boolean":
        truth: dict[Any, bool] = {"True": True, "False": False, True: True, False: False}
        return pd.Series([pd.NA if _is_none(v) else truth[v] for v in values], dtype="boolean")
    whole = [v if v is None or _is_none(v) else int(v) for v in values]
    return pd.Series(whole, dtype=dtype)


def _is_none(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
