"""Phase diagrams: the boundary and the critical line over the plane of (sigma_w, sigma_b)."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure

from probes.point import NEEDED
from sweep.model.estimate import NORMAL_90, PhaseModel, theory_line
from sweep.plots.points import draw_profiles
from sweep.plots.style import (
    COLOURS,
    DASHED,
    LABELS,
    LINE_STYLES,
    PICTURE,
    RED,
    WHITE_OUTLINE,
    axes_or_new,
    check_picture,
    draw_points,
    draw_surface,
    legend,
    save_picture,
    without_mathtext,
)
from sweep.results.results import Results
from sweep.spec.spec import SweepSpec

if TYPE_CHECKING:
    from sweep.analysis.difference import Difference

__all__ = [
    "SURFACE_STEPS",
    "axis_range",
    "boundaries",
    "draw",
    "draw_theory",
    "figure_of_difference",
    "phase",
    "phase_diagram",
]


def draw(results: Results, output: str | Path | None = None) -> Path:
    """Draw the phase diagram into a file; its path. That of a sweep at a URI is copied there.

    Raises
    ------
    SpecError
        Another ending than PNG, PDF or SVG, or a file that cannot be written.
    StoreError
        The URI cannot be written.
    """
    pass

    path = Path(output) if output else results.path / PICTURE
    check_picture(path, "output")
    save_picture(phase_diagram(results), path, "output")
    if not output:
        results.home.publish(path)
    return path


SURFACE_STEPS = 81


def phase(
    points: pd.DataFrame, boundary: pd.DataFrame, surface: pd.DataFrame | None = None, *, ax: Axes | None = None
) -> Axes:
    """The phase diagram over (sigma_w, sigma_b), from the tables ``points`` and ``boundary``.

    ``surface`` is what colour shows, on a regular grid: ``sigma_w, sigma_b`` and ``horizon`` (on a log scale) or
    ``margin``, which ``surface.attrs["label"]`` names.
    """
    ax = axes_or_new(ax)
    if surface is not None:
        sides = [np.unique(surface[a]) for a in ("sigma_w", "sigma_b")]
        grid = surface.pivot(index="sigma_b", columns="sigma_w")
        x, y = np.meshgrid(*sides)
        if "horizon" in surface:
            shown = grid["horizon"].to_numpy()
            low, high = max(0.5, float(shown.min())), float(shown.max())
            draw_surface(ax, x, y, shown, LogNorm(low, max(high, low * 1.1)), "horizon (layers)")
        else:
            shown = grid["margin"].to_numpy()
            limit = float(np.abs(shown).max()) or 1.0
            draw_surface(ax, x, y, shown, Normalize(-limit, limit), surface.attrs.get("label", "margin"))
    named = False
    for line_style, (d, rows) in zip(LINE_STYLES, boundary.groupby("depth"), strict=False):
        for end in ("lower", "upper"):
            ax.fill_betweenx(rows["sigma_b"], rows[f"{end}_5"], rows[f"{end}_95"], color="white", alpha=0.25, lw=0)
        if rows[["lower", "upper"]].notna().any(axis=None):
            label: str | None = f"boundary, depth {d}"
            for end in ("lower", "upper"):
                ax.plot(
                    rows[end],
                    rows["sigma_b"],
                    color="white",
                    lw=1.4,
                    ls=line_style,
                    path_effects=WHITE_OUTLINE,
                    label=label,
                )
                label = None
            named = True
    if named:
        ax.fill_betweenx([], [], [], color="0.85", lw=0, label="its 90 % interval")
    if len(boundary):
        line = boundary[boundary["depth"] == boundary["depth"].max()]
        ax.fill_betweenx(line["sigma_b"], line["critical_5"], line["critical_95"], color="black", alpha=0.25, lw=0)
        ax.plot(line["critical"], line["sigma_b"], color="black", lw=2, label="critical line, measured")
        if line["theory"].notna().any():
            ax.plot(line["theory"], line["sigma_b"], color=RED, lw=1.6, ls=DASHED, label=r"mean field, $\chi_1 = 1$")
    draw_points(ax, points, "sigma_w", "sigma_b")
    ends = surface if surface is not None else points
    ax.set(xlabel=LABELS["sigma_w"], ylabel=LABELS["sigma_b"])
    if len(ends):
        ax.set(xlim=(ends["sigma_w"].min(), ends["sigma_w"].max()), ylim=_span_of(ends["sigma_b"]))
    return ax


def _span_of(values: pd.Series) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def boundaries(one: pd.DataFrame, other: pd.DataFrame, names: Sequence[str], *, ax: Axes | None = None) -> Axes:
    """Two ``boundary`` tables of one depth each over each other, with their 90 % intervals.

    Of sweeps at one sigma_b, each boundary is a bar along sigma_w.
    """
    ax = axes_or_new(ax)
    flat = all(t["sigma_b"].nunique() <= 1 for t in (one, other))
    for i, (rows, name, colour, line_style) in enumerate(
        zip((one, other), names, ("black", RED), ("-", DASHED), strict=True)
    ):
        label: str | None = without_mathtext(name)
        for end in ("lower", "upper"):
            if flat:
                y = [0.0 - i] * len(rows)
                error = [(rows[end] - rows[f"{end}_5"]).clip(lower=0), (rows[f"{end}_95"] - rows[end]).clip(lower=0)]
                ax.errorbar(rows[end], y, xerr=error, fmt="o", ms=4, color=colour, capsize=3, label=label)
            else:
                ax.fill_betweenx(rows["sigma_b"], rows[f"{end}_5"], rows[f"{end}_95"], color=colour, alpha=0.2, lw=0)
                ax.plot(rows[end], rows["sigma_b"], color=colour, ls=line_style, lw=1.5, label=label)
            label = None
    ax.set(xlabel=LABELS["sigma_w"])
    if flat:
        ax.set(yticks=[], ylim=(-1.6, 0.6))
    else:
        ax.set(ylabel=LABELS["sigma_b"])
    return ax


def phase_diagram(results: Results, *, title: bool = True, depth: int | None = None, width: float = 8.6) -> Figure:
    """What a sweep found, over the two free axes that say most (one, if only one is free).

    Colour: the horizon, or the margin where the statistic is no horizon. Lines: the boundary for a few depths (or for
    ``depth``) with 90 % intervals, the critical line, mean field's critical line. Marks: the measured points.
    """
    figure = Figure(figsize=(width, 0.6 * width), layout="constrained")
    axes = figure.add_subplot()
    points, phase = results.points, results.phase
    free = results.spec.free_axes
    measured = points[points["status"] != "failed"]
    if len(free) >= 2:
        x, y = free[:2]
        if phase.enough:
            if (x, y) == ("sigma_w", "sigma_b"):
                _plane(figure, axes, results, x, y, depth)
            else:
                _depth_plane(figure, axes, results, x, y)
                draw_points(axes, points, x, y)
            legend(figure, axes)
        else:
            draw_points(axes, points, x, y)
        axes.set(xlabel=LABELS[x], ylabel=LABELS[y], xlim=getattr(results.spec, x), ylim=getattr(results.spec, y))
    elif free:
        _line(axes, measured, phase, free[0])
    else:
        draw_profiles(axes, results)
    if len(free) and not phase.enough:
        axes.text(
            0.5,
            0.98,
            "too few points for a boundary",
            transform=axes.transAxes,
            ha="center",
            va="top",
            style="italic",
        )
    if title:
        axes.set_title(_title(results), fontsize=10, loc="left")
    return figure


def _title(results: Results) -> str:
    spec = results.spec
    failed = int((results.points["status"] == "failed").sum())
    name = without_mathtext(Path(spec.dataset).name)
    fixed = [f"{a} = {getattr(spec, a)[0]:g}" for a in ("sigma_w", "sigma_b", "depth") if a not in spec.free_axes]
    parts = [
        f"{name}, {spec.architecture}, {spec.activation}",
        str(spec.statistic),
        *fixed,
        f"{len(results.points)} points" + (f", {failed} failed" if failed else ""),
    ]
    return " · ".join(parts)


def axis_range(spec: SweepSpec, axis: str) -> tuple[float, float]:
    low, high = getattr(spec, axis)
    return float(low), float(high)


def _grid(results: Results, x: str, y: str) -> tuple[np.ndarray, np.ndarray]:
    spans = [np.linspace(*axis_range(results.spec, a), SURFACE_STEPS) for a in (x, y)]
    gx, gy = np.meshgrid(*spans)
    return gx, gy


def _plane(figure: Figure, axes: Axes, results: Results, x: str, y: str, depth: int | None = None) -> None:
    """(sigma_w, sigma_b): colour, boundaries at a few depths or at one, critical lines."""
    spec = results.spec
    chosen = spec.depth[1] if depth is None else depth
    w, b = _grid(results, x, y)
    margin = results.phase.mean(w.ravel(), b.ravel(), float(chosen))
    surface = pd.DataFrame({"sigma_w": w.ravel(), "sigma_b": b.ravel(), "margin": margin})
    surface.attrs["label"] = f"margin at depth {chosen}"
    if spec.by_horizon:
        surface["horizon"] = chosen * NEEDED[str(spec.statistic)] * np.exp(margin)
    phase(results.points, results.boundary if depth is None else results.boundary_at([depth]), surface, ax=axes)


def _depth_plane(figure: Figure, axes: Axes, results: Results, x: str, y: str) -> None:
    """A plane with the depth as its second axis: the margin, its zero line, the critical lines."""
    phase, spec = results.phase, results.spec
    gx, gy = _grid(results, x, y)
    fixed = {a: getattr(spec, a)[0] for a in ("sigma_w", "sigma_b")} | {x: gx.ravel(), "depth": gy.ravel()}
    mean, deviation = (v.reshape(gx.shape) for v in phase.margin(**fixed))
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


def _line(axes: Axes, measured: pd.DataFrame, phase: PhaseModel, x: str) -> None:
    """One free axis: the margin along it."""
    spec = phase.spec
    axes.axhline(0, color="0.5", lw=0.8)
    if phase.enough:
        grid = np.linspace(*axis_range(spec, x), 200)
        fixed = {a: getattr(spec, a)[0] for a in ("sigma_w", "sigma_b", "depth")} | {x: grid}
        mean, deviation = phase.margin(**fixed)
        axes.fill_between(
            grid,
            mean - NORMAL_90 * deviation,
            mean + NORMAL_90 * deviation,
            color=COLOURS(0.3),
            alpha=0.3,
            lw=0,
            label="90 % interval",
        )
        axes.plot(grid, mean, color=COLOURS(0.1), lw=2, label="estimate")
    censored = measured["margin_censored"].fillna(False).astype(bool)
    for part, marker, label in (
        (measured[~censored], "o", "measured"),
        (measured[censored], "^", "at least"),
    ):
        if len(part):
            axes.plot(part[x], part["margin"], marker, ms=4, color="black", label=label)
    if x == "sigma_w":
        draw_theory(axes, spec)
    axes.set(xlabel=LABELS[x], ylabel="margin (positive: predicted trainable)", xlim=getattr(spec, x))
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, frameon=False)


def draw_theory(axes: Axes, spec: SweepSpec) -> None:
    """Mean field's critical sigma_w at the one sigma_b of a sweep, if it has a theory."""
    (critical,) = theory_line(spec, np.array(spec.sigma_b[:1]))
    if np.isfinite(critical):
        axes.axvline(critical, color=RED, ls=(0, (4, 2)), label=r"mean field, $\chi_1 = 1$")


def figure_of_difference(one: Results, other: Results, found: "Difference") -> Figure:
    """Both boundaries, a panel for each depth that was compared."""
    depths = sorted(int(d) for d in found.places["depth"].unique()) or one.phase.depths[-1:]
    short = [name.rstrip("/").rpartition("/")[2] for name in found.names]
    names = short if short[0] != short[1] else found.names
    made = Figure(figsize=(7.2, 3.2), layout="constrained")
    grid = made.subplots(1, len(depths), squeeze=False, sharex=True, sharey=True)[0]
    for ax, depth in zip(grid, depths, strict=True):
        tables = [r.phase.boundary([depth]) for r in (one, other)]
        boundaries(tables[0], tables[1], names, ax=ax)
        ax.set_title(f"depth {depth}")
        ax.label_outer()
    legend(made, grid[0])
    return made
