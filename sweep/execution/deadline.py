"""The time limit of a sweep: nothing is begun that would not be finished in time."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator

from sweep.processes import called_after
from sweep.spec.kinds import seconds_of
from sweep.spec.parts import Resources

_CLOSING_TIME_S = 10.0  # reserved for storing the last results and ending the sweep
_JOB_END_VARIABLE = "SLURM_JOB_END_TIME"  # in seconds since the Unix epoch
_JOB_MARGIN_S = 60.0  # a sweep ends this long before its SLURM job


class Deadline:
    """The moment at which a sweep has to end.

    Parameters
    ----------
    seconds:
        Time from now on; None for no limit.

    Attributes
    ----------
    reached:
        Whether work was refused or interrupted for lack of time.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds
        self.reached = False

    def allows(self, seconds: float) -> bool:
        """Return whether work of this many seconds may still begin; once it may not, no other work may."""
        if self._end is not None and time.monotonic() + seconds + _CLOSING_TIME_S > self._end:
            self.reached = True
        return not self.reached

    @contextlib.contextmanager
    def enforced(self) -> Iterator[None]:
        """Send SIGTERM to this process if the ``with`` block takes longer than there is time.

        Without a time limit, and outside of the main thread, nothing is done.
        """
        if self._end is None or threading.current_thread() is not threading.main_thread():
            yield
            return
        with called_after(self._end - _CLOSING_TIME_S - time.monotonic(), self._interrupt):
            yield

    def _interrupt(self) -> None:
        self.reached = True
        os.kill(os.getpid(), signal.SIGTERM)


def time_left(spec: Resources) -> float | None:
    """Return the seconds that a sweep may take from now on, None if there is no limit.

    This is ``spec.time_limit``, or else the time left of the SLURM job that the process runs in, less a minute.
    """
    if spec.time_limit is not None:
        return seconds_of(spec.time_limit)
    with contextlib.suppress(KeyError, ValueError):
        return max(0.0, float(os.environ[_JOB_END_VARIABLE]) - time.time() - _JOB_MARGIN_S)
    return None
