"""The search in a thread of its own, which works ahead so that no device waits for a model to be fitted."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from probes.point import Point
from sweep.search.study import SweepStudy
from sweep.spec.design import Place, place_of_point

Row = Mapping[str, Any]
_SMOOTHING = 0.7  # weight of earlier durations in an exponential average
_SLOW_SEARCH_FRACTION = 0.5  # the search is slow if it takes more than this part of the time between packs
_MAX_PACKS_PER_ASK = 4  # packs chosen at once by a slow search; with more, the last would be chosen by too few results
_SHUTDOWN_TIMEOUT_S = 10.0  # for the study to take in the last rows, which are stored in the results in any case


class Planner:
    """Queue of the points to measure next, filled by the study in a thread of its own.

    As many points are ready as are taken while the next ones are chosen, and no more, because a later choice knows more
    results. When measuring is faster than searching, several packs are chosen at once, which takes little longer than
    choosing one.

    Parameters
    ----------
    study:
        The study, which nothing else may use until the planner is closed.
    pack:
        Returns the present number of points in a pack.
    slots:
        Returns the present number of trials that may run at once.
    """

    def __init__(self, study: SweepStudy, pack: Callable[[], int], slots: Callable[[], int]) -> None:
        self._study, self._pack, self._slots = study, pack, slots
        self._new_rows: deque[list[Row]] = deque()  # rows that the study does not know yet
        self._ready: deque[list[Point]] = deque()  # replicas of a place stay together
        self._suspects: deque[Point] = deque()  # points to be measured in a trial of their own each
        self._change = threading.Condition()
        self._exhausted = self._stopping = False
        self._error: BaseException | None = None
        # Averages: seconds of a search and between two packs; and when the last pack was taken.
        self._search_s, self._interval_s, self._taken_at = 0.0, math.inf, -math.inf
        self._packs_taken = 0
        self._packs_per_ask = 1  # packs that the study chooses at once
        self._was_waited_for = False  # whether a pack was waited for since the last search
        self._thread = threading.Thread(target=self._work, name="planner", daemon=True)
        self._thread.start()

    def _wanted(self) -> int:
        """Return how many points should be ready."""
        slots = self._slots()
        if self._packs_taken < slots:
            packs = slots - self._packs_taken  # all devices are about to take their first pack
        else:
            packs = 1 + int(self._search_s / max(self._interval_s, 1e-6))
        return self._pack() * max(1, min(packs, slots), self._packs_per_ask)

    def _ready_count(self) -> int:
        return sum(len(group) for group in self._ready)

    def _has_work(self) -> bool:
        return bool(self._new_rows or self._stopping or (not self._exhausted and self._ready_count() < self._wanted()))

    def _work(self) -> None:
        try:
            while True:
                with self._change:
                    while not self._has_work():
                        self._change.wait(1.0)  # looks again even if nothing happens: the cluster may have grown
                    if self._stopping:
                        return
                    new_rows = [row for rows in self._new_rows for row in rows]
                    self._new_rows.clear()
                if new_rows:
                    self._study.tell(new_rows)
                with self._change:
                    if self._exhausted or self._ready_count() >= self._wanted():
                        continue
                started = time.monotonic()
                points = self._study.ask(self._packs_per_ask * self._pack())
                seconds = time.monotonic() - started
                with self._change:
                    self._search_s = (
                        _SMOOTHING * self._search_s + (1 - _SMOOTHING) * seconds if self._search_s else seconds
                    )
                    if self._was_waited_for and self._search_s > _SLOW_SEARCH_FRACTION * self._interval_s:
                        self._packs_per_ask = min(2 * self._packs_per_ask, _MAX_PACKS_PER_ASK)
                    elif not self._was_waited_for:
                        self._packs_per_ask = max(1, self._packs_per_ask - 1)
                    self._was_waited_for = False
                    self._exhausted = not points
                    self._ready.extend(_by_place(points))
                    self._change.notify_all()
        except BaseException as error:  # raised by the next `take`
            with self._change:
                self._error = error
                self._change.notify_all()

    def take(self, pick: Callable[[Sequence[list[Point]]], Sequence[int]], *, wait: float) -> list[Point] | None:
        """Return the points of the next pack.

        Parameters
        ----------
        pick:
            Returns which of the groups that are ready belong to the pack; a group holds the replicas of a place.
        wait:
            How long to wait for points, in seconds.

        Returns
        -------
        list of Point or None
            The points; None if there are none at present; empty if there will be no more.

        Raises
        ------
        Exception
            The search failed with this error.
        """
        with self._change:
            if self._suspects:
                return [self._suspects.popleft()]
            self._was_waited_for |= not self._ready
            self._change.wait_for(lambda: self._ready or self._exhausted or self._error, wait)
            if self._error:
                raise self._error
            if not self._ready:
                return [] if self._exhausted else None
            chosen = set(pick(self._ready))
            pack = [p for i, group in enumerate(self._ready) if i in chosen for p in group]
            self._ready = deque(group for i, group in enumerate(self._ready) if i not in chosen)
            if pack:
                self._note_interval()
            self._change.notify_all()
            return pack or None

    def _note_interval(self) -> None:
        now = time.monotonic()
        interval, known = now - self._taken_at, math.isfinite(self._interval_s)
        self._interval_s = _SMOOTHING * self._interval_s + (1 - _SMOOTHING) * interval if known else interval
        self._taken_at = now
        self._packs_taken += 1

    def doubtful(self, point: Point) -> bool:
        """Return whether a point is to be trained whatever the probe says, in a sweep that trains the boundary."""
        return self._study.doubtful(point)

    def tell(self, rows: Iterable[Row]) -> None:
        """Pass measured rows to the study, without waiting until it has taken them in."""
        with self._change:
            self._new_rows.append(list(rows))
            self._change.notify_all()

    def measure_again(self, points: Sequence[Point], *, alone: bool = False, later: bool = False) -> None:
        """Queue points to be measured again before all others, or after those that are ready if ``later``.

        With ``alone``, each is measured in a trial of its own.
        """
        with self._change:
            if alone:
                self._suspects.extend(points)
            elif later:
                self._ready.extend(_by_place(points))
            else:
                self._ready.extendleft(reversed(_by_place(points)))
            self._change.notify_all()

    def close(self) -> None:
        """Stop the thread and pass the last rows to the study, unless the thread hangs for more than 10 s."""
        with self._change:
            self._stopping = True
            self._change.notify_all()
        self._thread.join(_SHUTDOWN_TIMEOUT_S)
        if self._error is None and self._new_rows and not self._thread.is_alive():
            self._study.tell([row for rows in self._new_rows for row in rows])


def _by_place(points: Sequence[Point]) -> list[list[Point]]:
    groups: dict[Place, list[Point]] = {}
    for p in points:
        groups.setdefault(place_of_point(p), []).append(p)
    return list(groups.values())
