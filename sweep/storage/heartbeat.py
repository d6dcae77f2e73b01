"""A driver's signs of life: a small file beside the results that tells the live view what is running.

It is for display only. Results are read from the parts, and whether a sweep is running is decided by its lock.
"""

import contextlib
import json
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from sweep.errors import SpecError, StoreError
from sweep.processes import is_gone, myself
from sweep.storage.sweep_files import SweepFiles
from sweep.text import printable

LIVE_FILE = "live.json"
WAITING_FOR_STORAGE = "WAITING FOR THE STORAGE"  # begins the `trouble` of a `Sign` where results cannot be stored
STALE_AFTER_S = 40.0  # seconds after which a sign of life is too old to be shown
_DISK_INTERVAL_S, _UPLOAD_INTERVAL_S = 3.0, 10.0
_MAX_FILE_BYTES, _MAX_GROUPS, _MAX_CHARACTERS = 2**18, 1000, 500


class Running(NamedTuple):
    """The number of running trials of one kind on one node, and of points in them.

    ``host`` is empty until it is known where the trials run.
    """

    host: str
    kind: str
    trials: int
    points: int


@dataclass(frozen=True)
class Sign:
    """A driver's sign of life.

    Attributes
    ----------
    running:
        Trials that are running, by node and kind.
    rate:
        Points measured per second.
    elapsed:
        Seconds since the driver began.
    note:
        What the driver is waiting for, if anything.
    trouble:
        What work waits for, if it does, and why: the storage, or memory.
    time:
        Seconds since 1970, by the driver's clock.
    driver:
        The driver's process: see `sweep.processes.myself`.
    """

    running: Sequence[Running] = ()
    rate: float = 0.0
    elapsed: float = 0.0
    note: str = ""
    trouble: str = ""
    time: float = 0.0
    driver: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> bytes:
        """Return the sign as JSON, for `from_json`."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "Sign | None":
        """Return the sign in a JSON text, which may hold anything; None if it is not a sign of life."""
        with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError, OverflowError):
            fields = json.loads(data)
            driver = {k: _text(fields["driver"][k]) for k in ("holder", "host", "started")}
            return cls(
                tuple(
                    Running(_text(host)[:100], _text(kind)[:10], _count(trials), _count(points))
                    for host, kind, trials, points in fields["running"][:_MAX_GROUPS]
                ),
                _number(fields["rate"]),
                _number(fields["elapsed"]),
                _text(fields["note"]),
                _text(fields["trouble"]),
                _number(fields["time"]),
                {**driver, "process": _count(fields["driver"]["process"])},
            )
        return None

    @property
    def is_fresh(self) -> bool:
        """Whether the sign is recent by this machine's clock, and its driver is not known to have ended."""
        return abs(time.time() - self.time) < STALE_AFTER_S and not self.is_dead

    @property
    def is_dead(self) -> bool:
        """Whether the driver is known to have ended."""
        return is_gone(self.driver["host"], self.driver["process"], self.driver["started"])


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return printable(value[:_MAX_CHARACTERS])


def _count(value: Any) -> int:
    if not isinstance(value, int) or not 0 <= value < 10**9:
        raise ValueError
    return int(value)


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise ValueError
    return float(value)


def read_sign(copies: Sequence[SweepFiles]) -> Sign | None:
    """Return the newest sign of life among the copies of a sweep's files; None if there is none."""
    signs = []
    for copy in copies:
        with contextlib.suppress(StoreError):
            if data := copy.read(LIVE_FILE, _MAX_FILE_BYTES):
                signs.append(Sign.from_json(data))
    return max((s for s in signs if s), key=lambda s: s.time, default=None)


class Heartbeat:
    """Threads that write signs of life, one for each location, until they are closed.

    Parameters
    ----------
    locations:
        Paths or URIs where the sweep's files are.
    current_sign:
        A function that returns what is running now; ``time`` and ``driver`` are filled in.
    """

    def __init__(self, locations: Sequence[str], current_sign: Callable[[], Sign]) -> None:
        self._locations, self._current_sign, self._ended = locations, current_sign, threading.Event()
        self._threads = [
            threading.Thread(target=self._beat, args=(location,), name="heartbeat", daemon=True)
            for location in locations
        ]
        for thread in self._threads:
            thread.start()

    def _beat(self, location: str) -> None:
        with contextlib.suppress(SpecError, StoreError):
            files, driver = SweepFiles(location), myself()
            while True:
                sign = self._current_sign()
                stamped = Sign(**{**sign.__dict__, "time": time.time(), "driver": driver})
                with contextlib.suppress(StoreError):  # the storage may be away, or full
                    files.write(LIVE_FILE, stamped.as_json())
                if self._ended.wait(_UPLOAD_INTERVAL_S if files.uri else _DISK_INTERVAL_S):
                    break
            files.remove(LIVE_FILE)

    def close(self) -> None:
        """Stop writing and remove the signs, but wait no longer than two seconds for each location."""
        self._ended.set()
        for thread in self._threads:
            thread.join(2.0)
