"""Write a table as CSV, Parquet or JSON, to a file or to standard output."""

import io
import sys
from pathlib import Path

import pandas as pd

from .spec import SpecError

__all__ = ["write_table"]

_KINDS = {".csv": "csv", ".parquet": "parquet", ".json": "json"}


def write_table(frame: pd.DataFrame, kind: str | None, output: str | None) -> None:
    """``kind`` by the file's ending if it is None, csv if that says nothing. JSON is a list of records.

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
        buffer.write(frame.to_json(orient="records", double_precision=15).encode() + b"\n")
    else:
        buffer.write(frame.to_csv(index=False).encode())
    if output is None:
        sys.stdout.buffer.write(buffer.getvalue())
        sys.stdout.buffer.flush()
        return
    try:
        Path(output).write_bytes(buffer.getvalue())
    except OSError as error:
        raise SpecError(f"`output` {output!r} cannot be written: {error.strerror or error}") from None
