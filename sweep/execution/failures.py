"""Who is to blame for a failure, and what is measured again."""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from probes.point import Measurement, Point
from sweep.execution.ray_patches import is_lost_node
from sweep.spec.rows import point_of, row

_NODE_LOSSES = 20  # nodes that a point may lose before it is to blame itself
_LONGEST = 500  # characters of an error


class Verdict(NamedTuple):
    """What becomes of points: measured again together, each alone, or done, with rows to be stored."""

    again: Sequence[Point] = ()
    alone: Sequence[Point] = ()
    rows: Sequence[dict[str, Any]] = ()


class Failures:
    """Judges failures.

    A point that fails is measured again up to ``retries`` times, then it is a row with its error. When a worker dies,
    nobody knows which point of its pack is to blame: each is measured again in a trial of its own, which counts only
    for those that fail there, too. A node that dies is nobody's fault.
    """

    def __init__(self, retries: int) -> None:
        self._retries = retries
        self._failures: Counter[Point] = Counter()
        self._losses: Counter[Point] = Counter()

    def of_rows(self, rows: Sequence[dict[str, Any]]) -> Verdict:
        """Judge what a trial that ended well measured: some of its points may have failed."""
        again = [r for r in rows if r["status"] == "failed" and self._may_retry(point_of(r))]
        return Verdict(alone=[point_of(r) for r in again], rows=[r for r in rows if r not in again])

    def of_trial(self, points: Sequence[Point], error: str) -> Verdict:
        """Judge a trial that ended with an error: its worker died, or could not even start."""
        if is_lost_node(error):
            self._losses.update(points)
            again = [p for p in points if self._losses[p] <= _NODE_LOSSES]
            return Verdict(again=again, rows=_failed([p for p in points if p not in again], error))
        if len(points) > 1 or self._may_retry(points[0]):
            return Verdict(alone=points)
        return Verdict(rows=_failed(points, error))

    def _may_retry(self, point: Point) -> bool:
        """Count a failure; return whether the point may be measured again."""
        self._failures[point] += 1
        return self._failures[point] <= self._retries


def _failed(points: Sequence[Point], error: str) -> list[dict[str, Any]]:
    """Return the rows of points that could not be measured."""
    text = " ".join(error.split())
    if len(text) > _LONGEST:  # a dead process is named at the beginning, an exception at the end
        text = f"{text[: _LONGEST // 2]} ... {text[-_LONGEST // 2 :]}"
    extra = {"pack": len(points), "device": "", "hostname": ""}
    return [row(Measurement(p, "failed", text), **extra) for p in points]
