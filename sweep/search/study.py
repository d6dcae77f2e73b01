"""The study of a sweep: it hands out the points to measure and takes in the results.

Points that were under way when a sweep was stopped are running trials of its Optuna study; they are handed out first
when the sweep is resumed.
"""

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from probes.point import Point
from sweep.search.outcome import Row
from sweep.search.proposals import Proposals, make_sampler
from sweep.search.record import Record
from sweep.search.stop import StopRule
from sweep.spec.design import budget, place_of_point
from sweep.spec.spec import SweepSpec


class SweepStudy:
    """Study that hands out each point of a sweep once and takes in the measured rows.

    If the study's server fails, the study moves to a journal file, and the sweep goes on.

    Parameters
    ----------
    spec:
        The sweep's specification.
    folder:
        Folder of the study's journal.
    rows:
        Rows that were measured already.
    cost:
        Returns the cost of a probe of a depth, in any unit.
    batch:
        Least number of places that the search chooses together.
    failed_rows:
        Rows of points that failed and are to be measured once more.

    Attributes
    ----------
    budget:
        Number of places that the sweep measures in all.

    Raises
    ------
    SpecError
        ``spec.study`` names a server that cannot be used.
    """

    def __init__(
        self,
        spec: SweepSpec,
        folder: Path,
        rows: Iterable[Row] = (),
        *,
        cost: Callable[[int], float] = float,
        batch: int = 1,
        failed_rows: Iterable[Row] = (),
    ) -> None:
        rows = list(rows)
        self.spec, self.budget, self._batch = spec, budget(spec), batch
        self._record = Record(spec, folder, rows, partial(make_sampler, cost=cost, batch=batch), failed_rows)
        self._proposals = Proposals(self._record, self.budget)
        self._stop = StopRule(spec, rows)
        self._waiting = deque(self._record.replay())

    @property
    def places_handed_out(self) -> int:
        """The number of places that were handed out or measured so far, with those waiting to be handed out again."""
        return len(self._record.outcomes)

    @property
    def stopped(self) -> bool:
        """Whether the boundary is known as well as was asked for."""
        return self._stop.reached

    def ask(self, count: int) -> list[Point]:
        """Return up to ``count`` points, but at least one place with all its replicas.

        The list is empty when the budget is spent or the boundary is known as well as was asked for.
        """
        self._proposals.expect_batch(max(self._batch, count // self.spec.replicas))
        points: list[Point] = []
        while not points or len(points) + self.spec.replicas <= count:
            if self._waiting:
                points += self._waiting.popleft()
            elif self.places_handed_out < self.budget and not self.stopped and (place := self._proposals.new_place()):
                points += self._record.missing(place)
            else:
                break
        return points

    def doubtful(self, point: Point) -> bool:
        """Return whether a point is to be trained whatever the probe says, in a sweep that trains the boundary."""
        return place_of_point(point) in self._record.doubtful

    def tell(self, rows: Iterable[Row]) -> None:
        """Add measured rows, and finish the trials of places whose replicas have all been measured."""
        rows = list(rows)
        self._stop.tell(rows)
        self._record.tell(rows)
