"""Watch a sweep from elsewhere: another process, another machine."""

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from sweep.errors import StoreError
from sweep.monitor.estimator import Estimator
from sweep.monitor.screen import Screen, shows
from sweep.monitor.tally import NEEDED, Tally
from sweep.monitor.view import View, line_of, view_of
from sweep.results.loading import load
from sweep.results.status import is_known
from sweep.spec.design import budget
from sweep.storage.heartbeat import STALE, Sign, read_sign
from sweep.storage.lock import is_running

_LOOK, _LOOK_ELSEWHERE, _SHARE = 1.0, 5.0, 10  # seconds between looks, at least, and so many times what one takes
_AT_ONCE = 10_000  # parts
_LOG = 10.0  # seconds between lines, where there is no terminal


class Watcher:
    """What can be known of a sweep without reading any part twice.

    Raises
    ------
    SpecError
        There is no sweep.
    StoreError
        It cannot be read.
    """

    def __init__(self, directory: str | Path) -> None:
        results = load(directory)
        self._files, self._spec, self._store = results.files, results.spec, results.store
        self._places = self._files.spec_copies(self._spec)
        self._seen: set[str] = set()
        self._behind = True  # whether there may be parts that are not read yet
        self._tally = Tally()
        self._estimator = Estimator(self._spec, self._tally)
        self._total = budget(self._spec) * self._spec.replicas
        self._sign, self._heard, self._trouble = Sign(), float("-inf"), ""
        self._read()
        self._listen()

    def _read(self) -> None:
        """Read what is new, a part of it where there is much: so that there is something to be seen soon."""
        reading = self._store.read_new(self._seen, NEEDED, _AT_ONCE)
        self._tally.add(reading.rows.to_pylist())
        self._seen |= reading.seen
        behind = len(reading.seen) >= _AT_ONCE
        if self._behind and not behind:
            self._tally.begin()
        self._behind = behind

    def _listen(self) -> None:
        """Take notice of signs of life; the driver's clock may be wrong, so that one that changes is as good as new."""
        sign = read_sign(self._places)
        if sign is None or sign.is_dead:
            self._sign, self._heard = Sign(), float("-inf")
        elif sign.is_fresh or (self._sign.time and sign.time != self._sign.time):
            self._heard = time.monotonic() if sign.time != self._sign.time else self._heard
            self._sign = sign
        else:
            self._sign = replace(Sign(), time=sign.time)

    def look(self) -> float:
        """Look at what is new; the seconds until the next look."""
        started = time.monotonic()
        self._trouble = ""
        try:
            self._read()
            self._listen()
        except StoreError as error:
            self._trouble = str(error)
        self._estimator.look()
        if self._behind:
            return 0.0
        least = _LOOK_ELSEWHERE if self._files.uri else _LOOK
        return max(least, _SHARE * (time.monotonic() - started))

    def ending(self) -> tuple[int, str] | None:
        """The exit code and what to say, if there is nothing more to be watched."""
        if self._trouble or self._behind:
            return None
        missing = self._total - self._tally.done - self._tally.failed
        if missing <= 0:
            return 0, "done"
        if time.monotonic() - self._heard < STALE or any(is_running(p.location) for p in self._places):
            return None
        self.look()  # what was stored last
        if self._trouble or self._behind:
            return None
        missing = self._total - self._tally.done - self._tally.failed
        self._estimator.estimate()
        if missing <= 0:
            return 0, "done"
        error = {"boundary_error": self._estimator.error, "until_boundary_error": self._spec.until_boundary_error}
        if is_known(error):
            return 0, f"done: the boundary is known as well as was asked for; {missing} points were not needed"
        more = f"{missing} point{'s are' if missing > 1 else ' is'} missing"
        return 1, f"its driver is gone, {more}; go on with: sweep resume {self._files.location}"

    def view(self) -> View:
        """What there is to be seen."""
        sign = self._sign
        if time.monotonic() - self._heard >= STALE:
            sign = Sign(rate=self._tally.rate, note="reading" if self._behind else "no word from the driver")
        sign = replace(sign, trouble=self._trouble or sign.trouble)
        return view_of(self._spec, self._files.location, self._total, self._tally, self._estimator, sign)


def watch(directory: str | Path, stream: TextIO | None = None) -> int:
    """Show a sweep until it is done (0), or its driver is gone (1): a live view, or a line every ten seconds.

    Raises
    ------
    SpecError
        There is no sweep.
    StoreError
        It cannot be read to begin with; what fails later is tried again.
    """
    stream = stream or sys.stdout
    watcher = Watcher(directory)
    screen = Screen(watcher.view, stream) if shows(stream) else None
    said = float("-inf")
    try:
        while (ending := watcher.ending()) is None:
            if screen:
                screen.open()
            elif time.monotonic() - said >= _LOG:
                said = time.monotonic()
                print(line_of(watcher.view()), file=stream, flush=True)
            time.sleep(watcher.look())
    finally:
        if screen:
            screen.close()
    print(line_of(replace(watcher.view(), running=(), note="", found=())), file=stream)
    print(ending[1], file=stream, flush=True)
    return ending[0]
