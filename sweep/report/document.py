"""A sweep as one HTML file that needs no network: data as JSON, drawn in the browser by Plotly.

What comes from a sweep is data, never markup: it stands in the page as JSON, and the script of the page shows it as
text. A content security policy allows no other script than the two of the page, and no connection.
"""

import base64
import hashlib
import html
import json
import math
import platform
import shlex
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from probes.point import NEEDED
from sweep.errors import SpecError
from sweep.measuring.settings import probe_settings
from sweep.model.estimate import theory_line
from sweep.model.margin import MarginModel
from sweep.report.cost import MOST_GROUPS, cost_data
from sweep.report.data import (
    column_data,
    critical_data,
    history_data,
    line_data,
    phase_data,
    profile_data,
    safe_text,
    sampled_points,
    truth_data,
)
from sweep.report.pictures import reconstruction_data
from sweep.results.results import Results
from sweep.results.status import status
from sweep.spec.columns import COLUMNS, POINT
from sweep.spec.options import AXES, MEASURED
from sweep.spec.spec import SweepSpec
from sweep.storage.files import replaced
from sweep.version import __version__, installed_versions

__all__ = ["content", "draw", "page"]

REPORT = "report.html"
_ENDINGS = (".html", ".htm")
_PACKAGES = ("torch", "ray", "optuna", "numpy", "scipy", "pandas", "plotly")
_PROBED = (  # what `sweep probe` has options for
    *("dataset", "data_dir", "images", "resize", "architecture", "width", "widths", "activation"),
    *("probe", "statistic", "threshold", "penalty", "decoded_layers", "certainty", "probe_steps", "precision"),
    *("train_images", "epochs", "optimizer", "lr", "batch", "level", "patience"),
)


def draw(results: Results, output: str | Path | None = None, reconstructions: int | None = 0) -> Path:
    """Write the report into a file; its path. That of a sweep at a URI is copied there.

    So many networks, spread over the sweep, are measured once more for their ``reconstructions``: as many as take some
    twenty seconds, if it is None.

    Raises
    ------
    SpecError
        Another ending than HTML, or a file that cannot be written.
    StoreError
        The URI cannot be written.
    """
    path = Path(output) if output else results.path / REPORT
    if path.suffix.lower() not in _ENDINGS:
        raise SpecError(f"`output` must end in {' or '.join(_ENDINGS)}, got {str(path)!r}")
    if not path.parent.is_dir():
        raise SpecError(f"`output` {str(path)!r} cannot be written: there is no folder {str(path.parent)!r}")
    text = page(content(results, reconstructions))
    try:
        with replaced(path, hidden=True) as beside:
            beside.write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise SpecError(f"`output` {str(path)!r} cannot be written: {error.strerror or error}") from None
    if not output:
        results.home.publish(path)
    return path


def page(found: dict[str, Any]) -> str:
    """The page of what `content` found."""
    from plotly.offline import get_plotlyjs

    def part(name: str) -> str:
        return (resources.files("sweep.report") / "page" / name).read_text(encoding="utf-8")

    scripts = {"plotly": get_plotlyjs(), "script": part("script.js")}
    hashes = (base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts.values())
    fields = {
        "title": html.escape(found["title"]),
        "policy": " ".join(f"'sha256-{h}'" for h in hashes),
        "style": part("style.css"),
        # What would end the element cannot stand in it: JSON has another way to write these.
        "data": json.dumps(found, allow_nan=False, separators=(",", ":"))
        .replace("&", "\\u0026")
        .replace("<", "\\u003c")
        .replace(">", "\\u003e"),
        **scripts,
    }
    pieces = part("index.html").split("{{")
    return pieces[0] + "".join(fields[name] + rest for name, _, rest in (p.partition("}}") for p in pieces[1:]))


def content(results: Results, reconstructions: int | None = 0) -> dict[str, Any]:
    """All that the page shows, as JSON knows it; ``reconstructions`` as of `draw`."""
    spec, points = results.spec, results.points
    shown = sampled_points(points)
    model = MarginModel(spec) if spec.free_axes else None
    settings = probe_settings(spec)
    found = status(results)
    return {
        "title": safe_text(" · ".join([Path(spec.dataset).name, spec.architecture, spec.activation])),
        "place": safe_text(results.home.place),
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "sentence": _sentence(results),
        "status": {k: found[k] for k in ("total", "done", "failed", "running", "diverged", "boundary_error")},
        "settings": _settings(spec),
        "versions": [
            ["trainability-sweep", __version__],
            ["Python", platform.python_version()],
            *map(list, installed_versions(*_PACKAGES).items()),
        ],
        "axes": {a: getattr(spec, a) for a in AXES},
        "free": spec.free_axes,
        "statistic": spec.statistic,
        "needed": NEEDED.get(str(spec.statistic)),
        "needs": NEEDED,
        "through_depth": bool(model and model.through_depth),
        "thresholds": {n: settings.threshold_of(n) for n in ("direct_horizon", "cascade_horizon")},
        "points": column_data(shown),
        "all_points": len(points),
        "meaning": COLUMNS["points"],
        "profiles": profile_data(results, shown),
        "reconstructions": reconstruction_data(spec, shown, reconstructions),
        "command": _command(spec),
        "phase": phase_data(results),
        "line": line_data(results),
        "critical": critical_data(results),
        "truth": truth_data(results),
        "history": history_data(results),
        "cost": cost_data(results),
        "failures": _failures(points),
        "damaged": [[safe_text(name), safe_text(reason)] for name, reason in found["damaged"].items()],
        "set_aside": [safe_text(name) for name in found["set_aside"]],
    }


def _command(spec: SweepSpec) -> str:
    """The command that measures a point again, but for the point."""
    defaults = SweepSpec()
    words = ["sweep", "probe"]
    for name in _PROBED:
        value = getattr(spec, name)
        if value is not None and value != getattr(defaults, name):
            words += [f"--{name.replace('_', '-')}", ",".join(map(str, value)) if type(value) is tuple else str(value)]
    return " ".join(map(_quoted, words))


def _quoted(word: str) -> str:
    """For a shell; as bash writes it where it holds control characters, which a terminal would obey when pasted."""
    if word.isprintable():
        return shlex.quote(word)
    return "$'" + "".join(c if c.isprintable() and c not in "'\\" else f"\\U{ord(c):08x}" for c in word) + "'"


def _settings(spec: SweepSpec) -> list[list[Any]]:
    """Name, value, and whether it is the default."""
    defaults = asdict(SweepSpec())
    found = []
    for name, value in asdict(spec).items():
        if name != "first_points":
            shown = " to ".join(f"{v:g}" for v in value) if name in AXES else _plain(value)
            found.append([name, safe_text(shown), value == defaults[name]])
    return sorted(found, key=lambda s: s[0] not in (*AXES, "points", *MEASURED))


def _plain(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "auto" if value is None else str(value)


def _sentence(results: Results) -> str:
    """What was found."""
    spec, points, phase = results.spec, results.points, results.phase
    measured = int(np.isfinite(points["margin"]).sum())
    if not len(points):
        return "Nothing has been measured yet."
    if not measured:
        return f"None of the {len(points)} points could be measured."
    if not phase.enough or "sigma_w" not in phase.free:
        good = int((points["margin"] >= 0).sum())
        why = (
            "one point with its replicas has no boundary"
            if not phase.free
            else "σ_w is fixed: no critical line"
            if phase.enough
            else "too few for a boundary"
        )
        return f"{good} of {measured} measured networks are predicted trainable; {why}."
    line, deepest = phase.critical_line(), spec.depth[1]
    row = line.iloc[len(line) // 2]
    band = results.boundary.query("depth == @deepest").iloc[len(line) // 2]
    (theory,) = theory_line(spec, np.array([row["sigma_b"]]))
    what = "information travels deepest" if spec.by_horizon else "the score is largest"
    says = f"; mean field theory says {theory:.2f}" if math.isfinite(theory) else ""
    low, high = (f"{band[e]:.2f}" if math.isfinite(band[e]) else None for e in ("lower", "upper"))
    everywhere = low is None and high is None and band["trainable_share"] > 0.5
    where = (
        "at every σ_w searched"
        if everywhere
        else " ".join([*([f"from σ_w = {low}"] if low else ["at σ_w"]), *([f"up to {high}"] if high else ["on"])])
    )
    those = f"networks of {deepest} layers are predicted trainable {where}"
    if not (low or high or everywhere):
        those = f"no network of {deepest} layers is predicted trainable there"
    return (
        f"At σ_b = {row['sigma_b']:.2f} {what} at σ_w = {row['sigma_w']:.2f} (90 % interval {row['lower']:.2f} to "
        f"{row['upper']:.2f}{says}), and {those}."
    )


def _failures(points: pd.DataFrame) -> dict[str, Any]:
    """Failed points by their error, the most frequent first."""
    rows: list[list[Any]] = []
    for error, group in points[points["status"] == "failed"].groupby("error", sort=False):
        example = group.iloc[0]
        rows.append([safe_text(error), len(group), [float(example[a]) for a in POINT], safe_text(example["hostname"])])
    return {"rows": sorted(rows, key=lambda r: -r[1])[:MOST_GROUPS], "kinds": len(rows)}
