"""The points of searches that do not learn, and the seeds of all, computed from a spec alone."""

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from sweep.spec.experiment import Design
from sweep.spec.options import AXES
from sweep.spec.parts import Space

Place = tuple[float, float, int]  # sigma_w, sigma_b, depth
_POINTS_PER_DRAW = 512  # Sobol points are balanced in batches of a power of two


def within(spec: Space, place: Any) -> Any:
    """Return whether a place is within the ranges of a sweep; of columns of places, an array of bools.

    ``place`` maps ``sigma_w``, ``sigma_b`` and ``depth`` to numbers or columns, as a row or a table does.
    """
    inside: Any = True
    for axis in AXES:
        low, high = getattr(spec, axis)
        slack = 1e-9 * high  # places are computed, and rounded
        inside = inside & (place[axis] >= low - slack) & (place[axis] <= high + slack)
    return inside


def places(spec: Design) -> Iterator[Place]:
    """Yield the places of a search that does not learn (sobol, grid, random) in order; only a grid ends.

    The same for every driver, whatever its budget: what is missing is what has not been measured of them.
    """
    if spec.search == "grid":
        axes = grid_axes(spec)
        cells = list(itertools.product(axes["sigma_w"], axes["sigma_b"], map(int, axes["depth"])))
        for i in np.random.default_rng(spec.seed).permutation(len(cells)):  # a part of a grid covers the plane, too
            yield cells[i]
        return
    (w, w_end), (b, b_end), (low, high) = spec.sigma_w, spec.sigma_b, spec.depth
    for u_w, u_b, u_depth in _units(spec):
        depth = low + min(int(u_depth * (high - low + 1)), high - low)
        yield w + u_w * (w_end - w), b + u_b * (b_end - b), depth


class _OwnChild(np.random.SeedSequence):
    """A seed sequence that is its own child: a generator that SciPy spawns from it draws what the generator would."""

    def spawn(self, n_children: int) -> "list[_OwnChild]":
        """Return the sequence itself, as often as children are asked for."""
        return [self] * n_children


def _units(spec: Design) -> Iterator[list[float]]:
    """Yield points of the unit cube, which are 0 on fixed axes."""
    free = [axis in spec.free_axes for axis in AXES]
    # Sequence 0 is Optuna's: Sobol points scrambled by the generator itself instead of a child of it.
    random = np.random.default_rng(spec.seed if spec.sequence else _OwnChild(spec.seed))
    engine = None
    if spec.search == "sobol" and any(free):
        from scipy.stats.qmc import Sobol

        engine = Sobol(sum(free), scramble=True, rng=random)
    while True:
        drawn = np.zeros((_POINTS_PER_DRAW, len(AXES)))
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
            ({**axes, a: _halved(axes[a], a)} for a in AXES),
            key=lambda g: (_size(g) == _size(axes), _size(g)),
        )
        if _size(finer) == _size(axes) or _size(finer) > spec.points or spec.points == spec.first_points:
            return axes
        axes = finer


def _balanced_grid(spec: Design, points: int) -> dict[str, list[float]]:
    """Lengthen the shortest axis, again and again, as long as the grid stays within ``points``."""
    counts = dict.fromkeys(AXES, 1)
    limits = {a: _max_count(spec, a) for a in AXES}
    while open_axes := [a for a in AXES if counts[a] < limits[a]]:
        shortest = min(open_axes, key=counts.__getitem__)
        if math.prod(counts.values()) // counts[shortest] * (counts[shortest] + 1) > points:
            break
        counts[shortest] += 1
    return {a: _spread(spec, a, counts[a]) for a in AXES}


def _max_count(spec: Design, axis: str) -> int:
    low, high = getattr(spec, axis)
    if axis == "depth":
        return int(high - low + 1)
    return 1 if low == high else spec.points


def _spread(spec: Design, axis: str, count: int) -> list[float]:
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
