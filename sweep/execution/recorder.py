"""Results go to the store from a thread of their own: no device waits for a disk, and no row is lost to a full one."""

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
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 60.0  # seconds between attempts
_SCATTERED = 1000  # parts, after which they are put together: a second of work, a second less for who reads them


class Recorder:
    """Writes rows, one part for each `put`; a store that fails is tried again until it works.

    A context manager: on the way out all rows are written, however long that takes, or, after an exception, as many
    as the store takes within a few seconds.

    Parameters
    ----------
    store:
        Where to.
    stored:
        Called, in the thread, with rows that are stored.
    """

    def __init__(self, store: Store, stored: Callable[[Rows], None], *, first_wait: float = _FIRST_WAIT) -> None:
        self._store, self._stored, self._first_wait = store, stored, first_wait
        self._queue: deque[Rows] = deque()
        self._change = threading.Condition()
        self._stopping = False
        self._error: BaseException | None = None
        self.trouble: str | None = None  # why the store does not take anything at the moment
        self._thread = threading.Thread(target=self._work, name="recorder", daemon=True)
        self._thread.start()

    def put(self, rows: Rows) -> None:
        """Have rows written."""
        with self._change:
            self._queue.append(rows)
            self._change.notify_all()

    @property
    def backlog(self) -> int:
        """Calls of `put` whose rows are not stored yet."""
        return len(self._queue)

    def _work(self) -> None:
        try:
            self._record()
        except BaseException as error:  # a fault of ours: raised where it is waited for
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
                wait = min(2 * wait, _LONGEST_WAIT)
                continue
            self.trouble, wait = None, self._first_wait
            self._stored(rows)
            with self._change:
                self._queue.popleft()
                self._change.notify_all()
            written += 1
            if written >= _SCATTERED and not self._queue and not self._stopping:
                written = 0
                self._put_together()

    def _put_together(self) -> None:
        """For quicker reading: nothing depends on it."""
        try:
            self._store.put_together()
        except Exception as error:
            _log.warning("the results are not put together: %s", one_line(error))

    def flush(self, timeout: float | None = None) -> bool:
        """Wait until all is stored, or for so many seconds; whether it is."""
        end = None if timeout is None else time.monotonic() + timeout
        with self._change:
            while self._queue and self._thread.is_alive() and (end is None or time.monotonic() < end):
                self._change.wait(0.2)  # short, so that Ctrl-C is heard
        if self._error:
            raise self._error
        return not self._queue

    def close(self, timeout: float) -> int:
        """Stop, after so many seconds at most; the rows that could not be stored."""
        self.flush(timeout)
        with self._change:
            self._stopping = True
            self._change.notify_all()
        self._thread.join(timeout)
        return sum(len(rows) for rows in self._queue)
