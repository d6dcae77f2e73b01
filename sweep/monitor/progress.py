"""The progress of a sweep in the driver's process: counts, speed and the boundary so far, shown while it runs."""

import contextlib
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, TextIO

from sweep.monitor.estimator import Estimator
from sweep.monitor.notebook import Bar, is_notebook
from sweep.monitor.screen import Screen, is_terminal, supports_live_view, width_of
from sweep.monitor.tally import Tally
from sweep.monitor.view import View, line_of, view_of
from sweep.spec.experiment import Experiment
from sweep.storage.heartbeat import Heartbeat, Running, Sign
from sweep.text import encodable

# Between redrawings of the single line, on a terminal that cannot show the live view, and between lines of a log.
_REDRAW_INTERVAL_S, _LOG_INTERVAL_S = 0.5, 10.0
_REFRESH_INTERVAL_S = 0.5  # between readings of the running trials


class Progress:
    """A context manager that shows the progress of a sweep and writes signs of life for other processes.

    It shows a live view on a terminal, a single line on a terminal that cannot show that, a bar in a notebook, and
    otherwise writes a line every ten seconds. On exit it writes a last line.

    Parameters
    ----------
    spec:
        The sweep's specification.
    total:
        The number of points that the sweep will have measured at its end.
    rows:
        Rows of the points measured before.
    locations:
        Directories or URIs that signs of life are written to. The first one is shown as the sweep's location.
    quiet:
        Show nothing; signs of life are written all the same.
    plain:
        Write the lines of a log even on a terminal.
    stream:
        Where to write; standard error by default.
    """

    def __init__(
        self,
        spec: Experiment,
        total: int,
        rows: Sequence[Mapping[str, Any]],
        *,
        locations: Sequence[str] = (),
        quiet: bool = False,
        plain: bool = False,
        stream: TextIO | None = None,
    ) -> None:
        self._spec, self._total, self._locations = spec, total, locations
        self._stream = stream or sys.stderr  # none in a process without standard error
        self._quiet = quiet or self._stream is None
        self._terminal = not plain and is_terminal(self._stream)
        self._tally = Tally(rows, spec.further_names)
        self._estimator = Estimator(spec, self._tally)
        self._start_time = time.monotonic()
        self._started = False
        self._note = self._trouble = ""
        self._running: Sequence[Running] = ()
        self._drawn_time = self._refreshed_time = -math.inf
        self._heartbeat: Heartbeat | None = None
        self._screen: Screen | None = None
        self._bar: Bar | None = None

    def __enter__(self) -> "Progress":
        if self._quiet:
            return self
        if self._terminal and supports_live_view(self._stream):
            self._screen = Screen(self._view, self._stream)
        elif is_notebook():
            self._bar = Bar(self._total)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._screen:
                self._screen.close()
            if self._bar:
                self._bar.close(self._view())
        finally:
            if self._heartbeat:
                self._heartbeat.close()
        if not self._quiet and self._started and not self._bar:
            self._running, self._note, self._estimator.estimates = (), "", []  # the summary shows the final estimates
            self._say(line_of(self._view()), "\n")

    def note(self, text: str) -> None:
        """Show what the driver is waiting for, and begin to show the live view and to write signs of life."""
        self._note = text
        if self._heartbeat is None and self._locations:
            self._heartbeat = Heartbeat(self._locations, self._sign)
        if self._screen:
            self._screen.open()
        elif self._bar:
            self._bar.show(self._view())
        elif not self._quiet:
            self._say(f"{text} ...", "" if self._terminal else "\n")

    def say(self, text: str) -> None:
        """Write a line that stays visible, above the live view if there is one."""
        if self._screen:
            self._screen.say(text)
        elif not self._quiet:
            self._say(text, "\n")

    def start(self, concurrency: int, pack: int) -> None:
        """Begin to measure the speed, and show how many trials run at once, and how many points are in each at most."""
        self._started = True
        self._tally.begin()
        most = f"up to {pack} points" if pack > 1 else "1 point"
        self.note(f"{self._total} points, {concurrency} trial{'s' * (concurrency > 1)} at once, {most} per pack")

    def measured(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Count the rows of points that have just been measured."""
        self._note = ""
        self._tally.add(rows)

    def refresh(self, running: Callable[[], Sequence[Running]], trouble: str | None = None) -> None:
        """Show the current progress, unless that was done less than half a second ago.

        Parameters
        ----------
        running:
            Returns the running trials; it is called only when they are to be shown.
        trouble:
            What work waits for, and why; None if it goes on.
        """
        now = time.monotonic()
        if now - self._refreshed_time < _REFRESH_INTERVAL_S:
            return
        self._refreshed_time, self._running, self._trouble = now, running(), trouble or ""
        if not self._quiet:
            self._estimator.update()
            if self._bar:
                self._bar.show(self._view())
            elif not self._screen and now - self._drawn_time >= (
                _REDRAW_INTERVAL_S if self._terminal else _LOG_INTERVAL_S
            ):
                self._drawn_time = now
                self._say(line_of(self._view()), "" if self._terminal else "\n")

    def _say(self, text: str, end: str) -> None:
        text = encodable(text, self._stream.encoding)
        if self._terminal and not self._screen:  # overwrite the line
            room = width_of(self._stream) - 1
            text = f"\r{text[:room].ljust(room)}"
        with contextlib.suppress(OSError, ValueError):  # the terminal, or the reader of a pipe, may be gone
            print(text, end=end, file=self._stream, flush=True)

    def _sign(self) -> Sign:
        rate, elapsed = self._tally.rate, time.monotonic() - self._start_time
        return Sign(self._running, rate, elapsed, self._note, self._trouble)

    def _view(self) -> View:
        location = self._locations[0] if self._locations else ""
        return view_of(self._spec, location, self._total, self._tally, self._estimator, self._sign())
