"""The figure of `sweep compare`: prediction against training."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from probes.meanfield import applies_to, mean_field
from sweep.model.estimate import theory_line
from sweep.plots.planes import SURFACE_STEPS, axis_range, draw_theory
from sweep.plots.style import COLOURS, LABELS, RED, without_mathtext
from sweep.plots.trained import THEORY_DEPTHS
from sweep.spec.spec import SweepSpec

if TYPE_CHECKING:
    from sweep.analysis.compare import Comparison

__all__ = ["comparison_figure"]


def comparison_figure(found: "Comparison") -> Figure:
    """Truth as colour, prediction as contour, theory as line, over the axes of the sweep that was trained.

    Planes of (sigma_w, sigma_b) at a few depths; of (sigma_w^2, depth), as in the paper, where sigma_b is fixed; points
    where only one axis is free.
    """
    spec, points = found.spec, found.points
    free = set(spec.free_axes)
    if {"sigma_w", "sigma_b"} <= free:
        depths = [int(d) for d in np.unique(np.geomspace(*spec.depth, 4).round())]
        figure = Figure(figsize=(9.6, 7.6) if len(depths) > 1 else (7.4, 5.2), layout="constrained")
        grid = figure.subplots(2 if len(depths) > 2 else 1, 2 if len(depths) > 1 else 1, squeeze=False, sharex=True)
        for axes in grid.flat[len(depths) :]:
            axes.axis("off")
        w, b = np.meshgrid(*[np.linspace(*axis_range(spec, a), SURFACE_STEPS) for a in ("sigma_w", "sigma_b")])
        near = np.abs(np.log(points["depth"].to_numpy()[:, None] / np.array(depths))).argmin(1)
        panels: list[tuple[Any, ...]] = [
            (axes, w, b, {"sigma_w": w, "sigma_b": b, "depth": np.full(w.shape, float(d))}, points[near == i], d)
            for i, (axes, d) in enumerate(zip(grid.flat, depths, strict=False))
        ]
    elif {"sigma_w", "depth"} <= free:
        figure = Figure(figsize=(7.8, 5.6), layout="constrained")
        w, d = np.meshgrid(*[np.linspace(*axis_range(spec, a), SURFACE_STEPS) for a in ("sigma_w", "depth")])
        places = {"sigma_w": w, "depth": d, "sigma_b": np.full(w.shape, spec.sigma_b[0])}
        panels = [(figure.add_subplot(), w**2, d, places, points, None)]
    else:
        return _comparison_line(found)
    for axes, x, y, places, near_points, depth in panels:
        colours = axes.pcolormesh(x, y, found.accuracy(places), cmap=COLOURS, vmin=0, vmax=1, shading="gouraud")
        axes.contour(x, y, found.truth(places), [0], colors="white", linewidths=1.4)
        axes.contour(x, y, found.prediction(places), [0], colors="black", linewidths=2.2)
        over_depth = depth is None
        at = near_points["sigma_w"] ** 2 if over_depth else near_points["sigma_w"]
        good = near_points["trainable"].to_numpy(bool)
        axes.scatter(at, near_points["depth" if over_depth else "sigma_b"], s=14, zorder=3, lw=0.7)
        axes.collections[-1].set_facecolors(np.where(good[:, None], 1.0, 0.0) * np.ones((1, 3)))
        axes.collections[-1].set_edgecolors(np.where(good[:, None], 0.0, 1.0) * np.ones((1, 3)))
        axes.set(xlim=(x.min(), x.max()), ylim=(y.min(), y.max()))
        if over_depth:
            axes.set(xlabel=r"weight variance $\sigma_w^2$", ylabel=LABELS["depth"])
            _theory_depths(axes, spec)
        else:
            axes.set(title=f"depth {depth}", xlabel=LABELS["sigma_w"], ylabel=LABELS["sigma_b"])
            axes.plot(theory_line(spec, y[:, 0]), y[:, 0], color=RED, ls=(0, (4, 2)))
    figure.colorbar(colours, ax=[p[0] for p in panels], label="accuracy after training", pad=0.02)
    handles = [
        Line2D([], [], color="black", lw=2.2, label=f"predicted: {found.default}"),
        Line2D([], [], color="0.7", lw=1.4, label=f"trained to {found.info['level']:.2f}"),
        Line2D([], [], color="white", mec="black", marker="o", ls="", ms=5, label="trained"),
        Line2D([], [], color="black", mec="white", marker="o", ls="", ms=5, label="not trained"),
        *_theory_handles(spec, over_depth=panels[0][5] is None),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    figure.suptitle(_comparison_title(found), fontsize=10, x=0.01, ha="left")
    return figure


def _comparison_title(found: "Comparison") -> str:
    spec = found.spec
    fixed = [f"{a} = {getattr(spec, a)[0]:g}" for a in ("sigma_w", "sigma_b", "depth") if a not in spec.free_axes]
    parts = [without_mathtext(Path(spec.dataset).name), spec.architecture, spec.activation, *fixed]
    auc = found.table["auc"].get(found.default, float("nan"))
    return " · ".join([*parts, f"{found.info['points']} networks trained", f"AUC {auc:.3f}"])


def _theory_depths(axes: Axes, spec: SweepSpec) -> None:
    """The depths 6 xi_c and xi_c of mean field, over sigma_w^2."""
    if not applies_to(spec.architecture):
        return
    sigma_w = np.linspace(*axis_range(spec, "sigma_w"), 301)
    xi = np.array([mean_field(w, spec.sigma_b[0], spec.activation).xi_c for w in sigma_w])
    limits = axes.get_ylim()
    for factor, style in THEORY_DEPTHS:
        axes.plot(sigma_w**2, factor * np.minimum(xi, 1e6), color=RED, ls=style, lw=1.6)
    axes.set_ylim(limits)


def _theory_handles(spec: SweepSpec, *, over_depth: bool) -> list[Line2D]:
    if not applies_to(spec.architecture):
        return []
    if not over_depth:
        return [Line2D([], [], color=RED, ls=(0, (4, 2)), label=r"mean field, $\chi_1 = 1$")]
    labels = (r"mean field, $6\,\xi_c$", r"mean field, $\xi_c$")
    return [
        Line2D([], [], color=RED, ls=style, label=label)
        for (_, style), label in zip(THEORY_DEPTHS, labels, strict=True)
    ]


def _comparison_line(found: "Comparison") -> Figure:
    """One free axis: accuracy and score of every point along it."""
    figure = Figure(figsize=(7.4, 5.6), layout="constrained")
    (axis,) = found.spec.free_axes
    above, below = figure.subplots(2, 1, sharex=True)
    x = found.points[axis]
    above.plot(x, found.points["accuracy"], "o", ms=4, color=COLOURS(0.1))
    above.axhline(found.info["level"], color="0.5", lw=0.8)
    above.set(ylabel="accuracy after training", ylim=(0, 1))
    below.plot(x, found.points[f"score_{found.default}"], "o", ms=4, color="black")
    below.axhline(0, color="0.5", lw=0.8)
    below.set(xlabel=LABELS[axis], ylabel=f"score of {found.default}")
    if axis == "sigma_w":
        for axes in (above, below):
            draw_theory(axes, found.spec)
    figure.suptitle(_comparison_title(found), fontsize=10, x=0.01, ha="left")
    return figure
