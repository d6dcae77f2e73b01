"""Two sweeps' boundaries: how far apart they are, and whether that is more than chance.

The boundaries are compared at places: where the mean of both models' margins crosses zero, at a few depths and
sigma_b that both sweeps cover.

==========  ================================================================================  ============
symbol      meaning                                                                           shape
==========  ================================================================================  ============
m_A, m_B    posterior means of the two margins                                                ``[places]``
s           standard deviation of their difference: both posteriors' together                 ``[places]``
z           (m_B - m_A) / s                                                                   ``[places]``
T           mean of z^2
p           how often T is as large for differences drawn from both posteriors about zero
==========  ================================================================================  ============

T sees a shift of the whole boundary and a difference of a part of it. Neighbouring places are not independent, so no
table has its distribution; draws that are joint over the places give it. The margin is used rather than the position in
sigma_w since it is there also where only one of the boundaries is, and since it is what is normal in the model. Each
sweep's noise (that of the networks' draws) is in its posterior. The sweeps are taken to be independent: of two that
measured the same networks the test finds less than there is.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
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

LEVEL = 0.05  # p below which a difference is called significant
_SIGMA_W_STEPS = 81
_SIGMA_B_STEPS = 6
_DEPTHS = 3
_DRAWS = 300
_PAIRS = 6000
_COLUMNS = {
    "depth": "hidden layers",
    "sigma_b": "standard deviation of the biases",
    "end": "lower or upper: where the trainable band begins or ends",
    "a": "sigma_w of the first sweep's boundary; NaN: it has none there",
    "b": "that of the second",
    "shift": "b - a",
    "z": "difference of the margins over its standard deviation; above 0: more trainable in the second",
}


@dataclass
class Difference:
    """What `diff` found.

    Attributes
    ----------
    places:
        One row a place; ``places.attrs["columns"]`` says what its columns mean.
    shift, shift_5, shift_95:
        Mean over the places of the second boundary's sigma_w less the first's, and its 90 % interval.
    distance, most:
        Mean and maximum over the places of its absolute value.
    p:
        See the module's docstring; NaN where there are no places.
    differs:
        Fields of the spec, and versions of packages, that differ: both values.
    names:
        Of the sweeps.
    """

    places: pd.DataFrame
    shift: float
    shift_5: float
    shift_95: float
    distance: float
    most: float
    p: float
    differs: dict[str, tuple[Any, Any]]
    names: tuple[str, str]

    @property
    def significant(self) -> bool:
        """Whether p is below `LEVEL`."""
        return self.p < LEVEL

    def as_json(self) -> str:
        """All of it; null where undefined."""
        numbers = {n: finite(getattr(self, n)) for n in ("shift", "shift_5", "shift_95", "distance", "most", "p")}
        records = self.places.to_dict("records")
        places = [{k: finite(v) if isinstance(v, float) else v for k, v in r.items()} for r in records]
        told = {"sweeps": self.names, "significant": self.significant, **numbers, "differs": self.differs}
        return json.dumps({**told, "places": places}, allow_nan=False)


def diff(one: Results, other: Results, depths: Sequence[int] | None = None) -> Difference:
    """Compare two sweeps' boundaries, at ``depths`` or a few that both cover.

    Raises
    ------
    SpecError
        Too few points, a fixed sigma_w, ranges that do not overlap, depths outside of them; other data of one name.
    """
    sweeps = (one, other)
    names = [Path(s.spec.dataset).name for s in sweeps]
    if names[0] == names[1] and not one.spec.has_data_of(other.spec):
        raise SpecError(
            f"`other` must be a sweep of the same {names[0]!r}, or of another name, got {other.spec.data!r} "
            f"for {one.spec.data!r}"
        )
    for s in sweeps:
        if not s.phase.enough or "sigma_w" not in s.spec.free_axes:
            raise SpecError(f"{s.files.location!r} has no boundary in sigma_w: too few points, or a fixed sigma_w")
    ends = {a: _common(sweeps, a) for a in ("sigma_w", "sigma_b", "depth")}
    low, high = ends["depth"]
    chosen = sorted({round(d) for d in depths or np.geomspace(low, high, _DEPTHS)})
    if outside := [d for d in chosen if not low <= d <= high]:
        raise SpecError(f"`depths` must be from {low:g} to {high:g}, those of both sweeps, got {outside[0]}")
    sigma_w = np.linspace(*ends["sigma_w"], _SIGMA_W_STEPS)
    sigma_b = np.linspace(*ends["sigma_b"], _SIGMA_B_STEPS if ends["sigma_b"][0] < ends["sigma_b"][1] else 1)
    places, at, pooled = _places([s.phase for s in sweeps], sigma_w, sigma_b, chosen)
    tested, z = {"p": math.nan, "shift_5": math.nan, "shift_95": math.nan}, np.empty(0)
    if at:
        tested, z = _tested([s.phase for s in sweeps], at, sigma_w, sigma_b, pooled, chosen)
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
    )


def _places(
    phases: Sequence[PhaseModel], sigma_w: np.ndarray, sigma_b: np.ndarray, depths: Sequence[int]
) -> tuple[pd.DataFrame, list[tuple[float, float, int]], np.ndarray]:
    """Return the table of places (without ``z``), where they are, and the mean of both margins ``[depths, ...]``."""
    means = [_means(phase, sigma_w, sigma_b, depths) for phase in phases]
    pooled = (means[0] + means[1]) / 2
    rows, at = [], []
    for i, depth in enumerate(depths):
        for j, b in enumerate(sigma_b):
            for end, position in zip(("lower", "upper"), outer_crossings(sigma_w, pooled[i, j]), strict=True):
                if math.isfinite(position):
                    a_w, b_w = (_nearest(sigma_w, m[i, j], position, end) for m in means)
                    rows.append((depth, float(b), end, a_w, b_w, b_w - a_w))
                    at.append((position, float(b), depth))
    return pd.DataFrame(rows, columns=[c for c in _COLUMNS if c != "z"]), at, pooled


def _common(sweeps: Sequence[Results], axis: str) -> tuple[float, float]:
    ranges = [getattr(s.spec, axis) for s in sweeps]
    low, high = max(r[0] for r in ranges), min(r[1] for r in ranges)
    if low > high or (axis == "sigma_w" and low == high):
        a, b = (f"{r[0]:g} to {r[1]:g}" for r in ranges)
        raise SpecError(f"the sweeps must have a range of {axis} in common, got {a} and {b}")
    return low, high


def _means(phase: PhaseModel, sigma_w: np.ndarray, sigma_b: np.ndarray, depths: Sequence[int]) -> np.ndarray:
    """``[depths, sigma_b, sigma_w]`` mean margins."""
    d, b, w = np.meshgrid(np.array(depths, dtype=float), sigma_b, sigma_w, indexing="ij")
    return phase.mean(w.ravel(), b.ravel(), d.ravel()).reshape(w.shape)


def _nearest(x: np.ndarray, y: np.ndarray, position: float, end: str) -> float:
    """The crossing of a curve of the same direction that is nearest to a position; NaN if it has none."""
    crossings = rises(x, y) if end == "lower" else falls(x, y)
    apart = np.abs(crossings - position)
    return float(crossings[np.nanargmin(apart)]) if np.isfinite(apart).any() else math.nan


def _tested(
    phases: Sequence[PhaseModel],
    at: Sequence[tuple[float, float, int]],
    sigma_w: np.ndarray,
    sigma_b: np.ndarray,
    pooled: np.ndarray,
    depths: Sequence[int],
) -> tuple[dict[str, float], np.ndarray]:
    """P and the interval of the mean shift, and z of every place."""
    w, b, d = (np.array(column, dtype=float) for column in zip(*at, strict=True))
    difference = phases[1].mean(w, b, d) - phases[0].mean(w, b, d)
    centred = [draws - draws.mean(0) for draws in (p.draws(w, b, d, _DRAWS) for p in phases)]
    rng = np.random.default_rng(0)
    pairs = rng.integers(_DRAWS, size=(2, _PAIRS))
    noise = centred[1][pairs[1]] - centred[0][pairs[0]]
    s = np.sqrt(centred[0].var(0) + centred[1].var(0)) + 1e-12
    z = difference / s
    null = ((noise / s) ** 2).mean(1)
    p = (1 + (null >= (z**2).mean()).sum()) / (1 + _PAIRS)
    # A margin that is larger by so much moves the boundary by so much over the slope.
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
    """What may be the reason."""
    found = {n: (getattr(one.spec, n), getattr(other.spec, n)) for n in measured(one.spec)}
    found["dataset"] = ("", "") if one.spec.has_data_of(other.spec) else (one.spec.data, other.spec.data)
    versions = [r.files.versions() or {} for r in (one, other)]
    found |= {f"version of {n}": (versions[0].get(n), versions[1].get(n)) for n in sorted({*versions[0], *versions[1]})}
    return {n: pair for n, pair in found.items() if pair[0] != pair[1]}
