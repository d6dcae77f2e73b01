"""The figures of `sweep plot` by name, each from the results of a sweep."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from probes.meanfield import applies_to, mean_field
from probes.point import NEEDED
from sweep import plots
from sweep.analysis.statistics import STATISTICS, score, threshold_of
from sweep.analysis.surface import MIN_POINTS, Surface, truth_surface
from sweep.errors import SpecError
from sweep.model.estimate import NORMAL_90
from sweep.plots.planes import phase_diagram
from sweep.plots.style import WIDE, WIDTH, legend, styled
from sweep.results.results import Results
from sweep.spec.options import FIGURES

__all__ = ["draw", "figure"]

_GRID = 81
_LINES = 24  # profiles drawn at most
_USES = {  # options beside the kind
    "phase": ("depth",),
    "depth": (),
    "profiles": ("sigma_b", "depth"),
    "reconstructions": ("sigma_b", "depth"),
    "truth": ("depth",),
    "history": (),
    "roc": (),
    "paper": ("sigma_b",),
}


def draw(
    results: Results,
    kind: str,
    output: str | None = None,
    *,
    sigma_b: float | None = None,
    depth: int | None = None,
    style_file: str | None = None,
    width: float | None = None,
) -> Path:
    """Draw a figure into a file, PNG, PDF or SVG by its ending; its path. That of a sweep at a URI is copied there.

    Raises
    ------
    SpecError
        A file that cannot be written, a style that cannot be read, nothing to draw.
    StoreError
        The URI cannot be written.
    """
    from sweep.plots.style import PICTURE, check_picture, save_picture

    path = Path(output) if output else results.path / (PICTURE if kind == "phase" else f"{kind}.png")
    check_picture(path, "output")
    with styled(style_file):
        made = figure(results, kind, sigma_b=sigma_b, depth=depth, width=width)
        save_picture(made, path, "output")
    if not output:
        results.home.publish(path)
    return path


def figure(
    results: Results, kind: str, *, sigma_b: float | None = None, depth: int | None = None, width: float | None = None
) -> Figure:
    """One of `FIGURES`, so many inches wide, at a sigma_b or depth where that says something.

    Raises
    ------
    SpecError
        The sweep has nothing to show in it, or not there.
    """
    for name, value in (("sigma_b", sigma_b), ("depth", depth)):
        low, high = getattr(results.spec, name)
        if value is not None and name not in _USES[kind]:
            raise SpecError(f"`{name}` must be left out with kind {kind!r}")
        if value is not None and not low <= value <= high:
            raise SpecError(f"`{name}` must be from {low:g} to {high:g}, as in the sweep, got {value:g}")
    return _DRAW[kind](results, sigma_b, depth, width or WIDE.get(kind, WIDTH))


def _need(there: Any, results: Results, kind: str, what: str) -> None:
    if not there:
        raise SpecError(f"`kind` {kind} needs {what}, which {results.home.place!r} does not hold")


def _one(width: float, ratio: float = 0.7) -> tuple[Figure, Any]:
    made = Figure(figsize=(width, ratio * width), layout="constrained")
    return made, made.add_subplot()


def _middle(results: Results, sigma_b: float | None, depth: int | None) -> tuple[float, int]:
    """What was asked for, else the middle of the range."""
    (b, b_end), (low, high) = results.spec.sigma_b, results.spec.depth
    return (b + b_end) / 2 if sigma_b is None else sigma_b, round((low * high) ** 0.5) if depth is None else depth


def _phase(results: Results, sigma_b: float | None, depth: int | None, width: float) -> Figure:
    _need((results.points["status"] != "failed").any(), results, "phase", "measured points")
    return phase_diagram(results, title=False, depth=depth, width=width)


def _depth(results: Results, sigma_b: float | None, depth: int | None, width: float) -> Figure:
    points = results.points
    names = [
        n for n in dict.fromkeys([str(results.spec.statistic), *NEEDED]) if n in NEEDED and points[n].notna().any()
    ]
    _need(names, results, "depth", "measured horizons")
    made = Figure(figsize=(width, 0.45 * width), layout="constrained")
    has_band = len(results.boundary) > 0 and results.spec.depth[0] < results.spec.depth[1]
    axes = made.subplots(1, 2 if has_band else 1, squeeze=False)[0]
    plots.depth(points, statistic=names[0], boundary=results.boundary, ax=axes[0])
    axes[0].legend(loc="upper left", ncols=2)
    if has_band:
        low, high = results.spec.depth
        depths = sorted({round(d) for d in np.geomspace(low, high, 16)})
        plots.band(results.boundary_at(depths), ax=axes[1])
        axes[1].legend(loc="upper right")
    return made


def _profiles(results: Results, sigma_b: float | None, depth: int | None, width: float) -> Figure:
    points = results.points[results.points["status"] == "ok"]
    value = next((n for n in ("direct_retained", "cascade_retained") if points[n].notna().any()), None)
    if str(results.spec.statistic).startswith("cascade") and points["cascade_retained"].notna().any():
        value = "cascade_retained"
    _need(value, results, "profiles", "measured profiles")
    rows = results.profiles_at(points=_near(results, points, sigma_b, depth), columns=[str(value)])
    made, ax = _one(width)
    plots.profiles(rows, value=str(value), threshold=_lost(results, str(value)), ax=ax)
    ax.legend(loc="upper right")
    return made


def _lost(results: Results, value: str) -> float:
    """The threshold of the horizon of a profile: what its lines fall below."""
    return threshold_of(results.spec, value.replace("retained", "horizon"))


def _near(results: Results, points: pd.DataFrame, sigma_b: float | None, depth: int | None) -> pd.DataFrame:
    """A few points, evenly over sigma_w, of those nearest to what was asked for; by default, of the deeper half."""
    spec = results.spec
    if sigma_b is None and depth is None:
        points = points[points["depth"] >= points["depth"].median()]
    away = pd.Series(0.0, index=points.index)
    if sigma_b is not None:
        away += (points["sigma_b"] - sigma_b).abs() / ((spec.sigma_b[1] - spec.sigma_b[0]) or 1)
    if depth is not None:
        away += np.log(points["depth"] / depth).abs() / (np.log(spec.depth[1] / spec.depth[0]) or 1)
    near = points.loc[away.nsmallest(max(_LINES, len(points) // 10)).index] if away.any() else points
    near = near.sort_values("sigma_w")
    at = np.unique(np.linspace(0, len(near) - 1, min(_LINES, len(near))).round().astype(int))
    return near.iloc[at]


def _reconstructions(results: Results, sigma_b: float | None, depth: int | None, width: float) -> Figure:
    from sweep.measuring.reconstruct import reconstructions

    found = reconstructions(results, *_middle(results, sigma_b, depth))
    rows = [
        rf"$\sigma_w$ = {r['sigma_w']:.2f}" + "\n" + rf"$\sigma_b$ = {r['sigma_b']:.2f}" + "\n" + f"depth {r['depth']}"
        for r in found.points.to_dict("records")
    ]
    height, wide = found.images.shape[2:4]
    made, ax = _one(width, 0.08 + 0.85 * len(rows) / len(found.columns) * height / wide)
    plots.reconstructions(found.images, rows, found.columns, ax=ax)
    ax.set_xlabel("layer that the image is reconstructed from")
    return made


def _trained(results: Results, kind: str) -> pd.DataFrame:
    """The trained rows, of which there must be some of both outcomes."""
    trained = results.points[results.points["trainable"].notna()]
    _need(len(trained) >= MIN_POINTS, results, kind, f"{MIN_POINTS} trained points (see --train)")
    _need(trained["trainable"].nunique() == 2, results, kind, "trained networks of both outcomes")
    return trained


def _truth(results: Results, sigma_b: float | None, depth: int | None, width: float) -> Figure:
    spec, trained = results.spec, _trained(results, "truth")
    free = set(spec.free_axes)
    x, y = ("sigma_w", "sigma_b") if {"sigma_w", "sigma_b"} <= free else ("sigma_w", "depth")
    _need({x, y} <= free, results, "truth", "two free axes, one of them sigma_w")
    values = score(str(spec.statistic), trained, spec)
    use = np.isfinite(values)
    _need(use.any(), results, "truth", f"points with a {spec.statistic}")
    surfaces = {
        "accuracy": Surface(spec, trained, trained["accuracy"].to_numpy(float)),
        "truth": truth_surface(spec, results.points),
        "prediction": Surface(spec, trained[use], values[use]),
    }
    if y == "depth":
        depths: list[int | None] = [None]
    else:
        depths = [depth] if depth else [int(d) for d in np.unique(np.geomspace(*spec.depth, 4).round())]
    columns = 2 if len(depths) > 1 else 1
    lines = -(-len(depths) // columns)
    made = Figure(figsize=(width, (0.7 if lines == 1 else 0.85) * width), layout="constrained")
    grid = made.subplots(lines, columns, squeeze=False, sharex=True, sharey=True)
    for ax in grid.flat[len(depths) :]:
        ax.axis("off")
    near = np.zeros(len(trained), dtype=int)
    if y != "depth":  # of one depth those that are within a quarter of it
        away = np.abs(np.log(trained["depth"].to_numpy()[:, None] / np.array(depths, dtype=float)))
        near = np.where((len(depths) > 1) | (away.min(1) < np.log(1.25)), away.argmin(1), -1)
    for i, (ax, at) in enumerate(zip(grid.flat, depths, strict=False)):
        surface = _surface(results, x, y, None if at is None else {"depth": float(at)})
        places = {a: surface[a].to_numpy() for a in ("sigma_w", "sigma_b", "depth")}
        surface = surface[[x, y]].assign(**{name: f(places) for name, f in surfaces.items()})
        plots.truth(trained[near == i], surface, x=x, y=y, bar=len(depths) == 1, ax=ax)
        if len(depths) > 1:
            ax.set_title(f"depth {at}")
            ax.label_outer()
    if len(depths) > 1:
        made.colorbar(grid[0, 0].collections[0], ax=list(grid.flat), label="accuracy after training", aspect=40)
    legend(made, grid[0, 0])
    return made


def _surface(results: Results, x: str, y: str, fixed: dict[str, float] | None = None) -> pd.DataFrame:
    """A regular grid over two axes; the third fixed."""
    spec = results.spec
    ends: list[tuple[float, float]] = [getattr(spec, a) for a in (x, y)]
    gx, gy = np.meshgrid(*[np.linspace(low, high, _GRID) for low, high in ends])
    others = {a: getattr(spec, a)[0] for a in ("sigma_w", "sigma_b", "depth")} | (fixed or {})
    return pd.DataFrame({**others, x: gx.ravel(), y: gy.ravel()})


def _history(results: Results, sigma_b: float | None, depth: int | None, width: float) -> Figure:
    _need(len(results.history), results, "history", "points enough for a boundary")
    made, ax = _one(width)
    plots.history(results.history, ax=ax)
    return made


def _roc(results: Results, sigma_b: float | None, depth: int | None, width: float) -> Figure:
    trained = _trained(results, "roc")
    found = {n: score(n, trained, results.spec) for n in STATISTICS}
    scores = pd.DataFrame({n: s for n, s in found.items() if np.isfinite(s).all()})
    _need(len(scores.columns), results, "roc", "trained points that were probed")
    made, ax = _one(width, 0.95)
    plots.roc(scores, trained["trainable"].to_numpy(bool), ax=ax)
    ax.legend(loc="lower right")
    return made


def _paper(results: Results, sigma_b: float | None, depth: int | None, width: float) -> Figure:
    spec, phase = results.spec, results.phase
    _need({"sigma_w", "depth"} <= set(spec.free_axes), results, "paper", "free axes sigma_w and depth")
    _need(phase.enough, results, "paper", "points enough for a boundary")
    b, _ = _middle(results, sigma_b, None)
    surface = _surface(results, "sigma_w", "depth", {"sigma_b": b})
    places = {a: surface[a].to_numpy() for a in ("sigma_w", "sigma_b", "depth")}
    trained = results.points[results.points["accuracy"].notna()]
    if len(trained) >= MIN_POINTS:
        surface["accuracy"] = Surface(spec, trained, trained["accuracy"].to_numpy(float))(places)
    else:
        surface["margin"] = phase.mean(**places)
    points = results.points if "margin" in surface else trained
    fixed = spec.sigma_b[0] == spec.sigma_b[1]
    made, ax = _one(width, 0.78)
    plots.paper(surface, _horizon(results, b), points if fixed else None, ax=ax)
    legend(made, ax)
    return made


def _horizon(results: Results, sigma_b: float) -> pd.DataFrame:
    """Of every sigma_w: the depth up to which networks are predicted trainable, within the sweep's."""
    spec, phase = results.spec, results.phase
    w = np.linspace(*spec.sigma_w, _GRID)
    depths = np.geomspace(*spec.depth, 61)
    grid_w, grid_d = (g.ravel() for g in np.meshgrid(w, depths, indexing="ij"))
    mean, deviation = phase.margin(grid_w, sigma_b, grid_d)
    found = {"sigma_w": w}
    for name, shift in (("lower", -NORMAL_90), ("depth", 0.0), ("upper", NORMAL_90)):
        margin = (mean + shift * deviation).reshape(len(w), len(depths))
        found[name] = np.array([_last(depths, m) for m in margin])
    xi = [mean_field(x, sigma_b, spec.activation).xi_c for x in w] if applies_to(spec.architecture) else np.nan
    return pd.DataFrame(found).assign(xi_c=xi)


def _last(depths: np.ndarray, margin: np.ndarray) -> float:
    """The depth where a margin falls below zero, at the ends of the range where it is that everywhere or nowhere."""
    below = np.flatnonzero(margin < 0)
    if not len(below):
        return float(depths[-1])
    i = below[0]
    if i == 0:
        return float(depths[0])
    share = margin[i - 1] / (margin[i - 1] - margin[i])
    return float(depths[i - 1] * (depths[i] / depths[i - 1]) ** share)


_DRAW: dict[str, Callable[..., Figure]] = {
    "phase": _phase,
    "depth": _depth,
    "profiles": _profiles,
    "reconstructions": _reconstructions,
    "truth": _truth,
    "history": _history,
    "roc": _roc,
    "paper": _paper,
}


assert set(_DRAW) == set(FIGURES) == set(_USES)
