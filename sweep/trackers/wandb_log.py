"""What W&B's own process has done with a run, which its library does not say.

It stands in two files of the run, whose formats are W&B's own (checked for 0.31): ``run-ID.wandb`` holds protobuf
records in the format of LevelDB's log, ``logs/debug-internal.log`` a JSON object a line.
"""

import contextlib
import json
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_FILE_HEADER_BYTES = 7
_BLOCK_BYTES = 2**15
_HEADER = struct.Struct("<IHB")  # checksum, length, kind
_WHOLE, _LAST = 1, 4  # kinds of pieces that end a record
_FATAL = "filestream: fatal error"
_POLL_S = 0.02


def upload_error(path: Path) -> str:
    """Return the error after which W&B gave up uploading a run, such as a quota that is used up; empty if it did not.

    Parameters
    ----------
    path:
        The log ``debug-internal.log`` of the run.
    """
    with contextlib.suppress(OSError, ValueError):
        for line in path.read_text(errors="replace").splitlines():
            if _FATAL in line:
                return str(json.loads(line)["msg"])
    return ""


def is_written(path: Path, run_id: str, timeout_s: float = 10.0) -> bool:
    """Return whether a file holds a run from its beginning to its end; wait until it does.

    W&B's own process writes the file, some of it after the run has ended in ours. It does not say if it cannot, such
    as on a full disk.
    """
    end = time.monotonic() + timeout_s
    while not (written := _is_whole(path, run_id)) and time.monotonic() < end:
        time.sleep(_POLL_S)
    return written


def _is_whole(path: Path, run_id: str) -> bool:
    begins = ends = False
    try:
        for record in records(path):
            begins |= record.HasField("run") and record.run.run_id == run_id
            ends |= record.HasField("exit")
    except (OSError, ValueError):
        return False
    return begins and ends


def records(path: Path) -> Iterator[Any]:
    """Yield the records of a file, up to one that is incomplete.

    Raises
    ------
    OSError
        The file cannot be read.
    ValueError
        A record is damaged.
    """
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]

    data, at, whole = path.read_bytes(), _FILE_HEADER_BYTES, b""
    while True:
        if (left := -at % _BLOCK_BYTES) < _HEADER.size:
            at += left
        if at + _HEADER.size > len(data):
            return
        _, length, kind = _HEADER.unpack_from(data, at)
        at += _HEADER.size + length
        if at > len(data):
            return
        whole += data[at - length : at]
        if kind in (_WHOLE, _LAST):
            try:
                record = Record.FromString(whole)
            except DecodeError as error:
                raise ValueError(f"{path} is damaged") from error
            yield record
            whole = b""
