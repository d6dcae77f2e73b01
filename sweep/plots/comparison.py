"""Figures of prediction against training: the one of `sweep compare`, and the kind ``truth`` of `sweep plot`."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from probes.meanfield import mean_field
from sweep.model.estimate import theory_line
from sweep.plots.diagram import draw_theory
from sweep.plots.planes import axis_values, regular_grid, use_scales
from sweep.plots.style import COLOURS, DASHED, RED, axis_label, legend, without_mathtext
from sweep.plots.trained import ACCURACY, draw_theory_depths, truth
from sweep.spec.network import Network
from sweep.spec.space import Space

if TYPE_CHECKING:
    from sweep.analysis.compare import Comparison

# By the names accuracy, truth and prediction: functions that give the value at each place.
Surfaces = Mapping[str, Callable[[dict[str, np.ndarray]], np.ndarray]]
_WIDTH = 7.2  # inches


def comparison_figure(comparison: "Comparison") -> Figure:
    """Draw accuracy as colour, both boundaries and theory as lines, over the free axes of the trained sweep.

    Where sigma_w and sigma_b are free, the figure has a plane of them for each of a few depths. Where sigma_b is fixed,
    it has one plane of (sigma_w^2, depth), as in the paper. Otherwise it shows the points along one axis.
    """
    spec, points = comparison.spec, comparison.points
    free = set(spec.free_axes)
    surfaces = {n: getattr(comparison, n) for n in ("accuracy", "truth", "prediction")}
    if {"sigma_w", "sigma_b"} <= free:
        figure, panels = truth_planes(spec, points, surfaces, few_depths(spec), _WIDTH)
        b = axis_values(spec, "sigma_b", 61)
        w = theory_line(spec, b)
        if np.isfinite(w).any():
            for ax in panels:
                ax.plot(w, b, color=RED, ls=DASHED, label=r"mean field, $\chi_1 = 1$")
    elif {"sigma_w", "depth"} <= free:
        figure, panels = truth_over(spec, points, surfaces, "variance", "depth", _WIDTH)
        sigma_w = axis_values(spec, "sigma_w", 301)
        limits = panels[0].get_ylim()
        draw_theory_depths(panels[0], pd.Series(sigma_w), xi_c_over(spec, sigma_w, spec.sigma_b[0]))
        panels[0].set_ylim(limits)
    else:
        return _comparison_line(comparison)
    legend(figure, panels[0])
    figure.suptitle(_comparison_title(comparison), fontsize=10, x=0.01, ha="left")
    return figure


def few_depths(spec: Space) -> list[int]:
    """Return up to four depths of a sweep, spaced evenly on a logarithmic scale."""
    return [int(d) for d in np.unique(np.geomspace(*spec.depth, 4).round())]


def xi_c_over(spec: Network, sigma_w: np.ndarray, sigma_b: float) -> pd.Series:
    """Return mean field's depth scale xi_c (in layers) at each sigma_w; NaN where the architecture has no theory."""
    known = spec.has_theory
    return pd.Series([mean_field(w, sigma_b, spec.activation).xi_c if known else np.nan for w in sigma_w])


def truth_planes(
    spec: Space,
    trained: pd.DataFrame,
    surfaces: Surfaces,
    depths: Sequence[int],
    width: float,
    at: Mapping[str, float] | None = None,
) -> tuple[Figure, list[Axes]]:
    """Draw `truth` over (sigma_w, sigma_b), with a panel for each depth; return the figure and its panels.

    Each trained point is drawn in the panel of the depth that is nearest to it on a logarithmic scale. If there is only
    one depth, points that differ from it by more than a factor of 1.25 are left out. ``at`` are values of further axes.
    """
    several = len(depths) > 1
    row_count, column_count = (-(-len(depths) // 2), 2) if several else (1, 1)
    figure = Figure(figsize=(width, (0.85 if row_count > 1 else 0.7) * width), layout="constrained")
    grid = figure.subplots(row_count, column_count, squeeze=False, sharex=True, sharey=True)
    panels = list(grid.flat)[: len(depths)]
    for ax in grid.flat[len(depths) :]:
        ax.axis("off")
    log_ratio = np.abs(np.log(trained["depth"].to_numpy()[:, None] / np.array(depths, dtype=float)))
    nearest = np.where(several | (log_ratio.min(1) < np.log(1.25)), log_ratio.argmin(1), -1)
    for i, (ax, depth) in enumerate(zip(panels, depths, strict=True)):
        surface = _evaluated(regular_grid(spec, "sigma_w", "sigma_b", {**(at or {}), "depth": float(depth)}), surfaces)
        truth(trained[nearest == i], surface, bar=not several, ax=ax)
        if several:
            ax.set_title(f"depth {depth}")
            ax.label_outer()
    if several:
        figure.colorbar(panels[0].collections[0], ax=list(grid.flat), label=ACCURACY, aspect=40)
    return figure, panels


def truth_over(
    spec: Space,
    trained: pd.DataFrame,
    surfaces: Surfaces,
    x: str,
    y: str,
    width: float,
    at: Mapping[str, float] | None = None,
) -> tuple[Figure, list[Axes]]:
    """Draw `truth` over ``x`` (``sigma_w``, or its square, ``variance``) and ``y``; return the figure and its panel.

    ``y`` is an axis of the sweep; ``at`` are values of the others.
    """
    figure = Figure(figsize=(width, 0.7 * width), layout="constrained")
    ax = figure.add_subplot()
    frames = _evaluated(regular_grid(spec, "sigma_w", y, at), surfaces), trained
    surface, points = (frame.assign(variance=frame["sigma_w"] ** 2) for frame in frames)
    use_scales(ax, spec, y=y)
    truth(points, surface[[x, y, *surfaces]], x=x, y=y, ax=ax)
    return figure, [ax]


def _evaluated(grid: pd.DataFrame, surfaces: Surfaces) -> pd.DataFrame:
    """Return the grid with a further column for each surface: its values at the places of the grid."""
    places = {str(a): grid[a].to_numpy(float) for a in grid}
    return grid.assign(**{name: surface(places) for name, surface in surfaces.items()})


def _comparison_title(comparison: "Comparison") -> str:
    """Return a title that says what was trained and how well it was predicted."""
    spec = comparison.spec
    fixed = [f"{without_mathtext(a)} = {axis.low:g}" for a, axis in spec.axes.items() if not axis.is_free]
    parts = [without_mathtext(Path(spec.dataset).name), *spec.network_words, *fixed]
    auc = comparison.table["auc"].get(comparison.default, float("nan"))
    return " · ".join(
        [*parts, f"{comparison.info['points']} networks trained", f"AUC of {comparison.default} {auc:.3f}"]
    )


def _comparison_line(comparison: "Comparison") -> Figure:
    """Draw the accuracy and the score of every point along the last free axis, one above the other."""
    figure = Figure(figsize=(7.4, 5.6), layout="constrained")
    axis = comparison.spec.free_axes[-1]
    above, below = figure.subplots(2, 1, sharex=True)
    x = comparison.points[axis]
    above.plot(x, comparison.points["accuracy"], "o", ms=4, color=COLOURS(0.1))
    above.axhline(comparison.info["level"], color="0.5", lw=0.8)
    above.set(ylabel=ACCURACY, ylim=(0, 1))
    below.plot(x, comparison.points[f"score_{comparison.default}"], "o", ms=4, color="black")
    below.axhline(comparison.calibration.shift, color="0.5", lw=0.8)
    below.set(xlabel=axis_label(axis), ylabel=f"score of {comparison.default}")
    if axis == "sigma_w":
        for axes in (above, below):
            draw_theory(axes, comparison.spec)
    figure.suptitle(_comparison_title(comparison), fontsize=10, x=0.01, ha="left")
    return figure
