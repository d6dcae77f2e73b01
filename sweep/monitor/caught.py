"""What others write to the terminal while the live view is on it."""

import contextlib
import os
import sys
import tempfile


class CaughtOutput:
    """Standard output and error, where they are terminals, led into a file without a name."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile("ab+")
        self._read, self._rest = 0, b""
        self._saved: dict[int, int] = {}
        for fd in (1, 2):
            with contextlib.suppress(OSError):
                if os.isatty(fd):
                    _flush()
                    self._saved[fd] = os.dup(fd)
                    os.dup2(self._file.fileno(), fd)

    def lines(self, last: bool = False) -> list[str]:
        """Return what was written since the last call: whole lines, and in the end the rest."""
        lines: list[bytes] = []
        while more := os.pread(self._file.fileno(), 2**20, self._read):
            self._read += len(more)
            *new, self._rest = (self._rest + more).split(b"\n")
            lines += new
        if last:
            lines += [self._rest] * bool(self._rest)
            self._file.close()
        return [text for one in lines if (text := one.decode(errors="replace").rpartition("\r")[2]).strip()]

    def close(self) -> None:
        """Lead standard output and error back."""
        _flush()
        for fd, saved in self._saved.items():
            os.dup2(saved, fd)
            os.close(saved)
        self._saved.clear()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
