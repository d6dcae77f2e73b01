"""Measurements as rows of a part file, and back to points."""

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from sweep.spec.columns import LIST_PREFIX, POINT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from probes import Measurement, Point


def row(measurement: "Measurement", **extra: Any) -> dict[str, Any]:
    """One row of a part file: point, status, values; profiles and curves as lists."""
    m = measurement
    lists = {
        f"{LIST_PREFIX[table]}{name}": [float(v) for v in values]
        for table, arrays in (("profiles", m.profiles), ("truth", m.curves))
        for name, values in arrays.items()
    }
    point = {name: getattr(m.point, name) for name in POINT}
    return {**point, "status": m.status, "error": m.error, **m.values, **lists, **extra}


def point_of(row: "Mapping[str, Any]") -> "Point":
    """The point of a row."""
    from probes import Point

    return Point(*(row[name] for name in POINT))


class Seen:
    """Points that have a row: of one that failed and was measured after all, the measurement counts.

    Attributes
    ----------
    done, failed:
        How many were measured, and how many were not.
    """

    def __init__(self) -> None:
        self.done = self.failed = 0
        self._failed: dict[Hashable, bool] = {}

    def knows(self, point: Hashable, failed: bool) -> bool:
        """Tell whether a row says nothing new: the point was measured, or has failed before."""
        return self._failed.get(point) in (False, failed)

    def add(self, point: Hashable, failed: bool) -> bool:
        """Count a row, if it says something new; return whether it did."""
        if self.knows(point, failed):
            return False
        self.failed += failed - bool(self._failed.get(point))
        self.done += not failed
        self._failed[point] = failed
        return True
