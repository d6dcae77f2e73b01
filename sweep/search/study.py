"""What a sweep measures next, and what came of it.

Points that were under way when a sweep was stopped are still running trials of its Optuna study; they are the first to
be asked for again.
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
from sweep.spec.design import budget
from sweep.spec.spec import SweepSpec


class SweepStudy:
    """Hands out points and takes in rows, each point once.

    If the study's server fails, the study moves to a journal in the sweep's directory, and the sweep goes on.

    Parameters
    ----------
    spec:
        Of the sweep.
    directory:
        Where the journal is or will be.
    rows:
        Rows that part files hold already.
    cost:
        Of a probe of a depth, in any unit.
    batch:
        Points that are asked for at once, at least.
    again:
        Rows of points that failed and are to be measured once more.

    Raises
    ------
    SpecError
        `spec.study` names a server that cannot be used.
    """

    def __init__(
        self,
        spec: SweepSpec,
        directory: Path,
        rows: Iterable[Row] = (),
        *,
        cost: Callable[[int], float] = float,
        batch: int = 1,
        again: Iterable[Row] = (),
    ) -> None:
        rows = list(rows)
        self.spec, self.budget, self._batch = spec, budget(spec), batch
        self._record = Record(spec, directory, rows, partial(make_sampler, cost=cost, batch=batch), again)
        self._proposals = Proposals(self._record, self.budget)
        self._stop = StopRule(spec, rows)
        self._waiting = deque(self._record.replay())

    @property
    def asked(self) -> int:
        """Distinct points handed out so far, or waiting to be handed out again."""
        return len(self._record.outcomes)

    @property
    def stopped(self) -> bool:
        """Whether the boundary is known as well as was asked for."""
        return self._stop.reached

    def ask(self, count: int) -> list[Point]:
        """Return up to ``count`` points (at least one place with all its replicas).

        None when the budget is spent, or the boundary is known as well as was asked for.
        """
        self._proposals.think_of(max(self._batch, count // self.spec.replicas))
        points: list[Point] = []
        while not points or len(points) + self.spec.replicas <= count:
            if self._waiting:
                points += self._waiting.popleft()
            elif self.asked < self.budget and not self.stopped and (place := self._proposals.new_place()):
                points += self._record.missing(place)
            else:
                break
        return points

    def doubtful(self, point: Point) -> bool:
        """Whether a point is to be trained, in a sweep that trains the boundary, whatever the probe says of it."""
        return (point.sigma_w, point.sigma_b, point.depth) in self._record.doubtful

    def tell(self, rows: Iterable[Row]) -> None:
        """Take in measured rows; a point whose replicas are all there finishes its trial."""
        rows = list(rows)
        self._stop.tell(rows)
        self._record.tell(rows)
