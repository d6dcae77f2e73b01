"""The points of searches that do not learn, and the seeds of all, computed from a spec alone."""

import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from probes.point import Point
from sweep.spec.axes import Axis
from sweep.spec.experiment import Design
from sweep.spec.space import Space

Place = tuple[float, ...]  # sigma_w, sigma_b, depth, and further axes, in the order of `Space.axes`
_POINTS_PER_DRAW = 512  # Sobol points are balanced in batches of a power of two


def within(spec: Space, place: Any) -> Any:
    """Return whether a place is within the ranges of a sweep; of columns of places, an array of bools.

    ``place`` maps the names of axes to numbers or columns, as a row or a table does.
    """
    inside: Any = True
    for axis in spec.axes.values():
        slack = 1e-9 * max(abs(axis.low), abs(axis.high))  # places are computed, and rounded
        inside = inside & (place[axis.name] >= axis.low - slack) & (place[axis.name] <= axis.high + slack)
    return inside


def place_of(spec: Space, values: Mapping[str, Any]) -> Place:
    """Return the place of a row, or of the parameters of a trial."""
    return tuple(axis.typed(values[name]) for name, axis in spec.axes.items())


def point_at(spec: Space, place: Place, seed: int) -> Point:
    """Return the point with a seed at a place."""
    return Point(place[0], place[1], int(place[2]), seed, tuple(zip(spec.further_names, place[3:], strict=True)))


def place_of_point(point: Point) -> Place:
    """Return the place of a point."""
    return point.sigma_w, point.sigma_b, point.depth, *(value for _, value in point.extra)


def evenly(axis: Axis, count: int) -> np.ndarray:
    """Return real numbers from end to end of an axis, evenly spaced on its scale, also of an axis of whole numbers."""
    return np.asarray((np.geomspace if axis.log else np.linspace)(*axis.ends, count))


def places(spec: Design) -> Iterator[Place]:
    """Yield the places of a search that does not learn (sobol, grid, random) in order; only a grid ends.

    The same for every driver, whatever its budget: what is missing is what has not been measured of them.
    """
    if spec.search == "grid":
        axes = grid_axes(spec)
        cells = list(itertools.product(*axes.values()))
        for i in np.random.default_rng(spec.seed).permutation(len(cells)):  # a part of a grid covers the plane, too
            yield cells[i]
        return
    for shares in _units(spec):
        yield tuple(axis.at(share) for axis, share in zip(spec.axes.values(), shares, strict=True))


class _OwnChild(np.random.SeedSequence):
    """A seed sequence that is its own child: a generator that SciPy spawns from it draws what the generator would."""

    def spawn(self, n_children: int) -> "list[_OwnChild]":
        """Return the sequence itself, as often as children are asked for."""
        return [self] * n_children


def _units(spec: Design) -> Iterator[list[float]]:
    """Yield points of the unit cube, which are 0 on fixed axes."""
    free = [axis.is_free for axis in spec.axes.values()]
    # Sequence 0 is Optuna's: Sobol points scrambled by the generator itself instead of a child of it.
    random = np.random.default_rng(spec.seed if spec.sequence else _OwnChild(spec.seed))
    engine = None
    if spec.search == "sobol" and any(free):
        from scipy.stats.qmc import Sobol

        engine = Sobol(sum(free), scramble=True, rng=random)
    while True:
        drawn = np.zeros((_POINTS_PER_DRAW, len(free)))
        drawn[:, free] = engine.random(len(drawn)) if engine else random.random((len(drawn), sum(free)))
        yield from drawn.tolist()


def grid_axes(spec: Design) -> dict[str, list[float]]:
    """Return the values of each axis of the largest balanced grid of at most ``spec.points`` points.

    A sweep whose budget was raised keeps its first grid and halves the spacing, widest axis first, as long as
    the budget allows.
    """
    axes = _balanced_grid(spec, spec.first_points or spec.points)
    while True:
        finer = min(
            ({**axes, name: _halved(axes[name], axis)} for name, axis in spec.axes.items()),
            key=lambda g: (_size(g) == _size(axes), _size(g)),
        )
        if _size(finer) == _size(axes) or _size(finer) > spec.points or spec.points == spec.first_points:
            return axes
        axes = finer


def _balanced_grid(spec: Design, points: int) -> dict[str, list[float]]:
    """Lengthen the shortest axis, again and again, as long as the grid stays within ``points``."""
    counts = dict.fromkeys(spec.axes, 1)
    while open_axes := [name for name, axis in spec.axes.items() if counts[name] < axis.count]:
        shortest = min(open_axes, key=counts.__getitem__)
        if math.prod(counts.values()) // counts[shortest] * (counts[shortest] + 1) > points:
            break
        counts[shortest] += 1
    return {name: _spread(axis, counts[name]) for name, axis in spec.axes.items()}


def _spread(axis: Axis, count: int) -> list[float]:
    values = evenly(axis, count) if count > 1 else np.array([_between(axis, *axis.ends)])
    return sorted({min(max(axis.typed(v), axis.low), axis.high) for v in values})


def _between(axis: Axis, a: float, b: float) -> float:
    return math.sqrt(a * b) if axis.log else (a + b) / 2


def _halved(values: list[float], axis: Axis) -> list[float]:
    return sorted({*values, *(axis.typed(_between(axis, a, b)) for a, b in itertools.pairwise(values))})


def _size(axes: dict[str, list[float]]) -> int:
    return math.prod(len(v) for v in axes.values())


def budget(spec: Design) -> int:
    """Return the number of distinct places that a sweep measures."""
    return grid_size(spec) if spec.search == "grid" else spec.points


def grid_size(spec: Design) -> int:
    """Return the number of points of the grid."""
    return _size(grid_axes(spec))


def seeds(spec: Space, number: int) -> list[int]:
    """Return the seeds of the replicas of the sweep's place ``number`` = 0, 1, ...

    Every point has networks of its own: the boundary is that of the ensemble, not of one draw.
    """
    return [spec.seed + number * spec.replicas + r for r in range(spec.replicas)]
