"""Comparison of the boundaries of two sweeps: how far apart they are, and whether that is more than chance.

The boundaries are compared at the places where the mean of both models' margins crosses zero, for a few depths and
sigma_b that both sweeps cover.

==========  ================================================================================  ============
symbol      meaning                                                                           shape
==========  ================================================================================  ============
m_A, m_B    posterior means of the two margins                                                ``[places]``
s           standard deviation of their difference, from both posteriors                      ``[places]``
z           (m_B - m_A) / s                                                                   ``[places]``
T           mean of z^2 over the places
p           share of differences drawn from both posteriors, centred at zero, with a T at
            least as large
==========  ================================================================================  ============

T responds to a shift of the whole boundary and to a difference in a part of it. Neighbouring places are not
independent, so that T has no known distribution; it is computed from draws that are joint over the places. The margin
is used rather than the position in sigma_w, since it is also defined where only one sweep has a boundary, and since it
is what has a normal distribution in the model. The posterior of each sweep includes its noise, that of drawing networks
at random. The sweeps are assumed to be independent. If both measured the same networks, the test is conservative: it
may miss a difference.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from sweep.errors import SpecError
from sweep.model.crossings import falls, outer_crossings, rises
from sweep.model.estimate import PhaseModel
from sweep.results.results import Results
from sweep.spec.options import measured
from sweep.text import finite

LEVEL = 0.05  # a difference with a smaller p is called significant
_SIGMA_W_STEPS = 81
_SIGMA_B_STEPS = 6
_DEPTHS = 3  # that are compared unless the user chooses some
_DRAWS = 300  # from each posterior
_PAIRS = 6000  # of draws, one from each posterior
_COLUMNS = {
    "depth": "hidden layers",
    "sigma_b": "standard deviation of the biases",
    "end": "lower or upper: where the trainable band begins or ends",
    "a": "sigma_w of the first sweep's boundary; NaN: it has none there",
    "b": "sigma_w of the second sweep's boundary; NaN: it has none there",
    "shift": "b - a",
    "z": "difference of the margins over its standard deviation; above 0: more trainable in the second",
}


@dataclass
class Difference:
    """The result of `diff`.

    Attributes
    ----------
    places:
        One row per place; ``places.attrs["columns"]`` says what each column means.
    shift, shift_5, shift_95:
        Mean over the places of the second boundary's sigma_w minus the first's, and its 90 % interval.
    distance, max_distance:
        Mean and maximum over the places of the absolute difference in sigma_w.
    p:
        The p-value, see the module's docstring; NaN if there are no places.
    differs:
        By name, both values of each field of the specification and each package version that differs.
    names:
        The locations of the sweeps.
    """

    places: pd.DataFrame
    shift: float
    shift_5: float
    shift_95: float
    distance: float
    max_distance: float
    p: float
    differs: dict[str, tuple[Any, Any]]
    names: tuple[str, str]
    further: dict[str, float]

    @property
    def significant(self) -> bool:
        """Whether the difference is significant: p is below `LEVEL`."""
        return self.p < LEVEL

    def as_json(self) -> str:
        """Return the difference as JSON, with null for numbers that are not defined."""
        numbers = {
            n: finite(getattr(self, n)) for n in ("shift", "shift_5", "shift_95", "distance", "max_distance", "p")
        }
        records = self.places.to_dict("records")
        places = [{k: finite(v) if isinstance(v, float) else v for k, v in r.items()} for r in records]
        summary = {"sweeps": self.names, "significant": self.significant, **numbers, "differs": self.differs}
        return json.dumps({**summary, "places": places}, allow_nan=False)


def diff(one: Results, other: Results, depths: Sequence[int] | None = None) -> Difference:
    """Compare the boundaries of two sweeps.

    Parameters
    ----------
    one, other:
        Results of the sweeps.
    depths:
        The depths to compare at, within the ranges of both sweeps; by default, a few depths that both cover.

    Raises
    ------
    SpecError
        A sweep has too few points or a fixed sigma_w, the ranges do not overlap, a depth is outside of them, or the
        sweeps are of different data sets of the same name.
    """
    sweeps = (one, other)
    names = [Path(s.spec.dataset).name for s in sweeps]
    if names[0] == names[1] and not one.spec.has_data_of(other.spec):
        raise SpecError(
            f"`other` must be a sweep of the same {names[0]!r}, or of another name, got {other.spec.data!r} "
            f"for {one.spec.data!r}"
        )
    for s in sweeps:
        if not s.phase.has_estimates or "sigma_w" not in s.spec.free_axes:
            raise SpecError(f"{s.files.location!r} has no boundary in sigma_w: too few points, or a fixed sigma_w")
    if one.spec.further_names != other.spec.further_names:
        mine, theirs = (", ".join(s.spec.further_names) or "none" for s in sweeps)
        raise SpecError(f"`other` must have the same further axes, {mine}, got {theirs}")
    ends = {a: _common_range(sweeps, a) for a in one.spec.axes}
    further = {a.name: replace(a, low=ends[a.name][0], high=ends[a.name][1]).middle for a in one.spec.further_axes}
    low, high = ends["depth"]
    chosen = sorted({round(d) for d in depths or np.geomspace(low, high, _DEPTHS)})
    if outside := [d for d in chosen if not low <= d <= high]:
        raise SpecError(f"`depths` must be from {low:g} to {high:g}, those of both sweeps, got {outside[0]}")
    sigma_w = np.linspace(*ends["sigma_w"], _SIGMA_W_STEPS)
    sigma_b = np.linspace(*ends["sigma_b"], _SIGMA_B_STEPS if ends["sigma_b"][0] < ends["sigma_b"][1] else 1)
    places, positions, pooled = _places([s.phase for s in sweeps], sigma_w, sigma_b, chosen, further)
    tested, z = {"p": math.nan, "shift_5": math.nan, "shift_95": math.nan}, np.empty(0)
    if positions:
        tested, z = _test([s.phase for s in sweeps], positions, sigma_w, sigma_b, pooled, chosen, further)
    places["z"] = z
    places.attrs["columns"] = _COLUMNS
    apart = places["shift"].dropna()
    return Difference(
        places,
        float(apart.mean()) if len(apart) else math.nan,
        tested["shift_5"],
        tested["shift_95"],
        float(apart.abs().mean()) if len(apart) else math.nan,
        float(apart.abs().max()) if len(apart) else math.nan,
        tested["p"],
        _differs(one, other),
        (one.files.location, other.files.location),
        further,
    )


def _places(
    phases: Sequence[PhaseModel],
    sigma_w: np.ndarray,
    sigma_b: np.ndarray,
    depths: Sequence[int],
    further: Mapping[str, float],
) -> tuple[pd.DataFrame, list[tuple[float, float, int]], np.ndarray]:
    """Return the table of places (without ``z``), their coordinates and the mean of both margins.

    The coordinates are (sigma_w, sigma_b, depth); the mean is ``[depths, sigma_b, sigma_w]``.
    """
    means = [_means(phase, sigma_w, sigma_b, depths, further) for phase in phases]
    pooled = (means[0] + means[1]) / 2
    rows, positions = [], []
    for i, depth in enumerate(depths):
        for j, b in enumerate(sigma_b):
            for end, position in zip(("lower", "upper"), outer_crossings(sigma_w, pooled[i, j]), strict=True):
                if math.isfinite(position):
                    a_w, b_w = (_nearest(sigma_w, m[i, j], position, end) for m in means)
                    rows.append((depth, float(b), end, a_w, b_w, b_w - a_w))
                    positions.append((position, float(b), depth))
    return pd.DataFrame(rows, columns=[c for c in _COLUMNS if c != "z"]), positions, pooled


def _common_range(sweeps: Sequence[Results], axis: str) -> tuple[float, float]:
    ranges = [s.spec.range_of(axis) for s in sweeps]
    low, high = max(r[0] for r in ranges), min(r[1] for r in ranges)
    if low > high or (axis == "sigma_w" and low == high):
        a, b = (f"{r[0]:g} to {r[1]:g}" for r in ranges)
        raise SpecError(f"the sweeps must have a range of {axis} in common, got {a} and {b}")
    return low, high


def _means(
    phase: PhaseModel,
    sigma_w: np.ndarray,
    sigma_b: np.ndarray,
    depths: Sequence[int],
    further: Mapping[str, float],
) -> np.ndarray:
    """Return the mean of the margin on a grid, ``[depths, sigma_b, sigma_w]``."""
    d, b, w = np.meshgrid(np.array(depths, dtype=float), sigma_b, sigma_w, indexing="ij")
    return phase.mean(sigma_w=w.ravel(), sigma_b=b.ravel(), depth=d.ravel(), **further).reshape(w.shape)


def _nearest(x: np.ndarray, y: np.ndarray, position: float, end: str) -> float:
    """Return where a curve crosses zero nearest to a position; NaN if it does not.

    Only crossings of one direction count: rises for a ``lower`` end, falls for an ``upper`` one.
    """
    crossings = rises(x, y) if end == "lower" else falls(x, y)
    apart = np.abs(crossings - position)
    return float(crossings[np.nanargmin(apart)]) if np.isfinite(apart).any() else math.nan


def _test(
    phases: Sequence[PhaseModel],
    positions: Sequence[tuple[float, float, int]],
    sigma_w: np.ndarray,
    sigma_b: np.ndarray,
    pooled: np.ndarray,
    depths: Sequence[int],
    further: Mapping[str, float],
) -> tuple[dict[str, float], np.ndarray]:
    """Return p with the interval of the mean shift, and z at each place."""
    w, b, d = (np.array(column, dtype=float) for column in zip(*positions, strict=True))
    at = {"sigma_w": w, "sigma_b": b, "depth": d, **further}
    difference = phases[1].mean(**at) - phases[0].mean(**at)
    centred = [draws - draws.mean(0) for draws in (p.draws(_DRAWS, **at) for p in phases)]
    rng = np.random.default_rng(0)
    pairs = rng.integers(_DRAWS, size=(2, _PAIRS))
    noise = centred[1][pairs[1]] - centred[0][pairs[0]]
    s = np.sqrt(centred[0].var(0) + centred[1].var(0)) + 1e-12
    z = difference / s
    null = ((noise / s) ** 2).mean(1)
    p = (1 + (null >= (z**2).mean()).sum()) / (1 + _PAIRS)
    # A difference in margin moves the boundary by that difference over the slope of the margin, in the other direction.
    i = np.searchsorted(depths, d)
    j = np.abs(sigma_b[None] - b[:, None]).argmin(1)
    slope = np.array(
        [np.interp(x, sigma_w, np.gradient(pooled[k, m], sigma_w)) for x, k, m in zip(w, i, j, strict=True)]
    )
    steep = np.abs(slope) > 0.1 * np.median(np.abs(slope))
    moves = -((difference + noise) / np.where(steep, slope, np.nan))[:, steep].mean(1)
    low, high = np.quantile(moves, (0.05, 0.95)) if steep.any() else (math.nan, math.nan)
    return {"p": float(p), "shift_5": float(low), "shift_95": float(high)}, z


def _differs(one: Results, other: Results) -> dict[str, tuple[Any, Any]]:
    """Return the settings and package versions that differ, with both values: possible reasons of a difference."""
    pairs = {n: (getattr(one.spec, n), getattr(other.spec, n)) for n in (*measured(one.spec), "code")}
    pairs["dataset"] = ("", "") if one.spec.has_data_of(other.spec) else (one.spec.data, other.spec.data)
    versions = [r.files.versions() or {} for r in (one, other)]
    pairs |= {f"version of {n}": (versions[0].get(n), versions[1].get(n)) for n in sorted({*versions[0], *versions[1]})}
    return {n: pair for n, pair in pairs.items() if pair[0] != pair[1]}
