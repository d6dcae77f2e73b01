"""A sweep as one HTML file that needs no network: data as JSON, drawn in the browser by Plotly.

What comes from a sweep is data, never markup: it stands in the page as JSON, and the script of the page shows it as
text. A content security policy allows no other script than the two of the page, and no connection.
"""

import base64
import hashlib
import html
import io
import json
import math
import platform
import shlex
import uuid
from dataclasses import asdict, replace
from datetime import UTC, datetime
from importlib import metadata, resources
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from probes.meanfield import applies_to
from probes.point import NEEDED

from . import __version__
from .estimate import PhaseModel, theory_line
from .frame import COLUMNS, KINDS, POINT, Results, finite
from .live import duration
from .margin import MIN_POINTS, MarginModel
from .settings import probe_settings, sweep_images
from .spec import AXES, MEASURED, SpecError, SweepSpec
from .store import printable
from .summary import status

__all__ = ["content", "draw", "page"]

REPORT = "report.html"
_ENDINGS = (".html", ".htm")
_SHOWN = 600  # points with their rows and profiles; the estimates are from all
_FAILED_SHOWN = 100  # of them
_LAYERS = 40  # of a profile
_PAINTED, _OPERATIONS = 64, 2e12  # networks whose reconstructions are shown, and what they may take: 20 s of a core
_TRAINED = 500  # points that prediction and truth are compared at
_STEPS = 81
_DEPTHS, _DEPTHS_ALONE = 24, 8  # of the slider; where each has to be estimated alone
_PREFIXES = 12
_TEXT = 500  # characters of what may come from anybody
_GROUPS = 50
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
    beside = path.with_name(f".{uuid.uuid4().hex}{path.suffix}")
    try:
        beside.write_text(text, encoding="utf-8", newline="\n")
        beside.rename(path)  # a link that stands there is replaced, not followed
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise SpecError(f"`output` {str(path)!r} cannot be written: {error.strerror or error}") from None
    if not output:
        results.home.publish(path)
    return path


def page(found: dict[str, Any]) -> str:
    """The page of what `content` found."""
    from plotly.offline import get_plotlyjs

    def part(name: str) -> str:
        return (resources.files("sweep") / "page" / name).read_text(encoding="utf-8")

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
    shown = _sample(points)
    model = MarginModel(spec) if spec.free_axes else None
    settings = probe_settings(spec)
    found = status(results)
    return {
        "title": _text(" · ".join([Path(spec.dataset).name, spec.architecture, spec.activation])),
        "place": _text(results.home.place),
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "sentence": _sentence(results),
        "status": {k: found[k] for k in ("total", "done", "failed", "running", "diverged", "boundary_error")},
        "settings": _settings(spec),
        "versions": _versions(),
        "axes": {a: getattr(spec, a) for a in AXES},
        "free": spec.free_axes,
        "statistic": spec.statistic,
        "needed": NEEDED.get(str(spec.statistic)),
        "needs": NEEDED,
        "through_depth": bool(model and model.through_depth),
        "thresholds": {n: settings.threshold_of(n) for n in ("direct_horizon", "cascade_horizon")},
        "points": _columns(shown),
        "all_points": len(points),
        "meaning": COLUMNS["points"],
        "profiles": _profiles(results, shown),
        "reconstructions": _reconstructions(spec, shown, reconstructions),
        "command": _command(spec),
        "phase": _phase(results),
        "line": _line(results),
        "critical": _critical(results),
        "truth": _truth(results),
        "history": _history(results),
        "cost": _cost(results),
        "failures": _failures(points),
        "damaged": [[_text(name), _text(reason)] for name, reason in found["damaged"].items()],
        "set_aside": [_text(name) for name in found["set_aside"]],
    }


def _text(text: Any) -> str:
    """What may come from anybody: no control characters, and not too much of it."""
    text = str(text)
    return printable(text[:_TEXT]) + "…" * (len(text) > _TEXT)


def _numbers(values: Any, digits: int = 5) -> list[Any]:
    """For JSON, nested as the array is, to so many significant digits; null where there is no number."""
    values = np.asarray(values, dtype=float)
    if values.ndim > 1:
        return [_numbers(v, digits) for v in values]
    return [float(f"{v:.{digits}g}") if math.isfinite(v) else None for v in values]


def _sample(points: pd.DataFrame) -> pd.DataFrame:
    """At most so many points, failed ones among them."""
    if len(points) <= _SHOWN:
        return points
    failed = points["status"] == "failed"
    some = points[failed].sample(min(_FAILED_SHOWN, int(failed.sum())), random_state=0)
    rest = points[~failed]
    others = rest.sample(min(_SHOWN - len(some), len(rest)), random_state=0)
    return pd.concat([some, others]).sort_index()


def _columns(points: pd.DataFrame) -> dict[str, list[Any]]:
    """The columns that hold anything."""
    found: dict[str, list[Any]] = {}
    for name in COLUMNS["points"]:
        column, kind = points[name], KINDS[name]
        if kind == "text":
            values: list[Any] = [_text(v) for v in column]
        elif kind == "number" and name not in POINT:
            values = ["∞" if v == math.inf else n for v, n in zip(column, _numbers(column), strict=True)]
        else:  # the point itself in full
            values = [None if pd.isna(v) else v for v in column.astype(object)]
        if name in POINT or name == "status" or any(v not in (None, "") for v in values):
            found[name] = values
    return found


def _profiles(results: Results, shown: pd.DataFrame) -> dict[str, list[Any]]:
    """By probe, for each point shown, layers and retained information after them; null where there is none."""
    names = [n for n in KINDS if n.startswith("profile_") and n.endswith("_retained")]
    table = results.store.read(names)
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


def _reconstructions(spec: SweepSpec, shown: pd.DataFrame, count: int | None) -> dict[str, Any]:
    """Of some of the points shown: their places ``at`` in the table, layers, and images as URIs, the image first."""
    from rich.console import Console
    from rich.progress import track

    from .reconstruct import Painter, some_layers, spread

    chosen = list(islice(spread(shown, spec), _PAINTED if count is None else count))
    if not chosen:
        return {"at": [], "layers": [], "images": []}
    try:
        painter = Painter(spec)
    except SpecError as error:
        return {"at": [], "layers": [], "images": [], "why_not": _text(error)}
    if count is None:
        spent, affordable = 0.0, []
        for at, point in chosen:
            if spent + (cost := painter.cost(point.depth)) <= _OPERATIONS:
                spent += cost
                affordable.append((at, point))
        if not (chosen := affordable):
            return {"at": [], "layers": [], "images": [], "why_not": "it would take long (--reconstructions N does it)"}
    console = Console(stderr=True)
    layers = [some_layers(point.depth) for _, point in chosen]
    pairs = zip(chosen, layers, strict=True)
    steps = track(
        pairs, "reconstructions", len(chosen), console=console, transient=True, disable=not console.is_terminal
    )
    images = [[_picture(image) for image in painter.images(point, at)] for (_, point), at in steps]
    return {"at": [at for at, _ in chosen], "layers": layers, "images": images}


def _picture(image: np.ndarray) -> str:
    """A PNG as a URI, stretched over the image's range."""
    from matplotlib.image import imsave

    from .plots import stretched

    out = io.BytesIO()
    nothing: dict[str, Any] = {"Software": None}
    imsave(out, stretched(image, 0), cmap="gray", vmin=0, vmax=1, format="png", metadata=nothing)
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"


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
            found.append([name, _text(shown), value == defaults[name]])
    return sorted(found, key=lambda s: s[0] not in (*AXES, "points", *MEASURED))


def _plain(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "auto" if value is None else str(value)


def _versions() -> list[list[str]]:
    found = [["trainability-sweep", __version__], ["Python", platform.python_version()]]
    for name in _PACKAGES:
        try:
            found.append([name, metadata.version(name)])
        except metadata.PackageNotFoundError:
            continue
    return found


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


def _phase(results: Results) -> dict[str, Any] | None:
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


def _line(results: Results) -> dict[str, Any] | None:
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
        "low": _numbers(mean - 1.645 * deviation),
        "high": _numbers(mean + 1.645 * deviation),
    }


def _critical(results: Results) -> dict[str, Any]:
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


def _truth(results: Results) -> dict[str, Any] | None:
    """Prediction against truth, of at most so many trained points; None if none was trained."""
    from sklearn.metrics import roc_curve

    from .evaluate import STATISTICS, compare

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
        return {**head, "why_not": _text(error)}
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


def _history(results: Results) -> dict[str, Any] | None:
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


def _cost(results: Results) -> dict[str, Any]:
    """Seconds and operations by what was done; points and seconds by device and host."""
    points = results.points
    kinds = []
    for name in ("direct", "cascade", "train"):
        rows = points[points[f"{name}_seconds"].notna()]
        if len(rows):
            kinds.append(_cost_row({"train": "training"}.get(name, name), len(rows), *_sums(rows, name)))
    kinds += _training_all(results)
    hosts: list[list[Any]] = []
    for (host, device), rows in points.groupby(["hostname", "device"]):
        seconds = sum(_sums(rows, name)[0] for name in ("direct", "cascade", "train"))
        hosts.append([_text(host), _text(device), len(rows), _shown_seconds(seconds), _rate(rows["finished"])])
    return {
        "kinds": kinds,
        "hosts": sorted(hosts, key=lambda h: -h[2])[:_GROUPS],
        "all_hosts": len(hosts),
        "rate": _rate(points["finished"]),
        "elapsed": _shown_seconds(points["finished"].max() - points["finished"].min()) if len(points) else None,
    }


def _sums(rows: pd.DataFrame, name: str) -> tuple[float, float]:
    """Seconds and operations."""
    return float(rows[f"{name}_seconds"].sum()), float(rows[f"{name}_flops"].sum())


def _cost_row(name: str, count: int, seconds: float, flops: float) -> list[Any]:
    return [name, count, _shown_seconds(seconds / count), _shown_seconds(seconds), float(f"{flops:.3g}") or None]


def _shown_seconds(seconds: float) -> str | None:
    if not math.isfinite(seconds):
        return None
    return f"{seconds:.2g} s" if seconds < 10 else duration(seconds)


def _rate(finished: pd.Series) -> float | None:
    """Points a second, from the first to the last."""
    took = float(finished.max() - finished.min())
    return float(f"{(len(finished) - 1) / took:.3g}") if took > 0 else None


def _training_all(results: Results) -> list[list[Any]]:
    """What training all points costs: by the trainings that there were, else by the operations of one."""
    spec, points = results.spec, results.points
    trained = points[points["train_seconds"].notna()]
    depths = points["depth"].sum()
    if len(trained) and len(trained) < len(points):  # a training takes as long as it has layers
        share = depths / trained["depth"].sum()
        seconds, flops = (share * v for v in _sums(trained, "train"))
        return [_cost_row("training of all, extrapolated from those", len(points), seconds, flops)]
    if len(trained) or not len(points) or Path(spec.dataset).suffix:
        return []
    from probes.cost import cost

    settings = probe_settings(spec)
    try:
        images = sweep_images(replace(spec, download=False))
    except SpecError:  # not on this machine
        return []
    depth, count = np.unique(points["depth"].to_numpy(), return_counts=True)
    epochs = settings.training.rounds(images) * len(spec.lr)
    flops = float(sum(n * epochs * cost(settings, images, int(d)).epoch for d, n in zip(depth, count, strict=True)))
    both = [_sums(points, name) for name in ("direct", "cascade")]
    speed = sum(f for _, f in both) / max(sum(s for s, _ in both), 1e-9)
    seconds = flops / speed if speed else math.nan
    return [_cost_row("training of all, estimated at the probes' operations a second", len(points), seconds, flops)]


def _failures(points: pd.DataFrame) -> dict[str, Any]:
    """Failed points by their error, the most frequent first."""
    rows: list[list[Any]] = []
    for error, group in points[points["status"] == "failed"].groupby("error", sort=False):
        example = group.iloc[0]
        rows.append([_text(error), len(group), [float(example[a]) for a in POINT], _text(example["hostname"])])
    return {"rows": sorted(rows, key=lambda r: -r[1])[:_GROUPS], "kinds": len(rows)}
