"""Storing of results in a separate thread, so that no device waits for a disk, and a full disk loses no results."""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from sweep.errors import StoreError
from sweep.storage.store import Store
from sweep.text import one_line

Rows = Sequence[dict[str, Any]]
_log = logging.getLogger(__name__)
_FIRST_WAIT_S, _MAX_WAIT_S = 1.0, 60.0  # between attempts to write
_MAX_SMALL_PARTS = 1000  # then they are merged: that takes a second, and saves every reader a second


class Recorder:
    """Writer of rows, with a thread of its own that tries again until the store works.

    Parameters
    ----------
    store:
        The store that the rows are written to, one part for each call of `put`.
    stored:
        Function that is called, in the thread, with the rows of each part once they are stored.
    first_wait:
        Seconds before a failed write is tried again; doubled after every further failure, up to a minute.

    Attributes
    ----------
    trouble:
        Why the last attempt to write failed; None if it did not.
    """

    def __init__(self, store: Store, stored: Callable[[Rows], None], *, first_wait: float = _FIRST_WAIT_S) -> None:
        self._store, self._stored, self._first_wait = store, stored, first_wait
        self._queue: deque[Rows] = deque()
        self._change = threading.Condition()
        self._stopping = False
        self._error: BaseException | None = None
        self.trouble: str | None = None
        self._thread = threading.Thread(target=self._work, name="recorder", daemon=True)
        self._thread.start()

    def put(self, rows: Rows) -> None:
        """Queue rows to be written, as one part."""
        with self._change:
            self._queue.append(rows)
            self._change.notify_all()

    @property
    def backlog(self) -> int:
        """The number of parts that are not stored yet."""
        return len(self._queue)

    def _work(self) -> None:
        try:
            self._record()
        except BaseException as error:  # not the storage's fault: raised by `flush`
            with self._change:
                self._error = error
                self._change.notify_all()

    def _record(self) -> None:
        wait, written = self._first_wait, 0
        while True:
            with self._change:
                self._change.wait_for(lambda: self._queue or self._stopping)
                if not self._queue:
                    return
                rows = self._queue[0]
            try:
                self._store.write(rows)
            except StoreError as error:
                self.trouble = str(error)
                with self._change:
                    if self._change.wait_for(lambda: self._stopping, wait):
                        return
                wait = min(2 * wait, _MAX_WAIT_S)
                continue
            self.trouble, wait = None, self._first_wait
            self._stored(rows)
            with self._change:
                self._queue.popleft()
                self._change.notify_all()
            written += 1
            if written >= _MAX_SMALL_PARTS and not self._queue and not self._stopping:
                written = 0
                self._merge_parts()

    def _merge_parts(self) -> None:
        """Merge small part files into large ones, which are read faster; a failure is only logged."""
        try:
            self._store.compact()
        except Exception as error:
            _log.warning("small files of results were not merged, which does no harm: %s", one_line(error))

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all rows are stored, for at most ``timeout`` seconds, and return whether they are.

        Raises
        ------
        BaseException
            The error that ended the thread, unless it is one of the storage.
        """
        end = None if timeout is None else time.monotonic() + timeout
        with self._change:
            while self._queue and self._thread.is_alive() and (end is None or time.monotonic() < end):
                self._change.wait(0.2)  # short, so that Ctrl-C takes effect
        if self._error:
            raise self._error
        return not self._queue

    def close(self, timeout: float) -> int:
        """Stop the thread, and return how many rows could not be stored.

        Waits for at most ``timeout`` seconds until all rows are stored, and as long again for a write in progress.

        Raises
        ------
        BaseException
            As for `flush`.
        """
        self.flush(timeout)
        with self._change:
            self._stopping = True
            self._change.notify_all()
        self._thread.join(timeout)
        return sum(len(rows) for rows in self._queue)
