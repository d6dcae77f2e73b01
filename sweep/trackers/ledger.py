"""What a tracker has logged already, so that nothing is logged twice."""

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from sweep.spec.columns import POINT
from sweep.spec.rows import Seen

_LEDGER = "logged"
_FAILED = " failed"  # ends the line of a point that may be measured after all
_LARGEST = 2**26  # characters of it: a million points


def _safely(path: str, flags: int) -> int:
    """Open a file, but follow no link and wait for no pipe: a sweep may come from someone else."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)


class Ledger:
    """Which points a tracker has: a file beside its logs, with a line a point, after a name of the sweep of its own."""

    def __init__(self, folder: Path) -> None:
        try:
            with open(folder / _LEDGER, opener=_safely) as file:
                lines = file.read(_LARGEST).splitlines() if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else []
        except (OSError, ValueError):  # none yet, or damaged
            lines = []
        self.name, self._seen = (lines[0] if lines else ""), Seen()
        for line in lines[1:]:
            self._seen.add(line.removesuffix(_FAILED), line.endswith(_FAILED))
        self._file: TextIO | None = None
        self.new = False  # nothing was ever logged

    def __contains__(self, row: Mapping[str, Any]) -> bool:
        return self._seen.knows(*_point(row))

    def __len__(self) -> int:
        return self._seen.done + self._seen.failed

    @classmethod
    @contextlib.contextmanager
    def held(cls, folder: Path) -> Iterator["Ledger"]:
        """Hold the ledger of a folder for this process alone, as soon as another one has let go of it."""
        with open(folder / _LEDGER, "a", opener=_safely) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            ledger = cls(folder)
            ledger._file = file
            ledger.new = not ledger.name
            if ledger.new:
                ledger.name = os.urandom(8).hex()
                print(ledger.name, file=file, flush=True)
            yield ledger

    def add(self, row: Mapping[str, Any]) -> None:
        """Note that a point is logged."""
        point, failed = _point(row)
        self._seen.add(point, failed)
        print(point + _FAILED * failed, file=self._file, flush=True)


def _point(row: Mapping[str, Any]) -> tuple[str, bool]:
    """Return the point of a row as a line of the ledger, and whether it failed."""
    return " ".join(repr(row[name]) for name in POINT), row["status"] == "failed"
