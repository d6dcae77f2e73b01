"""Write a table as CSV, Parquet or JSON, to a file or to standard output."""

import io
import json
import math
import sys
from pathlib import Path

import pandas as pd

from .spec import SpecError

__all__ = ["write_table"]

_KINDS = {".csv": "csv", ".parquet": "parquet", ".json": "json"}


def write_table(frame: pd.DataFrame, kind: str | None, output: str | None) -> None:
    """``kind`` by the file's ending if it is None, csv if that says nothing.

    Numbers are written in full. JSON is a list of records, in which NaN and infinity are null.

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
        exact = frame.astype(object).where(frame.notna() & ~frame.isin([math.inf, -math.inf]), None)
        buffer.write(json.dumps(exact.to_dict("records"), allow_nan=False).encode() + b"\n")
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
