"""The figures of `sweep plot`, each drawn from the results of a sweep.

Every function takes the results and a `View`: what is shown of them, and how large.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from probes.definition import DEPTHS, GRADIENTS, HORIZONS
from sweep import plots
from sweep.analysis.published import CASCADE_PROFILES, cascades_at, cutoff_agreement, near_sigma_b
from sweep.analysis.skill import calibrated_probability, reliability_bins
from sweep.analysis.statistics import STATISTICS, score
from sweep.analysis.surface import MIN_POINTS, Surface, truth_surface
from sweep.errors import SpecError
from sweep.model.calibration import calibrated_share, default_of, expected
from sweep.model.estimate import NORMAL_90
from sweep.plots.comparison import few_depths, truth_over, truth_planes, xi_c_over
from sweep.plots.diagram import note_calibration, phase_diagram
from sweep.plots.planes import STEPS, regular_grid
from sweep.plots.style import legend
from sweep.results.results import Results
from sweep.spec.rows import keys_of

_MAX_PROFILES = 24


@dataclass(frozen=True)
class View:
    """What a figure shows of a sweep, and how large it is.

    Attributes
    ----------
    width:
        In inches.
    sigma_b, depth:
        What it is drawn at; None: its own choice.
    truth:
        Another sweep, whose trained networks are drawn as well.
    plane:
        Names of the axes across and up; None: its own choice.
    at:
        Values of further axes that it is drawn at; those left out are in the middle of their ranges.
    """

    width: float
    sigma_b: float | None = None
    depth: int | None = None
    truth: Results | None = None
    plane: tuple[str, str] | None = None
    at: Mapping[str, float] = field(default_factory=dict)


def _require(present: Any, results: Results, kind: str, what: str) -> None:
    """Refuse to draw a kind of figure if the results do not hold what it needs."""
    if not present:
        raise SpecError(f"`kind` {kind} needs {what}, which {results.files.location!r} does not hold")


def _single_panel(width: float, ratio: float = 0.7) -> tuple[Figure, Any]:
    """Return a figure with one panel, and the panel."""
    figure = Figure(figsize=(width, ratio * width), layout="constrained")
    return figure, figure.add_subplot()


def _chosen_place(results: Results, view: View) -> tuple[float, int]:
    """Return sigma_b and depth of a view; for one that is None, the middle of its range (of depth, on a log scale)."""
    (b, b_end), (low, high) = results.spec.sigma_b, results.spec.depth
    return (
        (b + b_end) / 2 if view.sigma_b is None else view.sigma_b,
        round((low * high) ** 0.5) if view.depth is None else view.depth,
    )


def phase_figure(results: Results, view: View) -> Figure:
    """Draw the phase diagram without a title."""
    _require((results.points["status"] != "failed").any(), results, "phase", "measured points")
    at = dict(view.at) | ({} if view.sigma_b is None else {"sigma_b": view.sigma_b})
    return phase_diagram(results, title=False, depth=view.depth, width=view.width, plane=view.plane, at=at)


def depth_figure(results: Results, view: View) -> Figure:
    """Draw trainable depths, or horizons, against depth and, if it varies, how the trainable band narrows with it."""
    points = results.points
    wanted = dict.fromkeys([str(results.spec.statistic), *DEPTHS])
    names = [n for n in wanted if n in DEPTHS and points[n].notna().any()]
    _require(names, results, "depth", "measured horizons")
    figure = Figure(figsize=(view.width, 0.45 * view.width), layout="constrained")
    boundary = results.boundary_at(at=view.at)
    has_band = len(boundary) > 0 and results.spec.depth[0] < results.spec.depth[1]
    axes = figure.subplots(1, 2 if has_band else 1, squeeze=False)[0]
    spec, name = results.spec, names[0]
    share = calibrated_share(spec, results.calibration) if name == spec.statistic else spec.definition.share(name)
    plots.depth(points, statistic=names[0], boundary=boundary, share=share, ax=axes[0])
    axes[0].legend(loc="upper left", ncols=2)
    if has_band:
        low, high = results.spec.depth
        depths = sorted({round(d) for d in np.geomspace(low, high, 16)})
        plots.band(results.boundary_at(depths, view.at), ax=axes[1])
        axes[1].legend(loc="upper right")
    return figure


def profiles_figure(results: Results, view: View) -> Figure:
    """Draw how much is left after each layer, of the image or of a gradient, for some of the networks."""
    points, statistic = results.points[results.points["status"] == "ok"], str(results.spec.statistic)
    measured = [n for n, value in HORIZONS.items() if points[value].notna().any()]
    by_gradient = statistic in GRADIENTS and points["gradient_norm"].notna().any()
    _require(measured or by_gradient, results, "profiles", "measured profiles")
    value, threshold, horizons = "gradient_norm", None, None
    chosen = _some_points_near(results, points, view)
    if not by_gradient:
        horizon = next((n for n in measured if statistic in (n, HORIZONS[n])), measured[0])
        value, threshold = HORIZONS[horizon], results.spec.threshold_of(horizon)
        if results.spec.definition.relative(horizon):  # there is no threshold that all networks have in common
            threshold, horizons = None, chosen.set_index(keys_of(results.spec))[horizon].to_dict()
    rows = results.profiles_at(points=chosen, columns=[value])
    figure, ax = _single_panel(view.width)
    plots.profiles(rows, value=value, threshold=threshold, horizons=horizons, ax=ax)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc="upper right")
    return figure


def _some_points_near(results: Results, points: pd.DataFrame, view: View) -> pd.DataFrame:
    """Return a few points, spread evenly in order of sigma_w, near the place of a view.

    If it has neither sigma_b nor depth, they are chosen from the deeper half of the points.
    """
    spec, sigma_b, depth = results.spec, view.sigma_b, view.depth
    if sigma_b is None and depth is None:
        points = points[points["depth"] >= points["depth"].median()]
    distance = pd.Series(0.0, index=points.index)
    if sigma_b is not None:
        distance += (points["sigma_b"] - sigma_b).abs() / ((spec.sigma_b[1] - spec.sigma_b[0]) or 1)
    if depth is not None:
        distance += np.log(points["depth"] / depth).abs() / (np.log(spec.depth[1] / spec.depth[0]) or 1)
    for name, value in view.at.items():
        low, high = spec.range_of(name)
        distance += (points[name] - value).abs() / ((high - low) or 1)
    near = points.loc[distance.nsmallest(max(_MAX_PROFILES, len(points) // 10)).index] if distance.any() else points
    near = near.sort_values("sigma_w")
    at = np.unique(np.linspace(0, len(near) - 1, min(_MAX_PROFILES, len(near))).round().astype(int))
    return near.iloc[at]


def reconstructions_figure(results: Results, view: View) -> Figure:
    """Draw a test image as reconstructed from the layers of three networks, which are drawn and measured again."""
    from sweep.measuring.reconstruct import reconstructions

    tiles = reconstructions(results, *_chosen_place(results, view))
    rows = [
        rf"$\sigma_w$ = {r['sigma_w']:.2f}" + "\n" + rf"$\sigma_b$ = {r['sigma_b']:.2f}" + "\n" + f"depth {r['depth']}"
        for r in tiles.points.to_dict("records")
    ]
    image_height, image_width = tiles.images.shape[2:4]
    figure, ax = _single_panel(view.width, 0.08 + 0.85 * len(rows) / len(tiles.columns) * image_height / image_width)
    plots.reconstructions(tiles.images, rows, tiles.columns, ax=ax)
    ax.set_xlabel("layer that the image is reconstructed from")
    return figure


def _trained(results: Results, kind: str) -> pd.DataFrame:
    """Return the rows of trained networks; refuse results with too few of them, or with a single outcome."""
    trained = results.points[results.points["trainable"].notna()]
    _require(len(trained) >= MIN_POINTS, results, kind, f"{MIN_POINTS} trained points (see --train)")
    _require(trained["trainable"].nunique() == 2, results, kind, "trained networks of both outcomes")
    return trained


def truth_figure(results: Results, view: View) -> Figure:
    """Draw the accuracy after training, with the predicted boundary and the trained one."""
    spec, trained = results.spec, _trained(results, "truth")
    free = set(spec.free_axes)
    _require("sigma_w" in free and len(free) > 1, results, "truth", "two free axes, one of them sigma_w")
    values = score(str(spec.statistic), trained, spec)
    scored = np.isfinite(values)
    _require(scored.any(), results, "truth", f"points with a {spec.statistic}")
    surfaces = {
        "accuracy": Surface(spec, trained, trained["accuracy"].to_numpy(float)),
        "truth": truth_surface(spec, results.points),
        "prediction": Surface(spec, trained[scored], values[scored] - results.calibration.shift),
    }
    if "sigma_b" in free:
        depths = [view.depth] if view.depth else few_depths(spec)
        figure, panels = truth_planes(spec, trained, surfaces, depths, view.width, view.at)
    else:
        up = next(name for name in spec.free_axes if name != "sigma_w")
        figure, panels = truth_over(spec, trained, surfaces, "sigma_w", up, view.width, view.at)
    note_calibration(panels[0], results)
    legend(figure, panels[0])
    return figure


def history_figure(results: Results, view: View) -> Figure:
    """Draw how the expected error of the boundary fell with the number of points."""
    _require(len(results.history), results, "history", "enough points for a boundary")
    figure, ax = _single_panel(view.width)
    plots.history(results.history, ax=ax)
    return figure


def roc_figure(results: Results, view: View) -> Figure:
    """Draw the ROC curve of each statistic: how well it tells trained networks from the others."""
    trained = _trained(results, "roc")
    by_name = {n: score(n, trained, results.spec) for n in STATISTICS}
    scores = pd.DataFrame({n: s for n, s in by_name.items() if np.isfinite(s).all()})
    _require(len(scores.columns), results, "roc", "trained points that were probed")
    figure, ax = _single_panel(view.width, 0.95)
    plots.roc(scores, trained["trainable"].to_numpy(bool), ax=ax)
    ax.legend(loc="lower right")
    return figure


def reliability_figure(results: Results, view: View) -> Figure:
    """Draw how often networks train over how often they are predicted to, before and after these trainings."""
    trained = _trained(results, "reliability")
    trained = trained[np.isfinite(trained["margin"])]
    margin = expected(trained["margin"], trained["margin_censored"].astype(bool))
    outcome = trained["trainable"].to_numpy(bool)
    bins = {
        "default calibration": reliability_bins(default_of(results.spec).probability(margin), outcome),
        "calibrated, cross-validated": reliability_bins(calibrated_probability(margin, outcome), outcome),
    }
    figure, ax = _single_panel(view.width, 0.95)
    plots.reliability(bins, ax=ax)
    ax.legend(loc="upper left")
    return figure


def paper_figure(results: Results, view: View) -> Figure:
    """Draw accuracy, or else the margin, over (sigma_w^2, depth) at one sigma_b, as in the paper."""
    spec, phase = results.spec, results.phase
    _require({"sigma_w", "depth"} <= set(spec.free_axes), results, "paper", "free axes sigma_w and depth")
    _require(phase.has_estimates, results, "paper", "enough points for a boundary")
    b, _ = _chosen_place(results, view)
    surface = regular_grid(spec, "sigma_w", "depth", {**view.at, "sigma_b": b})
    places = {a: surface[a].to_numpy() for a in spec.axes}
    trained = results.points[results.points["accuracy"].notna()]
    if len(trained) >= MIN_POINTS:
        surface["accuracy"] = Surface(spec, trained, trained["accuracy"].to_numpy(float))(places)
    else:
        surface["margin"] = phase.mean(**places)
    points = results.points if "margin" in surface else trained
    fixed = spec.sigma_b[0] == spec.sigma_b[1]
    figure, ax = _single_panel(view.width, 0.78)
    plots.paper(surface, _trainable_depths(results, b, view.at), points if fixed else None, ax=ax)
    note_calibration(ax, results)
    legend(figure, ax)
    return figure


def cascade_figure(results: Results, view: View) -> Figure:
    """Draw what the cascade measured over (sigma_w^2, layer) at one sigma_b, as in the paper."""
    b, _ = _chosen_place(results, view)
    networks = cascades_at(results.points, results.spec, b)
    _require(len(networks) > 1, results, "cascade", f"cascades of several sigma_w near sigma_b {b:.3g}")
    values = [v for v in CASCADE_PROFILES if networks[v].notna().any()]
    rows = results.profiles_at(points=networks, columns=values)
    figure = Figure(figsize=(view.width, 0.36 * view.width), layout="constrained")
    panels = figure.subplots(1, len(values), sharey=True, squeeze=False)[0]
    trained = (view.truth or results).points
    trained = trained[near_sigma_b(trained, results.spec, b)]
    for value, ax in zip(values, panels, strict=True):
        plots.layers(rows, networks, trained, value=value, ax=ax)
        ax.label_outer()
    if agreement := cutoff_agreement(results.points):
        figure.suptitle(str(agreement), fontsize=8)
    legend(figure, panels[-1])
    return figure


def _trainable_depths(results: Results, sigma_b: float, at: Mapping[str, float]) -> pd.DataFrame:
    """Return a table of the depth up to which networks are predicted trainable (90 % interval) and xi_c, by sigma_w."""
    spec, phase = results.spec, results.phase
    w = np.linspace(*spec.sigma_w, STEPS)
    depths = np.geomspace(*spec.depth, 61)
    grid_w, grid_d = (g.ravel() for g in np.meshgrid(w, depths, indexing="ij"))
    mean, deviation = phase.margin(**at, sigma_w=grid_w, sigma_b=sigma_b, depth=grid_d)
    lines = {"sigma_w": w}
    for name, shift in (("lower", -NORMAL_90), ("depth", 0.0), ("upper", NORMAL_90)):
        margin = (mean + shift * deviation).reshape(len(w), len(depths))
        lines[name] = np.array([_first_fall(depths, m) for m in margin])
    return pd.DataFrame({**lines, "xi_c": xi_c_over(spec, w, sigma_b)})


def _first_fall(depths: np.ndarray, margin: np.ndarray) -> float:
    """Return the depth where a margin first falls below zero, interpolated on a logarithmic scale.

    It is the smallest depth if the margin is negative there, and the largest one if it is negative nowhere.
    """
    below = np.flatnonzero(margin < 0)
    if not len(below):
        return float(depths[-1])
    i = below[0]
    if i == 0:
        return float(depths[0])
    share = margin[i - 1] / (margin[i - 1] - margin[i])
    return float(depths[i - 1] * (depths[i] / depths[i - 1]) ** share)
