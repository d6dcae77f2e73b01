"""Watching a sweep from another process or another machine."""

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from sweep.errors import StoreError
from sweep.monitor.estimator import Estimator
from sweep.monitor.screen import Screen, supports_live_view
from sweep.monitor.tally import NEEDED, Tally
from sweep.monitor.view import View, line_of, view_of
from sweep.results.loading import load
from sweep.results.status import is_accurate_enough
from sweep.spec.design import budget
from sweep.storage.heartbeat import STALE_AFTER_S, WAITING_FOR_STORAGE, Sign, read_sign
from sweep.storage.lock import is_running

# The interval between readings is at least so many seconds, and so many times the duration of one reading.
_DISK_INTERVAL_S, _URI_INTERVAL_S, _MIN_INTERVAL_RATIO = 1.0, 5.0, 10
_MAX_PARTS = 10_000  # files read at a time
_LOG_INTERVAL_S = 10.0  # between lines, where the live view cannot be shown


class Watcher:
    """The state of a sweep that another process runs, read from its files; no part file is read twice.

    Parameters
    ----------
    directory:
        The sweep's directory or URI.

    Raises
    ------
    SpecError
        There is no sweep in the directory.
    StoreError
        The sweep cannot be read.
    """

    def __init__(self, directory: str | Path) -> None:
        results = load(directory)
        self._files, self._spec, self._store = results.files, results.spec, results.store
        self._copies = self._files.spec_copies(self._spec)  # files that may hold the driver's sign of life
        self._seen: set[str] = set()
        self._behind = True  # whether there may be parts that have not been read yet
        self._tally = Tally(further=self._spec.further_names)
        self._estimator = Estimator(self._spec, self._tally)
        self._total = budget(self._spec) * self._spec.replicas
        self._sign, self._sign_time, self._trouble = Sign(), float("-inf"), ""
        self._read_parts()
        self._read_sign()

    def _read_parts(self) -> None:
        """Read new parts; of many only the first, so that there is something to show soon."""
        reading = self._store.read_new(self._seen, NEEDED, _MAX_PARTS)
        self._tally.add(reading.rows.to_pylist())
        self._seen |= reading.seen
        behind = len(reading.seen) >= _MAX_PARTS
        if self._behind and not behind:
            self._tally.begin()
        self._behind = behind

    def _read_sign(self) -> None:
        """Read the driver's sign of life.

        The driver's clock may be wrong: a sign that has changed since the last reading counts as fresh.
        """
        sign = read_sign(self._copies)
        if sign is None or sign.is_dead:
            self._sign, self._sign_time = Sign(), float("-inf")
        elif sign.is_fresh or (self._sign.time and sign.time != self._sign.time):
            self._sign_time = time.monotonic() if sign.time != self._sign.time else self._sign_time
            self._sign = sign
        else:
            self._sign = replace(Sign(), time=sign.time)

    def update(self) -> float:
        """Read what is new and return the seconds to wait until the next reading.

        If the storage cannot be read, the view says so, and the next call tries again.
        """
        started = time.monotonic()
        self._trouble = ""
        try:
            self._read_parts()
            self._read_sign()
        except StoreError as error:
            self._trouble = f"{WAITING_FOR_STORAGE}: {error}"
        self._estimator.update()
        if self._behind:
            return 0.0
        shortest = _URI_INTERVAL_S if self._files.uri else _DISK_INTERVAL_S
        return max(shortest, _MIN_INTERVAL_RATIO * (time.monotonic() - started))

    def ending(self) -> tuple[int, str] | None:
        """Return the exit code and the last message once there is nothing more to watch; None before that."""
        if self._trouble or self._behind:
            return None
        missing = self._total - self._tally.done - self._tally.failed
        if missing <= 0:
            return 0, "done"
        if time.monotonic() - self._sign_time < STALE_AFTER_S or any(is_running(f.location) for f in self._copies):
            return None
        self.update()  # the driver may have stored rows just before it stopped
        if self._trouble or self._behind:
            return None
        missing = self._total - self._tally.done - self._tally.failed
        self._estimator.estimate()
        if missing <= 0:
            return 0, "done"
        error = {"boundary_error": self._estimator.error, "until_boundary_error": self._spec.until_boundary_error}
        if is_accurate_enough(error):
            return 0, f"done: the boundary is as accurate as asked for; {missing} points were not needed"
        rest = f"{missing} point{'s are' if missing > 1 else ' is'} missing"
        return 1, f"the driver has stopped, {rest}; continue with: sweep resume {self._files.location}"

    def view(self) -> View:
        """Return the current state of the sweep, for display."""
        sign = self._sign
        if time.monotonic() - self._sign_time >= STALE_AFTER_S:
            sign = Sign(rate=self._tally.rate, note="reading" if self._behind else "no sign of life from the driver")
        sign = replace(sign, trouble=self._trouble or sign.trouble)
        return view_of(self._spec, self._files.location, self._total, self._tally, self._estimator, sign)


def watch(directory: str | Path, stream: TextIO | None = None) -> int:
    """Show the progress of a sweep until it ends, as a live view on a terminal, otherwise as a line every ten seconds.

    Parameters
    ----------
    directory:
        The sweep's directory or URI.
    stream:
        Where to write; standard output by default.

    Returns
    -------
    int
        0 if the sweep is done, 1 if its driver stopped before that.

    Raises
    ------
    SpecError
        There is no sweep in the directory.
    StoreError
        The sweep cannot be read at the start; readings that fail later are repeated.
    """
    stream = stream or sys.stdout
    watcher = Watcher(directory)
    screen = Screen(watcher.view, stream) if supports_live_view(stream) else None
    last_line_time = float("-inf")
    try:
        while (ending := watcher.ending()) is None:
            if screen:
                screen.open()
            elif time.monotonic() - last_line_time >= _LOG_INTERVAL_S:
                last_line_time = time.monotonic()
                print(line_of(watcher.view()), file=stream, flush=True)
            time.sleep(watcher.update())
    finally:
        if screen:
            screen.close()
    print(line_of(replace(watcher.view(), running=(), note="", estimates=())), file=stream)
    print(ending[1], file=stream, flush=True)
    return ending[0]
