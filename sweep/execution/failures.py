"""The decision which points are measured again after a failure."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from probes.point import Measurement, Point
from sweep.execution.devices import unusable_gpu
from sweep.execution.ray_patches import is_lost_node, memory_shortage
from sweep.spec.rows import row

_MAX_UNUSABLE_GPUS = 2  # of a point, before any trial has ended well; then no node's GPU can be used
_MAX_NODE_LOSSES = 20  # a point that loses more nodes is taken to be the cause
_MAX_PACK_KILLS = 2  # for lack of memory, of a pack; then its points are measured one by one, which needs less
_MAX_KILLS = 8  # of the trials of a point, while as many others end well; then it is taken to be the cause
_MAX_KILLS_ALONE = 3  # the same, of trials that ran while there were no others
_MAX_KILLS_IN_A_ROW = 20  # of any trials; it takes a quarter of an hour, since the pauses between trials grow
_MAX_ERROR_CHARS = 500


class Verdict(NamedTuple):
    """What to do with the points of a trial.

    Attributes
    ----------
    again:
        Points to be measured again, in packs, before all others.
    later:
        Points to be measured again, in packs, after all others.
    alone:
        Points to be measured again, each in a trial of its own.
    rows:
        Rows of the points that are done, to be stored.
    """

    again: Sequence[Point] = ()
    later: Sequence[Point] = ()
    alone: Sequence[Point] = ()
    rows: Sequence[dict[str, Any]] = ()


class Failures:
    """Counter of failures, which decides whether points are measured again.

    A point that fails is measured again up to ``retries`` times; then its row, with the error, is stored. When a worker
    dies, the point of its pack that caused it is not known: each is measured again in a trial of its own, and only
    failures there use up retries. Losing a node does not use up retries, nor does a worker that is killed because a
    node runs out of memory, nor a GPU that cannot be used, as long as others can.
    """

    def __init__(self, retries: int) -> None:
        self._retries = retries
        self._failures: Counter[Point] = Counter()
        self._losses: Counter[Point] = Counter()
        self._kills: Counter[Point] = Counter()
        self._kills_alone: Counter[Point] = Counter()
        self._kills_in_a_row = self._ended_well = 0  # trials
        self._ended_well_before: dict[Point, int] = {}  # when a point was killed first

    def judge_rows(self, points: Sequence[Point], rows: Sequence[dict[str, Any]]) -> Verdict:
        """Decide what to do with the rows of a trial that ended well, one for each point; some may have failed."""
        self._kills_in_a_row, self._ended_well = 0, self._ended_well + 1
        again, done = [], []
        for point, values in zip(points, rows, strict=True):
            if values["status"] == "failed" and self._may_retry(point):
                again.append(point)
            else:
                done.append(values)
        return Verdict(alone=again, rows=done)

    def judge_trial(self, points: Sequence[Point], error: str, others: int = 0) -> Verdict:
        """Decide what to do with the points of a trial that ended with an error, e.g. because its worker died.

        ``others`` is the number of the other trials that ran at that time.
        """
        if is_lost_node(error):
            self._losses.update(points)
            again = [p for p in points if self._losses[p] <= _MAX_NODE_LOSSES]
            return Verdict(again=again, rows=_failed_rows([p for p in points if p not in again], error))
        if reason := unusable_gpu(error):
            return self._judge_unusable_gpu(points, reason)
        if shortage := memory_shortage(error):
            return self._judge_kill(points, shortage, others)
        if len(points) > 1 or self._may_retry(points[0]):
            return Verdict(alone=points)
        return Verdict(rows=_failed_rows(points, error))

    def _judge_unusable_gpu(self, points: Sequence[Point], reason: str) -> Verdict:
        """Decide what to do with the points of a trial whose GPU cannot be used: another node may have a better one."""
        self._losses.update(points)
        most = _MAX_NODE_LOSSES if self._ended_well else _MAX_UNUSABLE_GPUS
        later = [p for p in points if self._losses[p] < most]
        return Verdict(later=later, rows=_failed_rows([p for p in points if p not in later], reason))

    def _judge_kill(self, points: Sequence[Point], shortage: str, others: int) -> Verdict:
        """Decide what to do with the points of a trial whose worker was killed for lack of memory."""
        self._kills.update(points)
        self._kills_in_a_row += 1
        for point in points:
            self._ended_well_before.setdefault(point, self._ended_well)
        if len(points) > 1:
            is_first = self._kills[points[0]] < _MAX_PACK_KILLS
            return Verdict(later=points) if is_first else Verdict(alone=points)
        point = points[0]
        self._kills_alone[point] += others == 0
        ended_well = self._ended_well - self._ended_well_before[point]
        is_cause = (
            min(self._kills_alone[point], ended_well) >= _MAX_KILLS_ALONE
            or min(self._kills[point], ended_well) >= _MAX_KILLS
        )
        if is_cause or self._kills_in_a_row >= _MAX_KILLS_IN_A_ROW:
            return Verdict(rows=_failed_rows(points, f"{shortage}; a smaller `--pack` or `--concurrency` needs less"))
        return Verdict(later=points)

    def _may_retry(self, point: Point) -> bool:
        """Count a failure of a point, and return whether it may be measured again."""
        self._failures[point] += 1
        return self._failures[point] <= self._retries


def _failed_rows(points: Sequence[Point], error: str) -> list[dict[str, Any]]:
    """Return the rows of points that could not be measured, with the error on one line."""
    text = " ".join(error.split())
    if len(text) > _MAX_ERROR_CHARS:  # the beginning names a process that died, the end an exception
        text = f"{text[: _MAX_ERROR_CHARS // 2]} ... {text[-_MAX_ERROR_CHARS // 2 :]}"
    extra = {"pack": len(points), "device": "", "hostname": ""}
    return [row(Measurement(p, "failed", text), **extra) for p in points]
