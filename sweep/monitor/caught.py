"""Output of other code to the terminal, caught while the live view is drawn there."""

import contextlib
import os
import sys
import tempfile


class CaughtOutput:
    """Redirection of standard output and error into an unnamed file, for those of them that are terminals.

    It works on file descriptors, so that output of libraries written in C and of child processes is caught, too.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile("ab+")
        self._offset, self._rest = 0, b""
        self._saved: dict[int, int] = {}
        for fd in (1, 2):
            with contextlib.suppress(OSError):
                if os.isatty(fd):
                    _flush()
                    self._saved[fd] = os.dup(fd)
                    os.dup2(self._file.fileno(), fd)

    def lines(self, last: bool = False) -> list[str]:
        """Return the lines written since the last call.

        An unfinished line is kept until it ends. With ``last`` it is returned, too, and the file is closed.
        Blank lines are left out; of a line that was overwritten after carriage returns, its last text is returned.
        """
        complete: list[bytes] = []
        while more := os.pread(self._file.fileno(), 2**20, self._offset):
            self._offset += len(more)
            *new, self._rest = (self._rest + more).split(b"\n")
            complete += new
        if last:
            complete += [self._rest] * bool(self._rest)
            self._file.close()
        return [text for line in complete if (text := line.decode(errors="replace").rpartition("\r")[2]).strip()]

    def close(self) -> None:
        """Restore standard output and error."""
        _flush()
        for fd, saved in self._saved.items():
            os.dup2(saved, fd)
            os.close(saved)
        self._saved.clear()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            if stream is not None:
                stream.flush()
