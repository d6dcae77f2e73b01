"""Counts and recent speed of a running sweep."""

import math
import time
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sweep.spec.columns import POINT
from sweep.spec.rows import Seen
from sweep.text import printable

_RECENT, _FEW = 60.0, 8  # seconds that are the present, but so many packs at least
# Columns of rows, beside those of the point.
NEEDED = ("status", "margin", "margin_censored", "accuracy", "chance", "error", "finished")


class Told(NamedTuple):
    """What an estimate of the boundary wants to know of a point."""

    sigma_w: float
    sigma_b: float
    depth: int
    seed: int
    margin: float
    margin_censored: bool | None
    accuracy: float | None
    chance: float | None


class Tally:
    """Counts points, each once, and keeps what an estimate of the boundary wants to know of them."""

    def __init__(self, rows: Iterable[Mapping[str, Any]] = ()) -> None:
        self.last_error = ""
        self.told: list[Told] = []  # every point with a margin, the last one last
        self._seen = Seen()
        self._arrived: deque[tuple[float, int]] = deque()
        self._count(rows)

    def begin(self) -> None:
        """Count from now on how fast points come in."""
        self._arrived.append((time.monotonic(), 0))

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Count rows: once it has begun, as such that have just come in."""
        new = self._count(rows)
        if new and self._arrived:
            now = time.monotonic()
            self._arrived.append((now, new))
            while len(self._arrived) > _FEW and now - self._arrived[0][0] > _RECENT:
                self._arrived.popleft()

    def _count(self, rows: Iterable[Mapping[str, Any]]) -> int:
        """Count rows and return how many were not known."""
        new = 0
        for row in sorted(rows, key=lambda r: r.get("finished") or 0.0):
            failed = row["status"] == "failed"
            if not self._seen.add(tuple(row[k] for k in POINT), failed):
                continue
            new += 1
            if failed:
                self.last_error = printable(" ".join(str(row.get("error") or "").split()))
            elif (margin := row.get("margin")) is not None and math.isfinite(margin):
                self.told.append(Told._make(row.get(name) for name in Told._fields))
        return new

    @property
    def done(self) -> int:
        """Return the points that were measured."""
        return self._seen.done

    @property
    def failed(self) -> int:
        """Return the points that failed, and were not measured after all."""
        return self._seen.failed

    @property
    def rate(self) -> float:
        """Return points a second, of late."""
        if not self._arrived:
            return 0.0
        arrived = list(self._arrived)
        seconds = time.monotonic() - arrived[0][0]
        return sum(n for _, n in arrived[1:]) / seconds if seconds > 0 else 0.0
