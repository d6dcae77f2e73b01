"""The search in a thread of its own, a step ahead: no device waits for a model to be fitted."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from probes.point import Point
from sweep.search.study import SweepStudy

Row = Mapping[str, Any]
_MEMORY = 0.7  # weight of the past, in how long things take
_SLOW = 0.5  # share of the time between packs, from which on thinking is what is waited for
_MOST_PACKS = 4  # thought of at once, where it is: of more, the last know too little
_LAST_WORDS = 10.0  # seconds that a study has left to take in what was told, which the parts know, too


class Planner:
    """Points to be measured next, and what came of them.

    It holds as many points ready as are taken while it thinks, and no more: those thought of later know more. Where
    points are measured faster than it can think, it thinks of several packs at once, which takes little longer.

    Parameters
    ----------
    study:
        Used by the planner's thread alone, once that has started.
    pack:
        Gives the points of a pack, at present.
    slots:
        Gives the trials that may run at once, at present.
    """

    def __init__(self, study: SweepStudy, pack: Callable[[], int], slots: Callable[[], int]) -> None:
        self._study, self._pack, self._slots = study, pack, slots
        self._told: deque[list[Row]] = deque()
        self._ready: deque[list[Point]] = deque()  # replicas of a place stay together
        self._alone: deque[Point] = deque()  # suspects, each to be measured in a trial of its own
        self._change = threading.Condition()
        self._exhausted = self._stopping = False
        self._error: BaseException | None = None
        self._thinking, self._interval, self._taken_at = 0.0, math.inf, -math.inf  # seconds
        self._filled = 0  # packs handed out
        self._packs = 1  # thought of at once
        self._late = False  # whether a pack was waited for
        self._thread = threading.Thread(target=self._work, name="planner", daemon=True)
        self._thread.start()

    def _ahead(self) -> int:
        """Points to hold ready."""
        slots = self._slots()
        if self._filled < slots:
            packs = slots - self._filled  # all devices are about to ask
        else:
            packs = 1 + int(self._thinking / max(self._interval, 1e-6))
        return self._pack() * max(1, min(packs, slots), self._packs)

    def _held(self) -> int:
        return sum(len(group) for group in self._ready)

    def _has_work(self) -> bool:
        return bool(self._told or self._stopping or (not self._exhausted and self._held() < self._ahead()))

    def _work(self) -> None:
        try:
            while True:
                with self._change:
                    while not self._has_work():
                        self._change.wait(1.0)  # the cluster may have grown
                    if self._stopping:
                        return
                    told = [row for rows in self._told for row in rows]
                    self._told.clear()
                if told:
                    self._study.tell(told)
                with self._change:
                    if self._exhausted or self._held() >= self._ahead():
                        continue
                started = time.monotonic()
                points = self._study.ask(self._packs * self._pack())
                seconds = time.monotonic() - started
                with self._change:
                    self._thinking = _MEMORY * self._thinking + (1 - _MEMORY) * seconds if self._thinking else seconds
                    if self._late and self._thinking > _SLOW * self._interval:
                        self._packs = min(2 * self._packs, _MOST_PACKS)
                    elif not self._late:
                        self._packs = max(1, self._packs - 1)
                    self._late = False
                    self._exhausted = not points
                    self._ready.extend(_by_place(points))
                    self._change.notify_all()
        except BaseException as error:  # raised where the planner is asked
            with self._change:
                self._error = error
                self._change.notify_all()

    def take(self, pick: Callable[[Sequence[list[Point]]], Sequence[int]], *, wait: float) -> list[Point] | None:
        """The next pack: of the groups of points that are ready, waited for so many seconds, those that are picked.

        None if there is none at present; empty if there are no more.
        """
        with self._change:
            if self._alone:
                return [self._alone.popleft()]
            self._late |= not self._ready
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
        interval, known = now - self._taken_at, math.isfinite(self._interval)
        self._interval = _MEMORY * self._interval + (1 - _MEMORY) * interval if known else interval
        self._taken_at = now
        self._filled += 1

    def doubtful(self, point: Point) -> bool:
        """As `SweepStudy.doubtful`."""
        return self._study.doubtful(point)

    def tell(self, rows: Iterable[Row]) -> None:
        """Take in rows, in time."""
        with self._change:
            self._told.append(list(rows))
            self._change.notify_all()

    def again(self, points: Sequence[Point], *, alone: bool = False) -> None:
        """Points to be measured again, before all others; each in a trial of its own, if ``alone``."""
        with self._change:
            if alone:
                self._alone.extend(points)
            else:
                self._ready.extendleft(reversed(_by_place(points)))
            self._change.notify_all()

    def close(self) -> None:
        """Take in what has been told, and stop."""
        with self._change:
            self._stopping = True
            self._change.notify_all()
        self._thread.join(_LAST_WORDS)
        if self._error is None and self._told and not self._thread.is_alive():
            self._study.tell([row for rows in self._told for row in rows])


def _by_place(points: Sequence[Point]) -> list[list[Point]]:
    groups: dict[tuple[float, float, int], list[Point]] = {}
    for p in points:
        groups.setdefault((p.sigma_w, p.sigma_b, p.depth), []).append(p)
    return list(groups.values())
