"""Figures of measured points: horizons against depth, profiles over layers, the history of the search."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import colormaps, rcParams
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.ticker import FuncFormatter, MaxNLocator

from probes.definition import CURRENT_DEFINITION, DEPTHS, depth_name
from sweep.plots.marks import subsample
from sweep.plots.style import (
    DASHED,
    LABELS,
    LINE_STYLES,
    PALETTE,
    RED,
    VALUE_LABELS,
    axes_or_new,
    use_plain_ticks,
)
from sweep.spec.columns import keys_in


def depth(
    points: pd.DataFrame,
    *,
    statistic: str | None = None,
    boundary: pd.DataFrame | None = None,
    share: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw the trainable depth of each network, or a horizon, against its depth, with the line that it has to reach.

    Parameters
    ----------
    points:
        The table of a sweep. If it has more than 2000 networks with a horizon, 2000 of them are drawn.
    statistic:
        The column with it, in layers: one of `probes.definition.DEPTHS`; by default, the first of them that was
        measured.
    boundary:
        The table of the sweep. If given, colour is sigma_w over the critical sigma_w; else it is sigma_w itself.
    share:
        The share of its depth that the horizon of a trainable network reaches; by default, that of the definition used
        for new sweeps.
    ax:
        The axes to draw on; by default, those of a new figure.
    """
    ax = axes_or_new(ax)
    statistic = statistic or next(n for n in DEPTHS if n in points and points[n].notna().any())
    measured = subsample(points[points[statistic].notna()], 2000)
    censored = measured[f"{statistic}_censored"].fillna(False).astype(bool)
    horizon = measured[statistic].clip(lower=0.5)
    ends = np.array([measured["depth"].min(), measured["depth"].max()], dtype=float)
    colour, label, norm = _colour_values(measured, boundary)
    for part, marker, name in ((~censored, "o", "measured"), (censored, "^", "at least")):
        if part.any():
            marks = ax.scatter(
                measured.loc[part, "depth"],
                horizon[part],
                c=colour[part],
                norm=norm,
                cmap="RdYlBu_r" if isinstance(norm, LogNorm) else rcParams["image.cmap"],
                s=16 if len(measured) <= 300 else 6,
                marker=marker,
                edgecolors="0.2",
                linewidths=0.4,
                label=name,
                rasterized=len(measured) > 1000,
            )
    bar = ax.figure.colorbar(marks, ax=ax, label=label)
    if isinstance(norm, LogNorm):
        low, high = bar.mappable.get_clim()
        ticks = [t for t in (0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5) if low <= t <= high]
        bar.set_ticks(ticks, labels=[f"{t:g}" for t in ticks])
        bar.ax.minorticks_off()
    share = CURRENT_DEFINITION.share(statistic) if share is None else share
    ends = ends if ends[0] < ends[1] else ends * [0.8, 1.25]
    ax.plot(
        ends,
        share * ends,
        color="black",
        lw=1.4,
        label="needed: " + ("the depth" if share == 1 else f"{share:.3g} depth"),
    )
    ax.set(xlabel=LABELS["depth"], ylabel=f"{depth_name(statistic)} (layers)", yscale="log")
    ax.set_ylim(top=2 * ax.get_ylim()[1])  # room for a legend
    use_plain_ticks(ax.yaxis)
    return ax


def _colour_values(measured: pd.DataFrame, boundary: pd.DataFrame | None) -> tuple[pd.Series, str, Normalize]:
    """Return the colour value of each point (sigma_w, over the critical one if known), its label and its scale."""
    if boundary is None or not len(boundary):
        return measured["sigma_w"], LABELS["sigma_w"], Normalize()
    line = boundary[boundary["depth"] == boundary["depth"].max()].sort_values("sigma_b")
    ratio = measured["sigma_w"] / np.interp(measured["sigma_b"], line["sigma_b"], line["critical"])
    spread = max(1.2, float(ratio.max()), 1 / float(ratio.min()))
    return ratio, r"$\sigma_w$ / critical $\sigma_w$", LogNorm(1 / spread, spread)


def band(boundary: pd.DataFrame, *, max_sigma_b: int = 3, ax: Axes | None = None) -> Axes:
    """Draw the ends of the trainable band of sigma_w against depth, with their 90 % intervals.

    Parameters
    ----------
    boundary:
        The table of a sweep.
    max_sigma_b:
        The largest number of values of sigma_b to draw; they are spread evenly over those of the table.
    ax:
        The axes to draw on; by default, those of a new figure.
    """
    ax = axes_or_new(ax)
    values = np.unique(boundary["sigma_b"])
    chosen = values[np.unique(np.linspace(0, len(values) - 1, min(max_sigma_b, len(values))).round().astype(int))]
    for b, colour, style in zip(chosen, PALETTE, LINE_STYLES, strict=False):
        rows = boundary[boundary["sigma_b"] == b].sort_values("depth")
        label: str | None = rf"$\sigma_b$ = {b:.2g}"
        for end in ("lower", "upper"):
            ax.fill_between(rows["depth"], rows[f"{end}_5"], rows[f"{end}_95"], color=colour, alpha=0.2, lw=0)
            ax.plot(rows["depth"], rows[end], color=colour, ls=style, lw=1.4, label=label)
            label = None
    ax.set(xlabel=LABELS["depth"], ylabel=r"ends of the band, $\sigma_w$")
    return ax


def profiles(
    profiles: pd.DataFrame,
    *,
    value: str = "direct_retained",
    threshold: float | None = None,
    horizons: Mapping[Any, float] | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Draw profiles, with a line for each network: a value after each layer. Colour is sigma_w.

    Parameters
    ----------
    profiles:
        The table of a sweep, or some of its rows.
    value:
        The column to draw; its NaN are left out.
    threshold:
        The value at which to draw a horizontal line; None: no line.
    horizons:
        The horizon of each network, in layers, by the columns that tell networks apart: marked where it is within the
        profile. None: no marks.
    ax:
        The axes to draw on; by default, those of a new figure.
    """
    ax = axes_or_new(ax)
    rows = profiles[profiles[value].notna()]
    norm = Normalize(rows["sigma_w"].min(), rows["sigma_w"].max())
    colours = colormaps[rcParams["image.cmap"]]
    marks = []
    for _, network in rows.groupby(keys_in(rows)):
        point = tuple(network[keys_in(rows)].iloc[0])
        layer, values = network["layer"].to_numpy(float), network[value].to_numpy(float)
        ax.plot(layer, values, color=colours(norm(point[0])), lw=1.1)
        if horizons is not None and horizons[point] <= layer[-1]:
            marks.append((horizons[point], np.interp(horizons[point], np.r_[0, layer], np.r_[1, values])))
    if marks:
        ax.plot(*zip(*marks, strict=True), "o", ms=3.5, mfc="white", mec="black", mew=0.8, label="horizon")
    if norm.vmax != norm.vmin:
        ax.figure.colorbar(ScalarMappable(norm, rcParams["image.cmap"]), ax=ax, label=LABELS["sigma_w"])
    if threshold is not None:
        ax.axhline(threshold, color=RED, lw=1, ls=DASHED, label=f"threshold, {threshold:g}")
    if value.endswith("_retained"):
        ax.axhline(0, color="0.5", lw=0.8, zorder=0)
        ax.set_ylim(max(-0.5, min(-0.05, float(rows[value].min()))), 1.02)
    ax.set(xlabel="layer", ylabel=VALUE_LABELS[value])
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return ax


def history(history: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw how the expected error of the boundary fell with the number of points.

    Parameters
    ----------
    history:
        The table `Results.history`.
    ax:
        The axes to draw on; by default, those of a new figure.
    """
    ax = axes_or_new(ax)
    ax.plot(history["points"], history["expected_error"], "o-", ms=3.5, color="black", lw=1.4)
    ax.set(
        xlabel="points measured",
        ylabel="expected share of the range\non the boundary's wrong side",
        xscale="log",
        yscale="log",
    )
    use_plain_ticks(ax.xaxis)
    use_plain_ticks(ax.yaxis)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{100 * v:g} %"))
    return ax
