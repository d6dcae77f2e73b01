"""The list of points that a tracker has logged already, so that no point is logged twice."""

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from sweep.spec.columns import POINT
from sweep.spec.rows import Seen

_LEDGER_FILE = "logged"
_FAILED_SUFFIX = " failed"  # of the line of a failed point, which may be measured later
_MAX_CHARACTERS = 2**26  # of the file: a million points


def _open_safely(path: str, flags: int) -> int:
    """Open a file without following a link or waiting for a pipe: the sweep may come from a stranger."""
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK, 0o666)


class Ledger:
    """The points that a tracker has logged, in a file beside its logs.

    The first line of the file is a random name, by which the tracker finds the sweep's runs; each further line is a
    point.

    Parameters
    ----------
    folder:
        The tracker's folder. A file that is missing or damaged counts as empty.
    further:
        Names of the sweep's further axes.

    Attributes
    ----------
    name:
        The random name; empty if there is no file yet.
    new:
        Whether `held` has just begun the file, so that no point was ever logged.
    """

    def __init__(self, folder: Path, further: Sequence[str] = ()) -> None:
        self._keys = [*POINT, *further]
        try:
            with open(folder / _LEDGER_FILE, opener=_open_safely) as file:
                lines = file.read(_MAX_CHARACTERS).splitlines() if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else []
        except (OSError, ValueError):
            lines = []
        self.name, self._seen = (lines[0] if lines else ""), Seen()
        for line in lines[1:]:
            self._seen.add(line.removesuffix(_FAILED_SUFFIX), line.endswith(_FAILED_SUFFIX))
        self._file: TextIO | None = None
        self.new = False

    def __contains__(self, row: Mapping[str, Any]) -> bool:
        return self._seen.knows(*self._point(row))

    def __len__(self) -> int:
        return self._seen.done + self._seen.failed

    @classmethod
    @contextlib.contextmanager
    def held(cls, folder: Path, further: Sequence[str] = ()) -> Iterator["Ledger"]:
        """Open the ledger of a folder for writing and lock it; wait while another process holds the lock."""
        with open(folder / _LEDGER_FILE, "a", opener=_open_safely) as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            ledger = cls(folder, further)
            ledger._file = file
            ledger.new = not ledger.name
            if ledger.new:
                ledger.name = os.urandom(8).hex()
                print(ledger.name, file=file, flush=True)
            yield ledger

    def add(self, row: Mapping[str, Any]) -> None:
        """Add a point that was logged."""
        point, failed = self._point(row)
        self._seen.add(point, failed)
        print(point + _FAILED_SUFFIX * failed, file=self._file, flush=True)

    def _point(self, row: Mapping[str, Any]) -> tuple[str, bool]:
        """Return the point of a row as it stands in the ledger, and whether it failed."""
        return " ".join(repr(row[name]) for name in self._keys), row["status"] == "failed"
