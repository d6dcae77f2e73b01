"""SweepSpec -> search space, grid, seeds and packs. Pure: no ray, no torch, no study."""

import itertools
import math

import numpy as np

from .spec import AXES, SweepSpec

__all__ = ["budget", "grid_axes", "grid_size", "seeds", "suggested_pack"]


def grid_axes(spec: SweepSpec) -> dict[str, list[float]]:
    """The values of each axis of the largest balanced grid of at most ``spec.points`` points.

    A sweep whose budget was raised keeps its first grid and halves the spacing, widest axis first, as long as
    the budget allows.
    """
    axes = _balanced_grid(spec, spec.first_points or spec.points)
    while True:
        finer = min(
            ({**axes, a: _halved(axes[a], a)} for a in AXES),
            key=lambda g: (_size(g) == _size(axes), _size(g)),
        )
        if _size(finer) == _size(axes) or _size(finer) > spec.points or spec.points == spec.first_points:
            return axes
        axes = finer


def _balanced_grid(spec: SweepSpec, points: int) -> dict[str, list[float]]:
    """Lengthen the shortest axis, again and again, as long as the grid stays within ``points``."""
    counts = dict.fromkeys(AXES, 1)
    limits = {a: _most(spec, a) for a in AXES}
    while open_axes := [a for a in AXES if counts[a] < limits[a]]:
        shortest = min(open_axes, key=counts.__getitem__)
        if math.prod(counts.values()) // counts[shortest] * (counts[shortest] + 1) > points:
            break
        counts[shortest] += 1
    return {a: _spread(spec, a, counts[a]) for a in AXES}


def _most(spec: SweepSpec, axis: str) -> int:
    low, high = getattr(spec, axis)
    if axis == "depth":
        return int(high - low + 1)
    return 1 if low == high else spec.points


def _spread(spec: SweepSpec, axis: str, count: int) -> list[float]:
    low, high = getattr(spec, axis)
    values = np.linspace(low, high, count) if count > 1 else np.array([(low + high) / 2])
    if axis == "depth":
        return [int(v) for v in np.unique(np.round(values))]
    return [float(v) for v in values]


def _halved(values: list[float], axis: str) -> list[float]:
    middles = [(a + b) / 2 for a, b in itertools.pairwise(values)]
    if axis == "depth":
        middles = [round(m) for m in middles]
    return sorted({*values, *middles})


def _size(axes: dict[str, list[float]]) -> int:
    return math.prod(len(v) for v in axes.values())


def budget(spec: SweepSpec) -> int:
    """Distinct points that a sweep measures."""
    return grid_size(spec) if spec.search == "grid" else spec.points


def grid_size(spec: SweepSpec) -> int:
    """Points of the grid."""
    return _size(grid_axes(spec))


def seeds(spec: SweepSpec, number: int) -> list[int]:
    """Seeds of the replicas of the sweep's point ``number`` = 0, 1, ...

    Every point has networks of its own: the boundary is that of the ensemble, not of one draw.
    """
    return [spec.seed + number * spec.replicas + r for r in range(spec.replicas)]


def suggested_pack(spec: SweepSpec, seconds: float, concurrency: int) -> int:
    """Points per trial: about two seconds of work, and at least eight rounds for a search that learns.

    ``seconds`` are those that a point takes, roughly.
    """
    by_time = 2.0 / seconds
    rows = spec.points * spec.replicas
    adaptive = spec.search in ("boundary", "tpe")
    by_rounds = rows / (8 * concurrency) if adaptive else rows / concurrency
    return int(max(1, min(by_time, by_rounds, 16 if adaptive else 64)))
