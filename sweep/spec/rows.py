"""Measurements as rows of a part file, and back to points."""

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
