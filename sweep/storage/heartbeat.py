"""A driver's signs of life: a small file beside the results that says what is running, for whoever watches.

An ornament: the parts are the truth, and the lock says who is at the sweep.
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
STALE = 40.0  # seconds without one, after which a sign says nothing any more
_EVERY, _EVERY_UPLOAD = 3.0, 10.0  # seconds
_MOST_BYTES, _MOST_GROUPS, _MOST_TEXT = 2**18, 1000, 500


class Running(NamedTuple):
    """Trials of a kind on a node, and the points in them; ``host`` is empty as long as nobody knows where."""

    host: str
    kind: str
    trials: int
    points: int


@dataclass(frozen=True)
class Sign:
    """What a driver says of itself; times in seconds."""

    running: Sequence[Running] = ()
    rate: float = 0.0  # points a second
    elapsed: float = 0.0
    note: str = ""  # what it is waiting for
    trouble: str = ""  # why nothing can be stored
    time: float = 0.0  # since 1970, by the driver's clock
    driver: dict[str, Any] = field(default_factory=dict)  # see `lock.myself`

    def as_json(self) -> bytes:
        """What `from_json` reads."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "Sign | None":
        """Read what anybody may have written; None for nonsense."""
        with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError, OverflowError):
            found = json.loads(data)
            driver = {k: _text(found["driver"][k]) for k in ("holder", "host", "started")}
            return cls(
                tuple(
                    Running(_text(host)[:100], _text(kind)[:10], _count(trials), _count(points))
                    for host, kind, trials, points in found["running"][:_MOST_GROUPS]
                ),
                _number(found["rate"]),
                _number(found["elapsed"]),
                _text(found["note"]),
                _text(found["trouble"]),
                _number(found["time"]),
                {**driver, "process": _count(found["driver"]["process"])},
            )
        return None

    @property
    def is_fresh(self) -> bool:
        """Whether it is of now, as far as this machine's clock can tell, and its driver not known to have ended."""
        return abs(time.time() - self.time) < STALE and not self.is_dead

    @property
    def is_dead(self) -> bool:
        """Whether its driver is known to have ended."""
        return is_gone(self.driver["host"], self.driver["process"], self.driver["started"])


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return printable(value[:_MOST_TEXT])


def _count(value: Any) -> int:
    if not isinstance(value, int) or not 0 <= value < 10**9:
        raise ValueError
    return int(value)


def _number(value: Any) -> float:
    if not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise ValueError
    return float(value)


def read_sign(copies: Sequence[SweepFiles]) -> Sign | None:
    """The newest sign of life in the files of a sweep."""
    signs = []
    for copy in copies:
        with contextlib.suppress(StoreError):
            if data := copy.read(LIVE_FILE, _MOST_BYTES):
                signs.append(Sign.from_json(data))
    return max((s for s in signs if s), key=lambda s: s.time, default=None)


class Heartbeat:
    """Writes signs of life from a thread of its own, one a location, and takes them away when it ends."""

    def __init__(self, locations: Sequence[str], look: Callable[[], Sign]) -> None:
        self._locations, self._look, self._ended = locations, look, threading.Event()
        self._threads = [
            threading.Thread(target=self._beat, args=(location,), name="heartbeat", daemon=True)
            for location in locations
        ]
        for thread in self._threads:
            thread.start()

    def _beat(self, location: str) -> None:
        with contextlib.suppress(SpecError, StoreError):
            files, me = SweepFiles(location), myself()
            while True:
                sign = self._look()
                text = Sign(**{**sign.__dict__, "time": time.time(), "driver": me})
                with contextlib.suppress(StoreError):  # it is away, or full
                    files.write(LIVE_FILE, text.as_json())
                if self._ended.wait(_EVERY_UPLOAD if files.uri else _EVERY):
                    break
            files.remove(LIVE_FILE)

    def close(self) -> None:
        """Take the signs away; a storage that hangs is not waited for."""
        self._ended.set()
        for thread in self._threads:
            thread.join(2.0)
