"""Fewer trials at once, and pauses, where Ray kills workers because a node runs out of memory."""

import logging
import math
import time

_MAX_PAUSE_S = 60.0
_log = logging.getLogger(__name__)


class MemoryPressure:
    """Limit on the trials that run at once, which falls when a worker is killed for lack of memory.

    After a kill, the trials that are still running are taken to be as many as there is memory for, and no other starts
    for a while: a second at first, twice as long after each further kill. A trial that ends well ends the pause; as
    many of them as may run at once raise the limit by one.
    """

    def __init__(self) -> None:
        self._limit = math.inf
        self._kills = 0  # since the last trial that ended well
        self._resume_time = -math.inf
        self._shortage = ""

    @property
    def trouble(self) -> str | None:
        """The reason why no trial may start at present; None if one may."""
        return f"WAITING FOR MEMORY: {self._shortage}" if time.monotonic() < self._resume_time else None

    def note_kill(self, running: int, shortage: str) -> None:
        """Take note that a worker was killed while this many other trials were running, and why."""
        self._shortage, self._limit = shortage, max(1, min(running, self._limit))
        pause = min(2.0**self._kills, _MAX_PAUSE_S)
        self._resume_time = time.monotonic() + pause
        self._kills += 1
        if self._kills.bit_count() == 1:  # the 1st, 2nd, 4th, ... in a row
            trials = f"{math.floor(self._limit)} trial{'s' * (self._limit >= 2)} at once"
            _log.warning("%s; in %.0f s the sweep goes on with at most %s", shortage, pause, trials)

    def note_success(self) -> None:
        """Take note of a trial that ended well."""
        self._limit, self._kills, self._resume_time = self._limit + 1 / self._limit, 0, -math.inf

    def allows(self, running: int) -> bool:
        """Return whether another trial may start while this many are running."""
        return running + 1 <= self._limit + 1e-9 and time.monotonic() >= self._resume_time
