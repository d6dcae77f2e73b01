"""The points and the estimates of the report as data for JSON."""

import math
from typing import Any

import numpy as np
import pandas as pd

from probes.meanfield import applies_to
from sweep.model.estimate import NORMAL_90, PhaseModel, theory_line
from sweep.model.margin import MIN_POINTS, MarginModel
from sweep.results.results import Results
from sweep.spec.columns import COLUMNS, KINDS, POINT
from sweep.spec.options import AXES
from sweep.text import finite, printable

_SHOWN = 600  # points with their rows and profiles; the estimates are from all
_FAILED_SHOWN = 100  # of them
_LAYERS = 40  # of a profile
_STEPS = 81
_DEPTHS, _DEPTHS_ALONE = 24, 8  # of the slider; where each has to be estimated alone
_PREFIXES = 12
_TEXT = 500  # characters of what may come from anybody


def safe_text(text: Any) -> str:
    """Return a text that may come from anybody without control characters, and not too much of it."""
    text = str(text)
    return printable(text[:_TEXT]) + "…" * (len(text) > _TEXT)


def numbers(values: Any, digits: int = 5) -> list[Any]:
    """Return an array as nested lists of numbers of so many significant digits; None where there is no number."""
    values = np.asarray(values, dtype=float)
    if values.ndim > 1:
        return [numbers(v, digits) for v in values]
    return [float(f"{v:.{digits}g}") if math.isfinite(v) else None for v in values]


def sampled_points(points: pd.DataFrame) -> pd.DataFrame:
    """Return the points that are shown one by one: a random sample of many, failed ones among them."""
    if len(points) <= _SHOWN:
        return points
    failed = points["status"] == "failed"
    some = points[failed].sample(min(_FAILED_SHOWN, int(failed.sum())), random_state=0)
    rest = points[~failed]
    others = rest.sample(min(_SHOWN - len(some), len(rest)), random_state=0)
    return pd.concat([some, others]).sort_index()


def column_data(points: pd.DataFrame) -> dict[str, list[Any]]:
    """Return the columns that hold anything."""
    columns: dict[str, list[Any]] = {}
    for name in COLUMNS["points"]:
        column, kind = points[name], KINDS[name]
        if kind == "text":
            values: list[Any] = [safe_text(v) for v in column]
        elif kind == "number" and name not in POINT:
            values = ["∞" if v == math.inf else n for v, n in zip(column, numbers(column), strict=True)]
        else:  # the point itself in full
            values = [None if pd.isna(v) else v for v in column.astype(object)]
        if name in POINT or name == "status" or any(v not in (None, "") for v in values):
            columns[name] = values
    return columns


def profile_data(results: Results, shown: pd.DataFrame) -> dict[str, list[Any]]:
    """Return, by probe, the curve of each point shown; None for a point without."""
    names = [n for n in KINDS if n.startswith("profile_") and n.endswith("_retained")]
    table = results.store.read(names).rows
    if not table.num_rows:
        return {}
    keys = pd.MultiIndex.from_frame(table.select(list(POINT)).to_pandas())
    rows = keys.get_indexer(pd.MultiIndex.from_frame(shown[list(POINT)])).tolist()
    profiles: dict[str, list[Any]] = {}
    for name in (n for n in names if n in table.column_names):
        curves = [_curve(table[name][i].as_py() if i >= 0 else None) for i in rows]
        if any(curves):
            profiles[name.removeprefix("profile_")] = curves
    return profiles


def _curve(profile: list[float] | None) -> list[list[Any]] | None:
    """Return some of the layers that a profile knows, and its values after them."""
    values = np.asarray(profile or [], dtype=float)
    known = np.flatnonzero(np.isfinite(values))
    if len(known) > _LAYERS:
        known = known[np.linspace(0, len(known) - 1, _LAYERS).round().astype(int)]
    return [(known + 1).tolist(), numbers(values[known], 4)] if len(known) else None


def phase_data(results: Results) -> dict[str, Any] | None:
    """Return margins ``[depths, sigma_b, sigma_w]`` (at one depth, if it tells all), and the boundary at each depth."""
    spec, phase = results.spec, results.phase
    if not phase.enough or len(phase.free) < 2:
        return None
    low, high = spec.depth
    through = MarginModel(spec).through_depth
    depths = sorted({round(d) for d in np.geomspace(low, high, _DEPTHS if through else _DEPTHS_ALONE)})
    sides = [
        np.array([high] if through else depths, dtype=float),
        phase.sigma_b,
        np.linspace(*spec.sigma_w, _STEPS) if "sigma_w" in phase.free else np.array(spec.sigma_w[:1]),
    ]
    d, b, w = np.meshgrid(*sides, indexing="ij")
    margin = phase.margin(w.ravel(), b.ravel(), d.ravel())[0].reshape(w.shape)
    boundary = phase.boundary(depths)
    shape = len(depths), len(sides[1])
    ends = [f"{end}{q}" for end in ("lower", "upper") for q in ("", "_5", "_95")]
    return {
        "depths": depths,
        "grid_depths": sides[0].tolist(),
        "sigma_b": numbers(sides[1]),
        "sigma_w": numbers(sides[2]),
        "margin": numbers(margin, 4),
        "boundary": {e: numbers(boundary[e].to_numpy().reshape(shape)) for e in ends} if len(boundary) else None,
    }


def line_data(results: Results) -> dict[str, Any] | None:
    """Return the margin along the only free axis, with its 90 % interval."""
    spec, phase = results.spec, results.phase
    if not phase.enough or len(phase.free) != 1:
        return None
    low, high = getattr(spec, phase.free[0])
    x = np.linspace(float(low), float(high), 121)
    mean, deviation = phase.margin(**{a: getattr(spec, a)[0] for a in AXES} | {phase.free[0]: x})
    return {
        "x": numbers(x),
        "mean": numbers(mean),
        "low": numbers(mean - NORMAL_90 * deviation),
        "high": numbers(mean + NORMAL_90 * deviation),
    }


def critical_data(results: Results) -> dict[str, Any]:
    """Return the critical line as measured, and that of mean field theory."""
    spec = results.spec
    line = results.phase.critical_line()
    fine = np.linspace(*spec.sigma_b, 60) if "sigma_b" in spec.free_axes else np.array(spec.sigma_b[:1])
    theory = theory_line(spec, fine)
    apart = line["sigma_w"] - theory_line(spec, line["sigma_b"].to_numpy())
    return {
        "measured": {name: numbers(line[name]) for name in line},
        "theory": {"sigma_b": numbers(fine), "sigma_w": numbers(theory)} if applies_to(spec.architecture) else None,
        "apart": finite(float(apart.abs().mean())) if len(line) else None,
    }


def history_data(results: Results) -> dict[str, Any] | None:
    """Return the expected error of the boundary by the first points, by more and more of them, and by all."""
    spec, points = results.spec, results.points
    if not results.phase.enough:
        return None
    measured = points[np.isfinite(points["margin"])].sort_values("finished", kind="stable")
    counts = sorted({round(n) for n in np.geomspace(MIN_POINTS, len(measured), _PREFIXES)})
    errors = [PhaseModel(spec, measured.iloc[:n]).expected_error for n in counts[:-1]]
    started = measured["finished"].iloc[0]
    return {
        "points": counts,
        "error": numbers([*errors, results.phase.expected_error]),
        "seconds": numbers([measured["finished"].iloc[n - 1] - started for n in counts]),
        "until": spec.until_boundary_error,
        "search": spec.search,
    }
