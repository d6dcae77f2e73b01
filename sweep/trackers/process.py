"""The driver's side of a tracker: it starts the tracker's process, sends it events and waits for it."""

import contextlib
import json
import logging
import queue
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sweep.processes import command, environment
from sweep.text import printable
from sweep.trackers.ledger import Ledger

_COMMAND = command("sweep.trackers.runs")
_MAX_QUEUED_EVENTS = 20_000  # if a tracker is slower than the sweep, further points are logged when it is resumed
_PROGRESS_TIMEOUT_S = 30.0  # at the end of a sweep, without a point being logged
SHORT_TIMEOUT_S = 3.0  # the same for a tracker that has failed; and all the time that is left after an interruption
_SILENT_WAIT_S = 2.0  # before a message says what is waited for
_log = logging.getLogger(__name__)


class TrackerProcess:
    """The process of one tracker, and the threads that talk to it.

    Parameters
    ----------
    name:
        One of `sweep.spec.options.TRACKERS`.
    folder:
        The tracker's folder.
    sweep:
        The name of the sweep in the tracker.
    rates:
        The number of learning rates that each network is trained with.
    further:
        Names of the sweep's further axes.
    """

    def __init__(self, name: str, folder: Path, sweep: str, rates: int, further: Sequence[str] = ()) -> None:
        self._name, self._failed = name, False
        self._submitted = self._logged = 0  # points: each number is written by one thread only
        self._events: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._last_progress = time.monotonic()
        self.ledger = Ledger(folder, further)
        self._process = subprocess.Popen(
            _COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C goes to the driver only
            env=environment(),
        )
        self.put({"tracker": name, "folder": str(folder), "sweep": sweep, "rates": rates, "further": [*further]})
        targets = (self._feed, self._listen)
        self._threads = [threading.Thread(target=t, name=f"{name} tracker", daemon=True) for t in targets]
        for thread in self._threads:
            thread.start()

    def put(self, event: dict[str, Any]) -> None:
        """Queue an event for the tracker; drop it if too many are queued."""
        self._submitted += "row" in event
        if self._events.qsize() < _MAX_QUEUED_EVENTS:
            self._events.put(event)

    def _feed(self) -> None:
        assert self._process.stdin
        with contextlib.suppress(OSError), self._process.stdin as stdin:  # the process may have ended
            while (event := self._events.get()) is not None:
                print(json.dumps(event, default=float), file=stdin, flush=True)

    def _listen(self) -> None:
        assert self._process.stdout
        with self._process.stdout as answers:
            for line in answers:
                answer = json.loads(line)
                if trouble := answer.get("trouble"):
                    self._warn(f"{trouble}; the sweep goes on without it")
                else:
                    self._last_progress = time.monotonic()
                    self._logged += answer["logged"]

    def _warn(self, text: str) -> None:
        if not self._failed:
            self._failed = True
            _log.warning("%s does not log: %s", self._name, printable(text))

    @property
    def _missing(self) -> int:
        return self._submitted - self._logged

    def finish(self) -> None:
        """Wait until the tracker has logged all that it was sent, as long as it makes progress."""
        self._events.put(None)
        self._last_progress = started = time.monotonic()
        announced = False
        while self._process.poll() is None:
            now = time.monotonic()
            if now - self._last_progress > (SHORT_TIMEOUT_S if self._failed else _PROGRESS_TIMEOUT_S):
                return
            if now - started > _SILENT_WAIT_S and self._missing and not (announced or self._failed):
                text = "waiting for %s to log %d points; after Ctrl-C, log the rest by: sweep resume DIR --log %s"
                _log.warning(text, self._name, self._missing, self._name)
                announced = True
            time.sleep(0.05)

    def drop(self) -> None:
        """Drop the queued events, and let the process end after those that it has received."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._events.get_nowait()
        self._events.put(None)

    def end(self, deadline: float) -> None:
        """Wait for the process until a deadline (by `time.monotonic`), then kill it; warn if points are not logged."""
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._process.kill()
        self._process.wait()
        for thread in self._threads:
            thread.join(SHORT_TIMEOUT_S)
        if self._missing:
            _log.warning(
                "%s has not logged %d points; to log them: sweep resume DIR --log %s",
                *(self._name, self._missing, self._name),
            )
