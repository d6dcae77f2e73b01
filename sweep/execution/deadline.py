"""When a sweep must have ended: nothing is begun that would not be done by then."""

import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterator

from sweep.spec.kinds import seconds_of
from sweep.spec.parts import Resources

_STORING = 10.0  # seconds that the end of a sweep takes, with what is still to be stored
_JOB_END = "SLURM_JOB_END_TIME"  # seconds of the epoch
_JOB_MARGIN = 60.0  # seconds before the end of a job


class Deadline:
    """The end of a sweep's time.

    Attributes
    ----------
    reached:
        Whether something was not begun, or was interrupted, for lack of time.
    """

    def __init__(self, seconds: float | None = None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds
        self.reached = False

    def allows(self, seconds: float) -> bool:
        """Tell whether what takes so long may still begin."""
        if self._end is not None and time.monotonic() + seconds + _STORING > self._end:
            self.reached = True
        return not self.reached

    @contextlib.contextmanager
    def kept(self) -> Iterator[None]:
        """Interrupt the main thread, as SIGTERM does, if what runs in it takes longer than there is time."""
        if self._end is None or threading.current_thread() is not threading.main_thread():
            yield
            return
        timer = threading.Timer(max(0.0, self._end - _STORING - time.monotonic()), self._interrupt)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _interrupt(self) -> None:
        self.reached = True
        os.kill(os.getpid(), signal.SIGTERM)


def time_left(spec: Resources) -> float | None:
    """Return the seconds that a sweep may take from now on: its limit, or what is left of its SLURM job."""
    if spec.time_limit is not None:
        return seconds_of(spec.time_limit)
    with contextlib.suppress(KeyError, ValueError):
        return max(0.0, float(os.environ[_JOB_END]) - time.time() - _JOB_MARGIN)
    return None
