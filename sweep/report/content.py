"""The content of the report, as data for JSON."""

import platform
import shlex
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from probes.definition import DEPTHS, HORIZONS, MIN_BEST, depth_name
from probes.further import RATE
from sweep.model.calibration import EXCESS, Calibration, calibrated_share
from sweep.report.cascade import cascade_data
from sweep.report.cost import MAX_TABLE_ROWS, cost_data
from sweep.report.data import (
    column_data,
    critical_data,
    history_data,
    profile_data,
    safe_text,
    sampled_points,
)
from sweep.report.phase import informs_all_depths, line_data, phase_data, plane_data
from sweep.report.pictures import reconstruction_data
from sweep.report.sentence import optimum, sentence
from sweep.report.truth import truth_data
from sweep.results.results import Results
from sweep.results.status import status
from sweep.spec.columns import COLUMNS, meaning_of
from sweep.spec.experiment import Experiment, Measuring
from sweep.spec.options import AUTO, AXES, NONE, Part, declared, measured, names
from sweep.spec.rows import keys_of
from sweep.version import __version__, installed_versions

_PACKAGES = ("torch", "ray", "optuna", "numpy", "scipy", "pandas", "plotly")
# Left out of the command of a point: images are downloaded already, and pictures are of trained networks anyway.
_NOT_PROBED = ("download", "train")
_STATUS_KEYS = ("total", "done", "failed", "running", "diverged", "boundary_error")


def content(results: Results, reconstructions: int | None = 0) -> dict[str, Any]:
    """Return all that the page shows, as data for JSON.

    Parameters
    ----------
    results:
        The stored sweep.
    reconstructions:
        The number of points to measure once more for their reconstructions; see `document.write_report`.
    """
    spec, points = results.spec, results.points
    shown = sampled_points(points)
    state = status(results)
    return {
        "title": safe_text(" · ".join([Path(spec.dataset).name, *spec.network_words])),
        "place": safe_text(results.files.location),
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "sentence": sentence(results),
        "status": {k: state[k] for k in _STATUS_KEYS},
        "settings": _settings(spec),
        "versions": _versions(),
        **_predictions(spec, results.calibration),
        "points": column_data(shown, keys_of(spec)),
        "all_points": len(points),
        "meaning": COLUMNS["points"] | {name: meaning_of(name) for name in spec.further_names},
        "profiles": profile_data(results, shown),
        "reconstructions": reconstruction_data(spec, shown, reconstructions),
        "command": _command(spec),
        "pictures": spec.network is None,
        "phase": phase_data(results),
        "planes": plane_data(results),
        "line": line_data(results),
        "critical": critical_data(results),
        "cascade": cascade_data(results),
        "truth": truth_data(results),
        "history": history_data(results),
        "cost": cost_data(results),
        "of_truth": results.phase.has_estimates and results.phase.is_of_truth,
        "failures": _failures(points, keys_of(spec)),
        "damaged": [[safe_text(name), safe_text(reason)] for name, reason in state["damaged"].items()],
        "set_aside": [safe_text(name) for name in state["set_aside"]],
    }


def _settings(spec: Part) -> list[list[Any]]:
    """Return name, value and whether that is the default, of every option."""
    defaults, words = type(spec)(), {field.name: option.word for field, option in declared(spec)}
    settings = []
    for name in names(type(spec)):
        value = getattr(spec, name)
        shown = " to ".join(f"{v:g}" for v in value) if name in AXES else _plain(value, words[name])
        settings.append([name, safe_text(shown), value == getattr(defaults, name)])
    return sorted(settings, key=lambda s: s[0] not in (*AXES, "axis", "points", *measured(spec)))


def _plain(value: Any, word: str | None) -> str:
    """Return the value of an option as the report shows it; ``word`` is the option's word, if there is one."""
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "not given"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return str(word) if word in (AUTO, NONE) else "not given"
    return str(value)


def _versions() -> list[list[str]]:
    """Return names and versions of this project, Python and the main packages on this machine."""
    own = [["trainability-sweep", __version__], ["Python", platform.python_version()]]
    return own + [list(pair) for pair in installed_versions(*_PACKAGES).items()]


def _predictions(spec: Experiment, calibration: Calibration) -> dict[str, Any]:
    """Return the axes, and the statistic, thresholds and shift by which a network is predicted trainable."""
    needed = calibrated_share(spec, calibration) if spec.by_horizon else None
    return {
        "axes": {name: axis.ends for name, axis in spec.axes.items()},
        "log": [name for name, axis in spec.axes.items() if axis.log],
        "middle": spec.further_at(),
        "free": spec.free_axes,
        "statistic": spec.statistic,
        "shift": calibration.shift,
        "excess": EXCESS if calibration.networks else 0.0,
        "needed": needed,
        "needs": {n: needed if n == spec.statistic else spec.definition.share(n) for n in DEPTHS},
        "optimum": optimum(spec),
        "names": {n: depth_name(n) for n in DEPTHS},
        "least_best": MIN_BEST,
        "relative": [n for n in DEPTHS if spec.definition.relative(n)],
        "through_depth": informs_all_depths(spec),
        "thresholds": {n: spec.threshold_of(n) for n in (*HORIZONS, "gradient_horizon")},
    }


def _command(spec: Experiment) -> str:
    """Return the command that measures a point again, without the options that name the point."""
    defaults = type(spec)()
    words = ["sweep", "probe"]
    needed = {"train"} if RATE in spec.further_names else set()  # learning rates are of trainings alone
    needed |= {"probe"} if spec.network is not None else set()  # whose default is another one there
    for name in names(type(spec), Measuring):
        value = getattr(spec, name)
        differs = name not in _NOT_PROBED and value is not None and value != getattr(defaults, name)
        if differs or name in needed:
            words += [f"--{name.replace('_', '-')}", ",".join(map(str, value)) if type(value) is tuple else str(value)]
    return " ".join(map(_quoted, words))


def _quoted(word: str) -> str:
    """Quote a word for a shell; control characters, which a terminal would obey when pasted, become bash's escapes."""
    if word.isprintable():
        return shlex.quote(word)
    return "$'" + "".join(c if c.isprintable() and c not in "'\\" else f"\\U{ord(c):08x}" for c in word) + "'"


def _failures(points: pd.DataFrame, keys: list[str]) -> dict[str, Any]:
    """Return the errors of failed points, most frequent first, each with its count and the ``keys`` of an example."""
    rows: list[list[Any]] = []
    for error, group in points[points["status"] == "failed"].groupby("error", sort=False):
        example = group.iloc[0]
        rows.append(
            [safe_text(error), len(group), [float(example[key]) for key in keys], safe_text(example["hostname"])]
        )
    return {"rows": sorted(rows, key=lambda r: -r[1])[:MAX_TABLE_ROWS], "kinds": len(rows)}
