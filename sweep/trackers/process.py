"""The process of a tracker, as the driver sees it."""

import contextlib
import json
import logging
import queue
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from sweep.processes import command, environment
from sweep.text import printable
from sweep.trackers.ledger import Ledger

_COMMAND = command("sweep.trackers.runs")
_MOST_WAITING = 20_000  # events: of a tracker that is slower than the sweep, the others are logged at the next start
_PATIENCE = 30.0  # seconds without a point logged that the end of a sweep waits for
LITTLE = 3.0  # the same for a tracker that has failed, and all that an interruption waits for
_SILENT = 2.0  # seconds of waiting that nothing is said of
_log = logging.getLogger(__name__)


class TrackerProcess:
    """The process of one tracker, and the threads that talk to it."""

    def __init__(self, name: str, folder: Path, sweep: str, rates: int) -> None:
        self._name, self._failed = name, False
        self._given = self._logged = 0  # points: each is counted by a thread of its own
        self._events: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._heard = time.monotonic()
        self.ledger = Ledger(folder)
        self._process = subprocess.Popen(
            _COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for the sweep
            env=environment(),
        )
        self.put({"tracker": name, "folder": str(folder), "sweep": sweep, "rates": rates})
        works = (self._feed, self._listen)
        self._threads = [threading.Thread(target=w, name=f"{name} tracker", daemon=True) for w in works]
        for thread in self._threads:
            thread.start()

    def put(self, event: dict[str, Any]) -> None:
        """Hand an event on, soon, unless too many are waiting."""
        self._given += "row" in event
        if self._events.qsize() < _MOST_WAITING:
            self._events.put(event)

    def _feed(self) -> None:
        assert self._process.stdin
        with contextlib.suppress(OSError), self._process.stdin as stdin:  # it may have died
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
                    self._heard = time.monotonic()
                    self._logged += answer["logged"]

    def _warn(self, text: str) -> None:
        if not self._failed:  # once
            self._failed = True
            _log.warning("%s does not log: %s", self._name, printable(text))

    @property
    def _missing(self) -> int:
        return self._given - self._logged

    def finish(self) -> None:
        """Let the tracker log all that it was given, while it gets on."""
        self._events.put(None)
        self._heard = started = time.monotonic()
        said = False
        while self._process.poll() is None:
            now = time.monotonic()
            if now - self._heard > (LITTLE if self._failed else _PATIENCE):
                return
            if now - started > _SILENT and self._missing and not (said or self._failed):
                text = "waiting for %s: %d points; Ctrl-C leaves them for: sweep resume DIR --log %s"
                _log.warning(text, self._name, self._missing, self._name)
                said = True
            time.sleep(0.05)

    def drop(self) -> None:
        """Have the tracker end after what it is at: what still waits is not logged."""
        with contextlib.suppress(queue.Empty):
            while True:
                self._events.get_nowait()
        self._events.put(None)

    def end(self, latest: float) -> None:
        """End the tracker, at once if it is later than that; say what it has not logged."""
        try:
            self._process.wait(max(0.0, latest - time.monotonic()))
        except subprocess.TimeoutExpired:
            pass
        finally:
            self._process.kill()
        self._process.wait()
        for thread in self._threads:
            thread.join(LITTLE)
        if self._missing:
            _log.warning(
                "%s has not logged %d points; what does: sweep resume DIR --log %s",
                *(self._name, self._missing, self._name),
            )
