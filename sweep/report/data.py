"""The tables and curves of the report as JSON."""

import math
from typing import Any

import numpy as np
import pandas as pd

from probes.meanfield import applies_to
from sweep.errors import SpecError
from sweep.model.estimate import NORMAL_90, PhaseModel, theory_line
from sweep.model.margin import MIN_POINTS, MarginModel
from sweep.results.results import Results
from sweep.spec.columns import COLUMNS, KINDS, POINT
from sweep.spec.options import AXES
from sweep.text import finite, printable

__all__ = [
    "column_data",
    "critical_data",
    "history_data",
    "line_data",
    "phase_data",
    "profile_data",
    "safe_text",
    "sampled_points",
    "truth_data",
]

_SHOWN = 600  # points with their rows and profiles; the estimates are from all
_FAILED_SHOWN = 100  # of them
_LAYERS = 40  # of a profile
_TRAINED = 500  # points that prediction and truth are compared at
_STEPS = 81
_DEPTHS, _DEPTHS_ALONE = 24, 8  # of the slider; where each has to be estimated alone
_PREFIXES = 12
_TEXT = 500  # characters of what may come from anybody


def safe_text(text: Any) -> str:
    """What may come from anybody: no control characters, and not too much of it."""
    text = str(text)
    return printable(text[:_TEXT]) + "…" * (len(text) > _TEXT)


def _numbers(values: Any, digits: int = 5) -> list[Any]:
    """For JSON, nested as the array is, to so many significant digits; null where there is no number."""
    values = np.asarray(values, dtype=float)
    if values.ndim > 1:
        return [_numbers(v, digits) for v in values]
    return [float(f"{v:.{digits}g}") if math.isfinite(v) else None for v in values]


def sampled_points(points: pd.DataFrame) -> pd.DataFrame:
    """At most so many points, failed ones among them."""
    if len(points) <= _SHOWN:
        return points
    failed = points["status"] == "failed"
    some = points[failed].sample(min(_FAILED_SHOWN, int(failed.sum())), random_state=0)
    rest = points[~failed]
    others = rest.sample(min(_SHOWN - len(some), len(rest)), random_state=0)
    return pd.concat([some, others]).sort_index()


def column_data(points: pd.DataFrame) -> dict[str, list[Any]]:
    """The columns that hold anything."""
    found: dict[str, list[Any]] = {}
    for name in COLUMNS["points"]:
        column, kind = points[name], KINDS[name]
        if kind == "text":
            values: list[Any] = [safe_text(v) for v in column]
        elif kind == "number" and name not in POINT:
            values = ["∞" if v == math.inf else n for v, n in zip(column, _numbers(column), strict=True)]
        else:  # the point itself in full
            values = [None if pd.isna(v) else v for v in column.astype(object)]
        if name in POINT or name == "status" or any(v not in (None, "") for v in values):
            found[name] = values
    return found


def profile_data(results: Results, shown: pd.DataFrame) -> dict[str, list[Any]]:
    """By probe, for each point shown, layers and retained information after them; null where there is none."""
    names = [n for n in KINDS if n.startswith("profile_") and n.endswith("_retained")]
    table = results.store.read(names).rows
    if not table.num_rows:
        return {}
    keys = pd.MultiIndex.from_frame(table.select(list(POINT)).to_pandas())
    where = keys.get_indexer(pd.MultiIndex.from_frame(shown[list(POINT)]))
    found: dict[str, list[Any]] = {}
    for name in (n for n in names if n in table.column_names):
        curves: list[Any] = []
        for value in (table[name][i].as_py() if i >= 0 else None for i in where.tolist()):
            values = np.asarray(value or [], dtype=float)
            decoded = np.flatnonzero(np.isfinite(values))
            if len(decoded) > _LAYERS:
                decoded = decoded[np.linspace(0, len(decoded) - 1, _LAYERS).round().astype(int)]
            curves.append([(decoded + 1).tolist(), _numbers(values[decoded], 4)] if len(decoded) else None)
        if any(curves):
            found[name.removeprefix("profile_")] = curves
    return found


def phase_data(results: Results) -> dict[str, Any] | None:
    """The margin ``[depths, sigma_b, sigma_w]`` (at one depth, if one tells all), and the boundary at each depth."""
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
        "sigma_b": _numbers(sides[1]),
        "sigma_w": _numbers(sides[2]),
        "margin": _numbers(margin, 4),
        "boundary": {e: _numbers(boundary[e].to_numpy().reshape(shape)) for e in ends} if len(boundary) else None,
    }


def line_data(results: Results) -> dict[str, Any] | None:
    """The margin along the only free axis, with its 90 % interval."""
    spec, phase = results.spec, results.phase
    if not phase.enough or len(phase.free) != 1:
        return None
    low, high = getattr(spec, phase.free[0])
    x = np.linspace(float(low), float(high), 121)
    mean, deviation = phase.margin(**{a: getattr(spec, a)[0] for a in AXES} | {phase.free[0]: x})
    return {
        "x": _numbers(x),
        "mean": _numbers(mean),
        "low": _numbers(mean - NORMAL_90 * deviation),
        "high": _numbers(mean + NORMAL_90 * deviation),
    }


def critical_data(results: Results) -> dict[str, Any]:
    """The critical line as measured, and mean field's."""
    spec = results.spec
    line = results.phase.critical_line()
    fine = np.linspace(*spec.sigma_b, 60) if "sigma_b" in spec.free_axes else np.array(spec.sigma_b[:1])
    theory = theory_line(spec, fine)
    apart = line["sigma_w"] - theory_line(spec, line["sigma_b"].to_numpy())
    return {
        "measured": {name: _numbers(line[name]) for name in line},
        "theory": {"sigma_b": _numbers(fine), "sigma_w": _numbers(theory)} if applies_to(spec.architecture) else None,
        "apart": finite(float(apart.abs().mean())) if len(line) else None,
    }


def truth_data(results: Results) -> dict[str, Any] | None:
    """Prediction against truth, of at most so many trained points; None if none was trained."""
    from sklearn.metrics import roc_curve

    from sweep.analysis.compare import compare
    from sweep.analysis.statistics import STATISTICS

    points = results.points
    known = points["trainable"].notna()
    if not known.any():
        return None
    part = Results(results.home, results.spec, results.store)
    part.points = pd.concat(
        [kind.sample(min(_TRAINED, len(kind)), random_state=0) for kind in (points[known], points[~known])]
    ).sort_index()
    head = {"trained": int(known.sum()), "trainable": int(points["trainable"].sum()), "level": finite(results.level)}
    try:
        found = compare(part)
    except SpecError as error:
        return {**head, "why_not": safe_text(error)}
    truth = found.points["trainable"].to_numpy(bool)
    curves = {}
    for name in found.table.index:
        score = found.points[f"score_{name}"].to_numpy(float)
        if np.isfinite(score).all():
            wrong, right, _ = roc_curve(truth, score)
            curves[name] = [_numbers(wrong, 4), _numbers(right, 4)]
    return {
        **head,
        "compared": len(truth),
        "default": found.default,
        "table": {
            str(name): {k: finite(float(v)) for k, v in row.items()}
            for name, row in found.table.to_dict("index").items()
        },
        "meaning": {name: STATISTICS[name].meaning for name in map(str, found.table.index)},
        "roc": curves,
        "score": _numbers(found.points[f"score_{found.default}"]),
        "accuracy": _numbers(found.points["accuracy"]),
        "above": truth.tolist(),
        "depth": found.points["depth"].tolist(),
    }


def history_data(results: Results) -> dict[str, Any] | None:
    """The boundary's expected error after the first points, the first and more of them, ..., all."""
    spec, points = results.spec, results.points
    if not results.phase.enough:
        return None
    measured = points[np.isfinite(points["margin"])].sort_values("finished", kind="stable")
    counts = sorted({round(n) for n in np.geomspace(MIN_POINTS, len(measured), _PREFIXES)})
    errors = [PhaseModel(spec, measured.iloc[:n]).expected_error for n in counts[:-1]]
    started = measured["finished"].iloc[0]
    return {
        "points": counts,
        "error": _numbers([*errors, results.phase.expected_error]),
        "seconds": _numbers([measured["finished"].iloc[n - 1] - started for n in counts]),
        "until": spec.until_boundary_error,
        "search": spec.search,
    }
