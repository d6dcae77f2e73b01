"""Writing tables as CSV, Parquet or JSON, to a file or to standard output, and reading them again."""

import csv
import io
import json
import math
import sys
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from probes.further import RATE
from sweep.errors import SpecError
from sweep.spec.columns import COLUMNS, DTYPES, LATER, SWEEP, described
from sweep.spec.kinds import expanded
from sweep.spec.options import TABLES

_FORMATS = {".csv": "csv", ".parquet": "parquet", ".json": "json"}
_INFINITE = {math.inf: "Infinity", -math.inf: "-Infinity"}  # Number() in JavaScript and float() in Python read both


def write_table(frame: pd.DataFrame, kind: str | None, output: str | None) -> None:
    """Write a table of a sweep to a file or to standard output.

    Numbers are written with all their digits, and `read_table` returns the same table again. JSON is a list of records,
    in which NaN and what is not known are null, and infinity is the text ``Infinity``. In CSV, they are empty and
    ``inf``.

    Parameters
    ----------
    frame:
        The table.
    kind:
        ``csv``, ``parquet`` or ``json``; None: by the ending of ``output``, and ``csv`` if that says nothing.
    output:
        The file; None: standard output.

    Raises
    ------
    SpecError
        The file cannot be written.
    """
    kind = kind or _FORMATS.get(Path(output or "").suffix.lower(), "csv")
    target = Path(expanded(output)) if output is not None else None
    buffer = io.BytesIO()
    if kind == "parquet":
        frame.to_parquet(buffer, index=False)
    elif kind == "json":
        # DataFrame.to_json would round to 15 digits.
        columns = [_json_values(frame[name]) for name in frame]
        records = [dict(zip(frame.columns, values, strict=True)) for values in zip(*columns, strict=True)]
        buffer.write(json.dumps(records, allow_nan=False).encode() + b"\n")
    else:
        buffer.write(frame.to_csv(index=False, lineterminator="\n", quoting=_csv_quoting(frame)).encode())
    if target is None:
        _write_to_standard_output(buffer.getvalue())
        return
    try:
        target.write_bytes(buffer.getvalue())
    except OSError as error:
        raise SpecError(f"`output` {output!r} cannot be written: {error.strerror or error}") from None


def _write_to_standard_output(data: bytes) -> None:
    if sys.stdout is None:
        raise SpecError("`output` must be given where standard output is closed")
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough
        raise
    except OSError as error:
        raise SpecError(f"standard output cannot be written: {error.strerror or error}") from None


def _json_values(column: pd.Series) -> list[Any]:
    """Return the values of a column as JSON can hold them: null for NaN and NA, texts for infinities."""
    if column.dtype == "float64":
        return [None if math.isnan(v) else _INFINITE.get(v, v) for v in column.tolist()]
    return [None if v is pd.NA else v for v in column.astype(object).tolist()]


def read_table(path: str | Path, table: str | None = None, kind: str | None = None) -> pd.DataFrame:
    """Read a table that `write_table` or ``sweep results`` wrote, with the same columns, types and values.

    Parameters
    ----------
    path:
        The file.
    table:
        ``points``, ``profiles``, ``truth`` or ``boundary``; None: the one whose columns the file has. JSON without rows
        has no columns and can be read only if ``table`` is given.
    kind:
        ``csv``, ``parquet`` or ``json``; None: by the ending of the file, and ``csv`` if that says nothing.

    Raises
    ------
    SpecError
        The file cannot be read, or does not hold such a table.
    """
    kind = kind or _FORMATS.get(Path(path).suffix.lower(), "csv")
    try:
        data = io.BytesIO(Path(expanded(path)).read_bytes())
        if kind == "parquet":
            frame = pd.read_parquet(data)
        elif kind == "json":
            frame = pd.DataFrame(json.load(data), dtype=object)  # whole numbers beside null would become floats
        else:
            # As text, since pandas would take the text "NA" for a missing value.
            frame = pd.read_csv(data, dtype=str, keep_default_na=False, na_filter=False)
    except OSError as error:
        raise SpecError(f"`path` {str(path)!r} cannot be read: {error.strerror or error}") from None
    except ValueError as error:  # from the parsers of pandas, Arrow and json
        raise SpecError(f"`path` {str(path)!r} cannot be read: {' '.join(str(error).split())[:200]}") from None
    names = [str(n) for n in frame.columns if n != SWEEP]
    if table is None:
        table = next((t for t in TABLES if _are_columns(names, t)), None)
    elif not names:
        names = list(COLUMNS[table])
        frame = pd.DataFrame(columns=names)
    if table is None or not _are_columns(names, table):
        raise SpecError(f"`path` {str(path)!r} must hold the table {table or 'of a sweep'}, got other columns")
    frame = frame.assign(**{n: None for n in COLUMNS[table] if n not in names})
    try:
        return described(pd.DataFrame({n: _typed(frame[n]) for n in frame}), table)
    except (ValueError, TypeError) as error:
        raise SpecError(
            f"`path` {str(path)!r} has values that the table {table} cannot hold: {str(error)[:200]}"
        ) from None


def _csv_quoting(frame: pd.DataFrame) -> Literal[0, 2]:
    """Return which cells of a CSV file are quoted: those that must be, and with a lone carriage return all texts.

    Before Python 3.13, `csv` leaves a carriage return unquoted, which readers take for the end of a line.
    """
    texts = (frame[n] for n in frame if DTYPES.get(str(n)) == "str")
    return csv.QUOTE_NONNUMERIC if any(t.str.contains("\r", regex=False).any() for t in texts) else csv.QUOTE_MINIMAL


def _are_columns(names: list[str], table: str) -> bool:
    """Return whether these are the columns of a table, which may be one of before some, and have some of further axes.

    A column that is declared in no table is one of a further axis; the learning rate may be one in any table.
    """
    known = [n for n in COLUMNS[table] if n in names or n not in LATER]
    further = names[len(known) :]
    return names[: len(known)] == known and all(n not in DTYPES or n == RATE for n in further)


def _typed(column: pd.Series) -> pd.Series:
    """Return a column with the type that `DTYPES` gives it, from texts, from values of JSON or from that type."""
    dtype = DTYPES.get(str(column.name)) or _number_type(column)
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


def _number_type(column: pd.Series) -> str:
    """Return the type of the numbers of a further axis: whole ones, which are written without a point, or others."""
    values = [v for v in column.astype(object) if v not in (None, "") and not _is_none(v)]
    return "int64" if values and all(isinstance(v, int) or str(v).lstrip("-").isdigit() for v in values) else "float64"


def _is_none(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))
