"""The phase diagram of a sweep, whatever its free axes are."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from probes.definition import HORIZONS, depth_name
from probes.further import RATE
from sweep.errors import SpecError
from sweep.model.calibration import calibrated_share
from sweep.model.estimate import NORMAL_90, theory_line
from sweep.plots.marks import draw_points, draw_surface
from sweep.plots.planes import STEPS, axis_values, phase, regular_grid, use_scales
from sweep.plots.saving import Picture
from sweep.plots.style import COLOURS, DASHED, RED, WHITE_OUTLINE, axis_label, legend, without_mathtext
from sweep.results.results import Results
from sweep.spec.experiment import Experiment

PICTURE = "phase_diagram.png"
_USUAL_PLANE = "sigma_w", "sigma_b"
_NEAR = 1 / 8  # of the range of an axis
_MARGIN, _OUTCOME = "margin (positive: predicted trainable)", "outcome of training (positive: trained)"


def save_phase_diagram(results: Results, output: str | Path | None = None) -> Path:
    """Write the phase diagram of a sweep to a file and return its path: by default in the sweep, see `Picture`."""
    with rc_context({"text.usetex": False}):  # LaTeX may be missing
        return Picture(results, PICTURE, output).save(phase_diagram(results))


def phase_diagram(
    results: Results,
    *,
    title: bool = True,
    depth: int | None = None,
    width: float = 8.6,
    plane: tuple[str, str] | None = None,
    at: Mapping[str, float] | None = None,
) -> Figure:
    """Draw the results of a sweep over two of its axes, by default the first two free ones, or along the only one.

    Over (sigma_w, sigma_b), colour shows the horizon, or the margin if the statistic is not a horizon. Lines show the
    boundary at a few depths, or at ``depth``, with its 90 % interval, the critical line and mean field's critical line.
    Marks show the measured points. Figures over other axes are simpler. If no axis is free, the profiles of the
    replicas are drawn.

    Parameters
    ----------
    results:
        Those of the sweep.
    title:
        Whether the figure has a title that says what was measured.
    depth:
        The only depth to draw the boundary at. It is used where depth is no axis of the figure.
    width:
        In inches.
    plane:
        Names of the axes across and up; None: the first two free ones.
    at:
        Values of axes that are free, but not in the figure; those left out are in the middle of their ranges.

    Raises
    ------
    SpecError
        An axis of the figure is to have one value.
    """
    figure = Figure(figsize=(width, 0.6 * width), layout="constrained")
    axes = figure.add_subplot()
    phase = results.phase
    free = results.spec.free_axes
    at = dict(at or {}) | ({} if depth is None else {"depth": depth})
    if plane or len(free) >= 2:
        plane = plane or (free[0], free[1])
        at = _beside_plane(results.spec, plane, at)
        _draw_plane(axes, results, plane, at)
        if phase.has_estimates:
            note_calibration(axes, results)
            legend(figure, axes)
    elif free:
        _draw_line(axes, results, free[0])
    else:
        _draw_replicas(axes, results)
    if len(free) and not phase.has_estimates:
        note = "too few points for a boundary"
        axes.text(0.5, 0.98, note, transform=axes.transAxes, ha="center", va="top", style="italic")
    if title:
        axes.set_title(_title(results, at), fontsize=10, loc="left")
    elif plane != _USUAL_PLANE or {*at} - {"depth"}:
        axes.set_title(", ".join(_values(at)), loc="left")
    return figure


def _values(at: Mapping[str, float]) -> list[str]:
    """Return the values of axes as titles show them."""
    return [f"{without_mathtext(name)} = {value:g}" for name, value in at.items()]


def _beside_plane(spec: Experiment, plane: tuple[str, str], at: Mapping[str, float]) -> dict[str, float]:
    """Return where a plane cuts the other free axes: as given, or else in the middle, or of depth at its end.

    The depth is left out where it was not given and lines show a few depths.
    """
    if twice := [name for name in at if name in plane]:
        name, further = twice[0], twice[0] in spec.further_names
        raise SpecError(f"`{'at' if further else name}` must be left out where {name} is an axis of the figure")
    at = dict(at)
    others = [a for a in spec.free_axes if a not in (*plane, *at)]
    if plane != _USUAL_PLANE and "depth" in others:
        at["depth"] = spec.depth[1]
    return at | {name: spec.axes[name].middle for name in others if name != "depth"}


def _title(results: Results, at: Mapping[str, float]) -> str:
    """Return a title that says what was measured, by which statistic and calibration, and how many points there are."""
    spec = results.spec
    failed = int((results.points["status"] == "failed").sum())
    name = without_mathtext(Path(spec.dataset).name)
    values = {**{a: axis.low for a, axis in spec.axes.items() if not axis.is_free}, **at}
    parts = [
        ", ".join([name, *spec.network_words]),
        str(spec.statistic),
        *_values(values),
        f"{len(results.points)} points" + (f", {failed} failed" if failed else ""),
    ]
    return "\n".join([" · ".join(parts), *filter(None, [results.calibration_sentence])])


def note_calibration(axes: Axes, results: Results) -> None:
    """Add to the legend by how many trainings a sweep was calibrated, if it was."""
    if networks := results.calibration.networks:
        axes.plot([], [], " ", label=f"calibrated by {networks} trainings")


def _draw_plane(axes: Axes, results: Results, plane: tuple[str, str], at: dict[str, float]) -> None:
    """Draw a plane of two axes, or only its points if they are too few for a boundary."""
    spec, points, (x, y) = results.spec, _near(results, at), plane
    use_scales(axes, spec, x, y)
    if not results.phase.has_estimates:
        draw_points(axes, points, x, y)
    elif plane == _USUAL_PLANE:
        further = {name: at[name] for name in at if name in spec.further_names}
        depths = [int(at["depth"])] if "depth" in at else None
        boundary = results.boundary_at(depths, further)
        surface = _margin_surface(results, {"depth": spec.depth[1], **at})
        phase(points, boundary, surface, truth=results.phase.is_of_truth, ax=axes)
    else:
        _draw_over_others(axes, results, plane, at)
        draw_points(axes, points, x, y, truth=results.phase.is_of_truth)
    axes.set(xlabel=axis_label(x), ylabel=axis_label(y), xlim=spec.range_of(x), ylim=spec.range_of(y))


def _near(results: Results, at: Mapping[str, float]) -> pd.DataFrame:
    """Return the points within an eighth of the range of each axis that a plane cuts, on the scale of the axis.

    Depth does not count: white marks are predicted trainable at their own depth.
    """
    points, spec = results.points, results.spec
    for axis in (spec.axes[name] for name in at if name != "depth" and spec.axes[name].is_free):
        scale = np.log if axis.log else np.asarray
        distance = np.abs(scale(points[axis.name].to_numpy(float)) - scale(at[axis.name]))
        points = points[distance <= _NEAR * float(np.ptp(scale(np.array(axis.ends, dtype=float))))]
    return points


def _margin_surface(results: Results, at: Mapping[str, float]) -> pd.DataFrame:
    """Return the margin on a grid over (sigma_w, sigma_b), and the horizon if the margin is made of one."""
    spec, depth = results.spec, at["depth"]
    surface = regular_grid(spec, "sigma_w", "sigma_b", at)
    surface["margin"] = results.phase.mean(**{a: surface[a].to_numpy(float) for a in spec.axes})
    surface.attrs["label"] = f"{'outcome' if results.phase.is_of_truth else 'margin'} at depth {depth:g}"
    if spec.by_horizon and not results.phase.is_of_truth:
        surface["horizon"] = depth * calibrated_share(spec, results.calibration) * np.exp(surface["margin"])
        surface.attrs["label"] = f"{depth_name(spec.statistic)} (layers)"
    return surface


def _draw_over_others(axes: Axes, results: Results, plane: tuple[str, str], at: Mapping[str, float]) -> None:
    """Draw any other plane: the margin, its zero line and, over (sigma_w, depth), the critical lines."""
    phase, spec = results.phase, results.spec
    grid = regular_grid(spec, *plane, at)
    gx, gy = (grid[a].to_numpy(float).reshape(STEPS, STEPS) for a in plane)
    mean, deviation = (v.reshape(gx.shape) for v in phase.margin(**{a: grid[a].to_numpy(float) for a in spec.axes}))
    limit = float(np.abs(mean).max()) or 1.0
    draw_surface(axes, gx, gy, mean, Normalize(-limit, limit), _OUTCOME if phase.is_of_truth else _MARGIN)
    axes.contour(gx, gy, mean, levels=[0], colors="white", linewidths=1.8)
    for edge in (mean - NORMAL_90 * deviation, mean + NORMAL_90 * deviation):
        axes.contour(gx, gy, edge, levels=[0], colors="white", linewidths=0.8, linestyles="dotted")
    axes.plot([], [], color="white", lw=1.8, path_effects=WHITE_OUTLINE, label="boundary")
    axes.plot([], [], color="white", lw=0.8, ls="dotted", path_effects=WHITE_OUTLINE, label="its 90 % interval")
    if plane == ("sigma_w", "depth"):
        further = {name: at[name] for name in at if name in spec.further_names}
        line = phase.critical_line([at.get("sigma_b", spec.sigma_b[0])], further).iloc[0]
        axes.axvspan(line["lower"], line["upper"], color="black", alpha=0.25, lw=0)
        axes.axvline(line["sigma_w"], color="black", lw=2.4, label="critical line, measured")
        if spec.sigma_b[0] == spec.sigma_b[1]:
            draw_theory(axes, spec)


def _draw_line(axes: Axes, results: Results, x: str) -> None:
    """Draw the calibrated margin along the only free axis: measured points, and the model with its 90 % interval."""
    spec, phase = results.spec, results.phase
    measured = results.points[results.points["status"] != "failed"]
    axes.axhline(0, color="0.5", lw=0.8)
    if phase.has_estimates:
        grid = axis_values(spec, x, 200)
        mean, deviation = phase.margin(**{x: grid})
        low, high = mean - NORMAL_90 * deviation, mean + NORMAL_90 * deviation
        axes.fill_between(grid, low, high, color=COLOURS(0.3), alpha=0.3, lw=0, label="90 % interval")
        axes.plot(grid, mean, color=COLOURS(0.1), lw=2, label="estimate")
    censored = measured["margin_censored"].fillna(False).astype(bool)
    marks = ((measured[~censored], "o", "measured"), (measured[censored], "^", "at least"))
    for part, marker, label in marks if x != RATE else ():  # no margin depends on the learning rate
        if len(part):
            axes.plot(part[x], part["margin"] - results.calibration.shift, marker, ms=4, color="black", label=label)
    if x == "sigma_w":
        draw_theory(axes, spec)
    use_scales(axes, spec, x)
    axes.set(xlabel=axis_label(x), ylabel=_OUTCOME if spec.trains_over_rates else _MARGIN, xlim=spec.range_of(x))
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, frameon=False)


def draw_theory(axes: Axes, spec: Experiment) -> None:
    """Draw mean field's critical sigma_w at the smallest sigma_b of a sweep, if its architecture has a theory."""
    (critical,) = theory_line(spec, np.array(spec.sigma_b[:1]))
    if np.isfinite(critical):
        axes.axvline(critical, color=RED, ls=DASHED, label=r"mean field, $\chi_1 = 1$")


def _draw_replicas(axes: Axes, results: Results) -> None:
    """Draw the profiles of the replicas of a sweep whose axes are all fixed."""
    profiles = results.profiles
    for name, style in zip(HORIZONS.values(), ("-", ":", "--"), strict=True):
        for i, (_, rows) in enumerate(profiles.groupby("seed")):
            rows = rows[rows[name].notna()]  # only some layers are decoded
            if len(rows):
                colour, label = COLOURS(0.1 if style == "-" else 0.6), name if i == 0 else None
                axes.plot(rows["layer"], rows[name], style, color=colour, lw=1.5, label=label)
    axes.axhline(0, color="0.5", lw=0.8)
    axes.set(xlabel="layer", ylabel="1 perfect reconstruction, 0 the mean image")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, frameon=False)
