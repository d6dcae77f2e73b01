"""The phase diagram of a sweep, whatever its free axes are."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from probes.definition import HORIZONS, depth_name
from sweep.model.calibration import calibrated_share
from sweep.model.estimate import NORMAL_90, theory_line
from sweep.plots.marks import draw_points, draw_surface
from sweep.plots.planes import STEPS, axis_range, phase, regular_grid
from sweep.plots.saving import Picture
from sweep.plots.style import COLOURS, DASHED, LABELS, RED, WHITE_OUTLINE, legend, without_mathtext
from sweep.results.results import Results
from sweep.spec.experiment import Experiment
from sweep.spec.options import AXES

PICTURE = "phase_diagram.png"


def save_phase_diagram(results: Results, output: str | Path | None = None) -> Path:
    """Write the phase diagram of a sweep to a file and return its path: by default in the sweep, see `Picture`."""
    with rc_context({"text.usetex": False}):  # LaTeX may be missing
        return Picture(results, PICTURE, output).save(phase_diagram(results))


def phase_diagram(results: Results, *, title: bool = True, depth: int | None = None, width: float = 8.6) -> Figure:
    """Draw the results of a sweep over its first two free axes, or along the only one.

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
        The only depth to draw the boundary at. It is used over (sigma_w, sigma_b) only.
    width:
        In inches.
    """
    figure = Figure(figsize=(width, 0.6 * width), layout="constrained")
    axes = figure.add_subplot()
    phase = results.phase
    free = results.spec.free_axes
    if len(free) >= 2:
        _draw_plane(axes, results, depth)
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
        axes.set_title(_title(results), fontsize=10, loc="left")
    return figure


def _title(results: Results) -> str:
    """Return a title that says what was measured, by which statistic and calibration, and how many points there are."""
    spec = results.spec
    failed = int((results.points["status"] == "failed").sum())
    name = without_mathtext(Path(spec.dataset).name)
    fixed = [f"{a} = {getattr(spec, a)[0]:g}" for a in AXES if a not in spec.free_axes]
    parts = [
        ", ".join([name, *spec.network_words]),
        str(spec.statistic),
        *fixed,
        f"{len(results.points)} points" + (f", {failed} failed" if failed else ""),
    ]
    return "\n".join([" · ".join(parts), *filter(None, [results.calibration_sentence])])


def note_calibration(axes: Axes, results: Results) -> None:
    """Add to the legend by how many trainings a sweep was calibrated, if it was."""
    if networks := results.calibration.networks:
        axes.plot([], [], " ", label=f"calibrated by {networks} trainings")


def _draw_plane(axes: Axes, results: Results, depth: int | None) -> None:
    """Draw the plane of the first two free axes, or only its points if they are too few for a boundary."""
    spec, points = results.spec, results.points
    x, y = spec.free_axes[:2]
    if not results.phase.has_estimates:
        draw_points(axes, points, x, y)
    elif (x, y) == ("sigma_w", "sigma_b"):
        boundary = results.boundary if depth is None else results.boundary_at([depth])
        phase(points, boundary, _margin_surface(results, spec.depth[1] if depth is None else depth), ax=axes)
    else:
        _draw_over_depth(axes, results, x, y)
        draw_points(axes, points, x, y)
    axes.set(xlabel=LABELS[x], ylabel=LABELS[y], xlim=getattr(spec, x), ylim=getattr(spec, y))


def _margin_surface(results: Results, depth: int) -> pd.DataFrame:
    """Return the margin at a depth on a grid over (sigma_w, sigma_b), and the horizon if the margin is made of one."""
    spec = results.spec
    surface = regular_grid(spec, "sigma_w", "sigma_b", depth=float(depth))
    surface["margin"] = results.phase.mean(surface["sigma_w"].to_numpy(), surface["sigma_b"].to_numpy(), float(depth))
    surface.attrs["label"] = f"margin at depth {depth}"
    if spec.by_horizon:
        surface["horizon"] = depth * calibrated_share(spec, results.calibration) * np.exp(surface["margin"])
        surface.attrs["label"] = f"{depth_name(spec.statistic)} (layers)"
    return surface


def _draw_over_depth(axes: Axes, results: Results, x: str, y: str) -> None:
    """Draw a plane whose second axis is the depth: the margin, its zero line and, over sigma_w, the critical lines."""
    phase, spec = results.phase, results.spec
    grid = regular_grid(spec, x, y)
    gx, gy = (grid[a].to_numpy().reshape(STEPS, STEPS) for a in (x, y))
    mean, deviation = (v.reshape(gx.shape) for v in phase.margin(**{a: grid[a].to_numpy() for a in AXES}))
    limit = float(np.abs(mean).max()) or 1.0
    draw_surface(axes, gx, gy, mean, Normalize(-limit, limit), "margin (positive: predicted trainable)")
    axes.contour(gx, gy, mean, levels=[0], colors="white", linewidths=1.8)
    for edge in (mean - NORMAL_90 * deviation, mean + NORMAL_90 * deviation):
        axes.contour(gx, gy, edge, levels=[0], colors="white", linewidths=0.8, linestyles="dotted")
    axes.plot([], [], color="white", lw=1.8, path_effects=WHITE_OUTLINE, label="boundary")
    axes.plot([], [], color="white", lw=0.8, ls="dotted", path_effects=WHITE_OUTLINE, label="its 90 % interval")
    if x == "sigma_w":
        line = phase.critical_line().iloc[0]
        axes.axvspan(line["lower"], line["upper"], color="black", alpha=0.25, lw=0)
        axes.axvline(line["sigma_w"], color="black", lw=2.4, label="critical line, measured")
        draw_theory(axes, spec)


def _draw_line(axes: Axes, results: Results, x: str) -> None:
    """Draw the calibrated margin along the only free axis: measured points, and the model with its 90 % interval."""
    spec, phase = results.spec, results.phase
    measured = results.points[results.points["status"] != "failed"]
    axes.axhline(0, color="0.5", lw=0.8)
    if phase.has_estimates:
        grid = np.linspace(*axis_range(spec, x), 200)
        mean, deviation = phase.margin(**{a: getattr(spec, a)[0] for a in AXES} | {x: grid})
        low, high = mean - NORMAL_90 * deviation, mean + NORMAL_90 * deviation
        axes.fill_between(grid, low, high, color=COLOURS(0.3), alpha=0.3, lw=0, label="90 % interval")
        axes.plot(grid, mean, color=COLOURS(0.1), lw=2, label="estimate")
    censored = measured["margin_censored"].fillna(False).astype(bool)
    for part, marker, label in ((measured[~censored], "o", "measured"), (measured[censored], "^", "at least")):
        if len(part):
            axes.plot(part[x], part["margin"] - results.calibration.shift, marker, ms=4, color="black", label=label)
    if x == "sigma_w":
        draw_theory(axes, spec)
    axes.set(xlabel=LABELS[x], ylabel="margin (positive: predicted trainable)", xlim=getattr(spec, x))
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
