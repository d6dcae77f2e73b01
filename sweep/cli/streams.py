"""The standard streams, made safe: closed ones, full disks and encodings without the characters that are written."""

import contextlib
import errno
import os
import sys
from collections.abc import Iterator
from typing import Any, TextIO

import click

from sweep.processes import occupy_descriptors
from sweep.text import encodable


@contextlib.contextmanager
def safe_streams() -> Iterator[None]:
    """Make the standard streams safe to write to within a ``with`` block.

    What standard error cannot take is dropped, and standard output that cannot be written is an error in one line. A
    character that their encoding lacks is replaced by one that looks alike.
    """
    occupy_descriptors()
    before = sys.stdout, sys.stderr
    with open(os.devnull, "w") as nowhere:
        # A process without standard output goes on without: there, `print` and click write nothing.
        sys.stdout = _Output(before[0]) if before[0] else before[0]
        sys.stderr = _Errors(before[1] or nowhere)
        try:
            yield
        finally:
            sys.stdout, sys.stderr = before
            for stream in filter(None, before):
                _drop_what_cannot_be_written(stream)


def _drop_what_cannot_be_written(stream: TextIO) -> None:
    """Let what a stream still holds go nowhere if it cannot be written: Python would try that again when it exits."""
    try:
        stream.flush()
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError), open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())


class _Output:
    """Standard output, whose errors end the command in one line.

    A reader that has gone is left to click, which then ends the command without a word.
    """

    encoding = "utf-8"  # any character may be written; in place of a stream in ASCII, click would open another one

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Write a text, and return its length."""
        with self._errors_reported():
            return self._stream.write(encodable(text, self._stream.encoding))

    def flush(self) -> None:
        """Write what is buffered."""
        with self._errors_reported():
            self._stream.flush()

    @contextlib.contextmanager
    def _errors_reported(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            raise _Unwritable(f"standard output cannot be written: {error.strerror or error}") from None


class _Errors(_Output):
    """Standard error; an error of writing to it is ignored: there is nowhere to report it, and no reason to stop."""

    @contextlib.contextmanager
    def _errors_reported(self) -> Iterator[None]:
        with contextlib.suppress(OSError, ValueError):
            yield

    def write(self, text: str) -> int:
        """Write a text, and return its length."""
        super().write(text)
        return len(text)


class _Unwritable(click.ClickException):
    """The error for standard output that cannot be written."""

    exit_code = 2
