"""Conversion of measurements to rows of a part file, and of rows to points."""

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

from sweep.spec.columns import LIST_PREFIX, POINT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from probes import Measurement, Point
    from sweep.spec.space import Space


def row(measurement: "Measurement", **extra: Any) -> dict[str, Any]:
    """Return a measurement as a row of a part file: point, status and values; profiles and curves are lists."""
    m = measurement
    lists = {
        f"{LIST_PREFIX[table]}{name}": [float(v) for v in values]
        for table, arrays in (("profiles", m.profiles), ("truth", m.curves))
        for name, values in arrays.items()
    }
    return {**point_values(m.point), "status": m.status, "error": m.error, **m.values, **lists, **extra}


def point_values(point: "Point") -> dict[str, Any]:
    """Return the values of a point by the names of their columns."""
    return {**{name: getattr(point, name) for name in POINT}, **dict(point.extra)}


def keys_of(spec: "Space") -> list[str]:
    """Return the names of the columns that tell the points of a sweep apart."""
    return [*POINT, *spec.further_names]


def point_of(row: "Mapping[str, Any]", further: "Iterable[str]" = ()) -> "Point":
    """Return the point of a row; ``further`` are the names of its further axes."""
    from probes import Point

    sigma_w, sigma_b, depth, seed = (row[name] for name in POINT)
    return Point(sigma_w, sigma_b, depth, seed, tuple((name, row[name]) for name in further))


class Seen:
    """The points that have a row; of a point that failed and was measured later, the measurement counts.

    Attributes
    ----------
    done, failed:
        How many were measured, and how many were not.
    """

    def __init__(self) -> None:
        self.done = self.failed = 0
        self._failed: dict[Hashable, bool] = {}

    def knows(self, point: Hashable, failed: bool) -> bool:
        """Return whether a row adds nothing: its point was measured, or failed before as it does now."""
        return self._failed.get(point) in (False, failed)

    def add(self, point: Hashable, failed: bool) -> bool:
        """Count a row unless it adds nothing, and return whether it was counted."""
        if self.knows(point, failed):
            return False
        self.failed += failed - bool(self._failed.get(point))
        self.done += not failed
        self._failed[point] = failed
        return True
