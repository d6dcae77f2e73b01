"""Planes of two axes of a sweep: regular grids over them, and the phase diagram over (sigma_w, sigma_b)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, Normalize

from sweep.plots.marks import draw_points, draw_surface
from sweep.plots.style import DASHED, LABELS, LINE_STYLES, RED, WHITE_OUTLINE, axes_or_new, use_plain_ticks
from sweep.spec.design import evenly
from sweep.spec.space import Space

STEPS = 81  # values along each side of a grid


def axis_values(spec: Space, axis: str, count: int = STEPS) -> np.ndarray:
    """Return values of an axis that are evenly spaced on its scale, from one end of its range to the other."""
    return evenly(spec.axes[axis], count)


def regular_grid(spec: Space, x: str, y: str, fixed: Mapping[str, float] | None = None) -> pd.DataFrame:
    """Return a regular grid over two axes of a sweep, with the others as in ``fixed``, or else in `Space.place_at`."""
    gx, gy = np.meshgrid(*[axis_values(spec, a) for a in (x, y)])
    return pd.DataFrame({**spec.place_at(**(fixed or {})), x: gx.ravel(), y: gy.ravel()})


def use_scales(ax: Axes, spec: Space, x: str | None = None, y: str | None = None) -> None:
    """Let matplotlib's axes have the scales of axes of a sweep."""
    for name, set_scale, axis in ((x, ax.set_xscale, ax.xaxis), (y, ax.set_yscale, ax.yaxis)):
        if name is not None and spec.axes[name].log:
            set_scale("log")
            use_plain_ticks(axis)


def phase(
    points: pd.DataFrame,
    boundary: pd.DataFrame,
    surface: pd.DataFrame | None = None,
    *,
    truth: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Draw the phase diagram over (sigma_w, sigma_b).

    Parameters
    ----------
    points, boundary:
        Tables of a sweep. The critical line is that of the largest depth in ``boundary``.
    surface:
        The values that are drawn as colour, on a regular grid: the columns ``sigma_w``, ``sigma_b`` and ``horizon`` (in
        layers, on a logarithmic scale) or ``margin``, with ``surface.attrs["label"]`` as the label of the colour bar.
        None: no colour.
    truth:
        Whether marks show the outcomes of training, in place of what is predicted.
    ax:
        The axes to draw on; by default, those of a new figure.
    """
    ax = axes_or_new(ax)
    if surface is not None:
        _draw_margin(ax, surface)
    _draw_boundaries(ax, boundary)
    if len(boundary):
        _draw_critical_line(ax, boundary[boundary["depth"] == boundary["depth"].max()])
    draw_points(ax, points, "sigma_w", "sigma_b", truth=truth)
    ends = surface if surface is not None else points
    ax.set(xlabel=LABELS["sigma_w"], ylabel=LABELS["sigma_b"])
    if len(ends):
        ax.set(xlim=(ends["sigma_w"].min(), ends["sigma_w"].max()), ylim=_span_of(ends["sigma_b"]))
    return ax


def _draw_margin(ax: Axes, surface: pd.DataFrame) -> None:
    """Draw the horizon as colour, or the margin if there is no horizon."""
    grid = surface.pivot(index="sigma_b", columns="sigma_w")
    x, y = np.meshgrid(*[np.unique(surface[a]) for a in ("sigma_w", "sigma_b")])
    if "horizon" in surface:
        shown = grid["horizon"].to_numpy()
        low, high = max(0.5, float(shown.min())), float(shown.max())
        label = surface.attrs.get("label", "horizon (layers)")
        draw_surface(ax, x, y, shown, LogNorm(low, max(high, low * 1.1)), label)
    else:
        shown = grid["margin"].to_numpy()
        limit = float(np.abs(shown).max()) or 1.0
        draw_surface(ax, x, y, shown, Normalize(-limit, limit), surface.attrs.get("label", "margin"))


def _draw_boundaries(ax: Axes, boundary: pd.DataFrame) -> None:
    """Draw the boundary at each depth, with its 90 % interval."""
    named = False
    for line_style, (d, rows) in zip(LINE_STYLES, boundary.groupby("depth"), strict=False):
        for end in ("lower", "upper"):
            ax.fill_betweenx(rows["sigma_b"], rows[f"{end}_5"], rows[f"{end}_95"], color="white", alpha=0.25, lw=0)
        if rows[["lower", "upper"]].notna().any(axis=None):
            options: dict[str, Any] = {"color": "white", "lw": 1.4, "ls": line_style, "path_effects": WHITE_OUTLINE}
            ax.plot(rows["lower"], rows["sigma_b"], label=f"boundary, depth {d}", **options)
            ax.plot(rows["upper"], rows["sigma_b"], **options)
            named = True
    if named:
        ax.fill_betweenx([], [], [], color="0.85", lw=0, label="its 90 % interval")


def _draw_critical_line(ax: Axes, line: pd.DataFrame) -> None:
    """Draw the measured critical line with its 90 % interval, and that of mean field theory."""
    ax.fill_betweenx(line["sigma_b"], line["critical_5"], line["critical_95"], color="black", alpha=0.25, lw=0)
    ax.plot(line["critical"], line["sigma_b"], color="black", lw=2, label="critical line, measured")
    if line["theory"].notna().any():
        ax.plot(line["theory"], line["sigma_b"], color=RED, lw=1.6, ls=DASHED, label=r"mean field, $\chi_1 = 1$")


def _span_of(values: pd.Series) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    return (low, high) if low < high else (low - 0.5, high + 0.5)
