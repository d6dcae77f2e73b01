"""Counts and recent speed of a running sweep."""

import math
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from sweep.spec.columns import POINT
from sweep.spec.rows import Seen
from sweep.text import printable

_RATE_WINDOW_S, _MIN_RATE_PACKS = 60.0, 8  # the speed is that of the last minute, or of 8 packs if they took longer
# Columns that a tally reads from rows, besides those of the point.
NEEDED = ("status", "margin", "margin_censored", "accuracy", "chance", "error", "finished")


class MeasuredPoint(NamedTuple):
    """The columns of a measured point from which the boundary is estimated, and its values on further axes."""

    sigma_w: float
    sigma_b: float
    depth: int
    seed: int
    margin: float
    margin_censored: bool | None
    accuracy: float | None
    chance: float | None
    further: tuple[float, ...] = ()


class Tally:
    """Counts of measured and failed points, with what an estimate of the boundary needs to know of them.

    A point counts once, however many rows it has; one that was measured after it had failed counts as measured.

    Parameters
    ----------
    rows:
        Rows of the points measured before; they do not count towards the speed.
    further:
        Names of the sweep's further axes.

    Attributes
    ----------
    last_error:
        The error of the point that failed last, in one line; empty if none failed.
    measured:
        All points with a finite margin, in the order in which they were counted.
    """

    def __init__(self, rows: Iterable[Mapping[str, Any]] = (), further: Sequence[str] = ()) -> None:
        self._further = further
        self.last_error = ""
        self.measured: list[MeasuredPoint] = []
        self._seen = Seen()
        self._arrivals: deque[tuple[float, int]] = deque()  # time in seconds, number of points
        self._count(rows)

    def begin(self) -> None:
        """Begin to measure the speed: points added from now on count towards it."""
        self._arrivals.append((time.monotonic(), 0))

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Count the points of new rows."""
        new = self._count(rows)
        if new and self._arrivals:
            now = time.monotonic()
            self._arrivals.append((now, new))
            while len(self._arrivals) > _MIN_RATE_PACKS and now - self._arrivals[0][0] > _RATE_WINDOW_S:
                self._arrivals.popleft()

    def _count(self, rows: Iterable[Mapping[str, Any]]) -> int:
        """Count the points of rows and return how many of them change the counts."""
        new = 0
        for row in sorted(rows, key=lambda r: r.get("finished") or 0.0):
            failed = row["status"] == "failed"
            further = tuple(row[name] for name in self._further)
            if not self._seen.add((*(row[name] for name in POINT), *further), failed):
                continue
            new += 1
            if failed:
                self.last_error = printable(" ".join(str(row.get("error") or "").split()))
            elif (margin := row.get("margin")) is not None and math.isfinite(margin):
                values = {name: row.get(name) for name in MeasuredPoint._fields}
                self.measured.append(MeasuredPoint(**values | {"further": further}))
        return new

    @property
    def done(self) -> int:
        """The number of measured points."""
        return self._seen.done

    @property
    def failed(self) -> int:
        """The number of points that failed and were not measured afterwards."""
        return self._seen.failed

    @property
    def rate(self) -> float:
        """The number of points measured per second in the last minute; 0 before `begin`."""
        if not self._arrivals:
            return 0.0
        arrivals = list(self._arrivals)
        seconds = time.monotonic() - arrivals[0][0]
        return sum(n for _, n in arrivals[1:]) / seconds if seconds > 0 else 0.0
