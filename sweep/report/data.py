"""The points, their profiles and the search history of the report, as data for JSON."""

import math
from collections.abc import Collection
from typing import Any

import numpy as np
import pandas as pd

from probes.definition import HORIZONS
from sweep.model.estimate import PhaseModel, theory_line
from sweep.model.margin import MIN_POINTS
from sweep.results.results import Results
from sweep.spec.columns import KINDS, LIST_PREFIX
from sweep.spec.rows import keys_of
from sweep.text import finite, printable

_MAX_POINTS = 600  # shown one by one; estimates are from all points
_MAX_FAILED = 100  # among them
_MAX_LAYERS = 40  # of a profile
_HISTORY_LENGTH = 12  # numbers of points for which the error is estimated
_MAX_CHARACTERS = 500


def safe_text(text: Any) -> str:
    """Return a text from an untrusted source with control characters escaped, cut to 500 characters."""
    text = str(text)
    return printable(text[:_MAX_CHARACTERS]) + "…" * (len(text) > _MAX_CHARACTERS)


def numbers(values: Any, digits: int = 5) -> list[Any]:
    """Return an array as nested lists, rounded to ``digits`` significant digits, with None for NaN and infinity."""
    values = np.asarray(values, dtype=float)
    if values.ndim > 1:
        return [numbers(v, digits) for v in values]
    return [float(f"{v:.{digits}g}") if math.isfinite(v) else None for v in values]


def sampled_points(points: pd.DataFrame) -> pd.DataFrame:
    """Return the points that are shown one by one: all, or a random sample of many, with failed ones among them."""
    if len(points) <= _MAX_POINTS:
        return points
    failed = points["status"] == "failed"
    failed_sample = points[failed].sample(min(_MAX_FAILED, int(failed.sum())), random_state=0)
    rest = points[~failed]
    rest_sample = rest.sample(min(_MAX_POINTS - len(failed_sample), len(rest)), random_state=0)
    return pd.concat([failed_sample, rest_sample]).sort_index()


def column_data(points: pd.DataFrame, keys: Collection[str]) -> dict[str, list[Any]]:
    """Return the values of each column of the ``points`` table, without columns that are empty.

    Those of ``keys``, which tell points apart, are not rounded.
    """
    columns: dict[str, list[Any]] = {}
    for name in map(str, points):
        column, kind = points[name], KINDS.get(name, "number")
        if kind == "text":
            values: list[Any] = [safe_text(v) for v in column]
        elif kind == "number" and name not in keys:
            values = ["∞" if v == math.inf else n for v, n in zip(column, numbers(column), strict=True)]
        else:
            values = [None if pd.isna(v) else v for v in column.astype(object)]
        if name in keys or name == "status" or any(v not in (None, "") for v in values):
            columns[name] = values
    return columns


def profile_data(results: Results, shown: pd.DataFrame) -> dict[str, list[Any]]:
    """Return the profile of each point shown, by the profile's name; None for a point without one."""
    names = [LIST_PREFIX["profiles"] + n for n in HORIZONS.values()]
    table = results.store.read(names).rows
    if not table.num_rows:
        return {}
    names_of_key = keys_of(results.spec)
    keys = pd.MultiIndex.from_frame(table.select(names_of_key).to_pandas())
    rows = keys.get_indexer(pd.MultiIndex.from_frame(shown[names_of_key])).tolist()
    profiles: dict[str, list[Any]] = {}
    for name in (n for n in names if n in table.column_names):
        curves = [_curve(table[name][i].as_py() if i >= 0 else None) for i in rows]
        if any(curves):
            profiles[name.removeprefix(LIST_PREFIX["profiles"])] = curves
    return profiles


def _curve(profile: list[float] | None) -> list[list[Any]] | None:
    """Return the layers of a profile, at most 40, and its values after them; None without finite values."""
    values = np.asarray(profile or [], dtype=float)
    known = np.flatnonzero(np.isfinite(values))
    if len(known) > _MAX_LAYERS:
        known = known[np.linspace(0, len(known) - 1, _MAX_LAYERS).round().astype(int)]
    return [(known + 1).tolist(), numbers(values[known], 4)] if len(known) else None


def critical_data(results: Results) -> dict[str, Any]:
    """Return the measured critical line, that of mean field theory, and their mean distance in sigma_w."""
    spec = results.spec
    line = results.phase.critical_line()
    fine = np.linspace(*spec.sigma_b, 60) if "sigma_b" in spec.free_axes else np.array(spec.sigma_b[:1])
    theory = theory_line(spec, fine)
    distance = line["sigma_w"] - theory_line(spec, line["sigma_b"].to_numpy())
    return {
        "measured": {name: numbers(line[name]) for name in line},
        "theory": {"sigma_b": numbers(fine), "sigma_w": numbers(theory)} if spec.has_theory else None,
        "apart": finite(float(distance.abs().mean())) if len(line) else None,
    }


def history_data(results: Results) -> dict[str, Any] | None:
    """Return the expected error of the boundary after more and more of the points; None with too few points."""
    spec, points = results.spec, results.points
    if not results.phase.has_estimates:
        return None
    measured = points[np.isfinite(points["margin"])].sort_values("finished", kind="stable")
    counts = sorted({round(n) for n in np.geomspace(MIN_POINTS, len(measured), _HISTORY_LENGTH)})
    errors = [PhaseModel(spec, measured.iloc[:n]).expected_error for n in counts[:-1]]
    started = measured["finished"].iloc[0]
    return {
        "points": counts,
        "error": numbers([*errors, results.phase.expected_error]),
        "seconds": numbers([measured["finished"].iloc[n - 1] - started for n in counts]),
        "until": spec.until_boundary_error,
        "search": spec.search,
    }
