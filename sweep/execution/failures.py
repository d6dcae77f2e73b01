"""The decision which points are measured again after a failure."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from probes.point import Measurement, Point
from sweep.execution.ray_patches import is_lost_node, memory_shortage
from sweep.spec.rows import point_of, row

_MAX_NODE_LOSSES = 20  # a point that loses more nodes is taken to be the cause
_MAX_PACK_KILLS = 2  # for lack of memory, of a pack; then its points are measured one by one, which needs less
_MAX_KILLS = 6  # of the trials of a point, for lack of memory; a point that needs more is taken to be the cause
_MAX_ERROR_CHARS = 500


class Verdict(NamedTuple):
    """What to do with the points of a trial.

    Attributes
    ----------
    again:
        Points to be measured again, in packs.
    alone:
        Points to be measured again, each in a trial of its own.
    rows:
        Rows of the points that are done, to be stored.
    """

    again: Sequence[Point] = ()
    alone: Sequence[Point] = ()
    rows: Sequence[dict[str, Any]] = ()


class Failures:
    """Counter of failures, which decides whether points are measured again.

    A point that fails is measured again up to ``retries`` times; then its row, with the error, is stored. When a worker
    dies, the point of its pack that caused it is not known: each is measured again in a trial of its own, and only
    failures there use up retries. Losing a node does not use up retries, nor does a worker that is killed because a
    node runs out of memory.
    """

    def __init__(self, retries: int) -> None:
        self._retries = retries
        self._failures: Counter[Point] = Counter()
        self._losses: Counter[Point] = Counter()
        self._kills: Counter[Point] = Counter()

    def judge_rows(self, rows: Sequence[dict[str, Any]]) -> Verdict:
        """Decide what to do with the rows of a trial that ended well; some of its points may have failed."""
        again = [r for r in rows if r["status"] == "failed" and self._may_retry(point_of(r))]
        return Verdict(alone=[point_of(r) for r in again], rows=[r for r in rows if r not in again])

    def judge_trial(self, points: Sequence[Point], error: str) -> Verdict:
        """Decide what to do with the points of a trial that ended with an error, e.g. because its worker died."""
        if is_lost_node(error):
            self._losses.update(points)
            again = [p for p in points if self._losses[p] <= _MAX_NODE_LOSSES]
            return Verdict(again=again, rows=_failed_rows([p for p in points if p not in again], error))
        if shortage := memory_shortage(error):
            return self._judge_kill(points, shortage)
        if len(points) > 1 or self._may_retry(points[0]):
            return Verdict(alone=points)
        return Verdict(rows=_failed_rows(points, error))

    def _judge_kill(self, points: Sequence[Point], shortage: str) -> Verdict:
        """Decide what to do with the points of a trial whose worker was killed for lack of memory."""
        self._kills.update(points)
        again = [p for p in points if self._kills[p] < _MAX_KILLS or len(points) > 1]
        rows = [p for p in points if p not in again]
        advice = f"{shortage}; a smaller `--pack` or `--concurrency` needs less"
        if len(points) > 1 and self._kills[points[0]] >= _MAX_PACK_KILLS:
            return Verdict(alone=again)
        return Verdict(again=again, rows=_failed_rows(rows, advice))

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
