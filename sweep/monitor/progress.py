"""How a sweep gets on: what is counted, how fast, the boundary so far; shown in a live view, or as lines of a log."""

import contextlib
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, TextIO

from sweep.monitor.estimator import Estimator
from sweep.monitor.notebook import Bar, is_notebook
from sweep.monitor.screen import Screen, shows, width_of
from sweep.monitor.tally import Tally
from sweep.monitor.view import View, line_of, view_of
from sweep.spec.experiment import Experiment
from sweep.storage.heartbeat import Heartbeat, Running, Sign

_REDRAW, _LOG = 0.5, 10.0  # seconds between lines, on a terminal that knows no more than lines, and elsewhere
_LOOK = 0.5  # seconds between looks at what is running


class Progress:
    """Says on standard error how a sweep gets on, and to whoever looks from elsewhere by signs of life.

    A live view on a terminal (one line, where that can do no more), a bar in a notebook; elsewhere a line every ten
    seconds. A context
    manager: on the way out a last line is written.

    Parameters
    ----------
    spec, total, rows:
        Of the sweep; the points that it shall have; those that it has.
    locations:
        Where signs of life are written, the first one being what the sweep is called.
    quiet:
        Say nothing.
    plain:
        Write lines on a terminal, too.
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
        self._spec, self._total, self._locations, self._quiet = spec, total, locations, quiet
        self._stream = stream or sys.stderr
        self._terminal = not plain and self._stream.isatty()
        self._tally = Tally(rows)
        self._estimator = Estimator(spec, self._tally)
        self._began = time.monotonic()
        self._started = False
        self._note = self._trouble = ""
        self._running: Sequence[Running] = ()
        self._drawn = self._looked = -math.inf
        self._heartbeat: Heartbeat | None = None
        self._screen: Screen | None = None
        self._bar: Bar | None = None

    def __enter__(self) -> "Progress":
        if self._quiet:
            return self
        if self._terminal and shows(self._stream):
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
            self._running, self._note, self._estimator.found = (), "", []  # the summary has the last word on it
            self._say(line_of(self._view()), "\n")

    def note(self, text: str) -> None:
        """Say what is being waited for."""
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
        """Say what is to be remembered."""
        if self._screen:
            self._screen.say(text)
        elif not self._quiet:
            self._say(text, "\n")

    def start(self, concurrency: int, pack: int) -> None:
        """Begin."""
        self._started = True
        self._tally.begin()
        self.note(f"{self._total} points, {concurrency} trial{'s' * (concurrency > 1)} at once, {pack} points a pack")

    def measured(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Count new rows."""
        self._note = ""
        self._tally.add(rows)

    def refresh(self, running: Callable[[], Sequence[Running]], trouble: str | None = None) -> None:
        """Take notice of what is under way, if it is time to; ``trouble`` is why nothing can be stored."""
        now = time.monotonic()
        if now - self._looked < _LOOK:
            return
        self._looked, self._running, self._trouble = now, running(), trouble or ""
        if not self._quiet:
            self._estimator.look()
            if self._bar:
                self._bar.show(self._view())
            elif not self._screen and now - self._drawn >= (_REDRAW if self._terminal else _LOG):
                self._drawn = now
                self._say(line_of(self._view()), "" if self._terminal else "\n")

    def _say(self, text: str, end: str) -> None:
        if self._terminal and not self._screen:  # over what stands there
            room = width_of(self._stream) - 1
            text = f"\r{text[:room].ljust(room)}"
        with contextlib.suppress(OSError, ValueError):  # the terminal, or who reads a pipe, may be gone
            print(text, end=end, file=self._stream, flush=True)

    def _sign(self) -> Sign:
        rate, elapsed = self._tally.rate, time.monotonic() - self._began
        return Sign(self._running, rate, elapsed, self._note, self._trouble)

    def _view(self) -> View:
        location = self._locations[0] if self._locations else ""
        return view_of(self._spec, location, self._total, self._tally, self._estimator, self._sign())
