"""Figures of measured points: against depth, profiles over layers, the history of the search."""

import numpy as np
import pandas as pd
from matplotlib import colormaps, rcParams
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.ticker import FuncFormatter, MaxNLocator

from probes.point import NEEDED
from sweep.plots.style import (
    COLOURS,
    DASHED,
    LABELS,
    LINE_STYLES,
    PALETTE,
    RED,
    VALUE_LABELS,
    at_most,
    axes_or_new,
    use_plain_ticks,
)
from sweep.results.results import Results
from sweep.spec.columns import POINT

__all__ = ["band", "depth", "draw_profiles", "history", "profiles"]


def depth(
    points: pd.DataFrame,
    *,
    statistic: str = "direct_horizon",
    boundary: pd.DataFrame | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Horizon against depth, from the table ``points``: above the line, a network is predicted trainable.

    Colour says on which side of the measured critical line of ``boundary`` a network is, where that is given.
    """
    ax = axes_or_new(ax)
    measured = at_most(points[points[statistic].notna()], 2000)
    censored = measured[f"{statistic}_censored"].fillna(False).astype(bool)
    horizon = measured[statistic].clip(lower=0.5)
    ends = np.array([measured["depth"].min(), measured["depth"].max()], dtype=float)
    if boundary is not None and len(boundary):
        line = boundary[boundary["depth"] == boundary["depth"].max()].sort_values("sigma_b")
        critical = np.interp(measured["sigma_b"], line["sigma_b"], line["critical"])
        colour, label = measured["sigma_w"] / critical, r"$\sigma_w$ / critical $\sigma_w$"
        spread = max(1.2, float(colour.max()), 1 / float(colour.min()))
        norm: Normalize = LogNorm(1 / spread, spread)
    else:
        colour, label, norm = measured["sigma_w"], LABELS["sigma_w"], Normalize()
    size = 16 if len(measured) <= 300 else 6
    for part, marker, name in ((~censored, "o", "measured"), (censored, "^", "at least")):
        if part.any():
            marks = ax.scatter(
                measured.loc[part, "depth"],
                horizon[part],
                c=colour[part],
                norm=norm,
                cmap="RdYlBu_r" if isinstance(norm, LogNorm) else rcParams["image.cmap"],
                s=size,
                marker=marker,
                edgecolors="0.2",
                linewidths=0.4,
                label=name,
                rasterized=len(measured) > 1000,
            )
    bar = ax.figure.colorbar(marks, ax=ax, label=label)
    if isinstance(norm, LogNorm):
        ticks = [t for t in (0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5) if 1 / spread <= t <= spread]
        bar.set_ticks(ticks, labels=[f"{t:g}" for t in ticks])
        bar.ax.minorticks_off()
    share = NEEDED[statistic]
    ends = ends if ends[0] < ends[1] else ends * [0.8, 1.25]
    ax.plot(
        ends,
        share * ends,
        color="black",
        lw=1.4,
        label="needed: " + ("the depth" if share == 1 else f"{share:g} depth"),
    )
    ax.set(xlabel=LABELS["depth"], ylabel="horizon (layers)", yscale="log")
    ax.set_ylim(top=2 * ax.get_ylim()[1])  # room for a legend
    use_plain_ticks(ax.yaxis)
    return ax


def band(boundary: pd.DataFrame, *, most: int = 3, ax: Axes | None = None) -> Axes:
    """The trainable band of sigma_w against depth, from the table ``boundary``, for a few sigma_b."""
    ax = axes_or_new(ax)
    values = np.unique(boundary["sigma_b"])
    chosen = values[np.unique(np.linspace(0, len(values) - 1, min(most, len(values))).round().astype(int))]
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
    profiles: pd.DataFrame, *, value: str = "direct_retained", threshold: float | None = None, ax: Axes | None = None
) -> Axes:
    """A value after each layer, a line a network, from the table ``profiles``; colour: sigma_w."""
    ax = axes_or_new(ax)
    rows = profiles[profiles[value].notna()]
    norm = Normalize(rows["sigma_w"].min(), rows["sigma_w"].max())
    colours = colormaps[rcParams["image.cmap"]]
    for _, one in rows.groupby(list(POINT)):
        ax.plot(one["layer"], one[value], color=colours(norm(float(one["sigma_w"].iloc[0]))), lw=1.1)
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
    """How the boundary's expected error fell with the number of points, from `Results.history`."""
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


def draw_profiles(axes: Axes, results: Results) -> None:
    """No free axis: the profiles of the replicas."""
    profiles = results.profiles
    for name, style in (("direct_retained", "-"), ("cascade_retained", "--")):
        for i, (_, rows) in enumerate(profiles.groupby("seed")):
            rows = rows[rows[name].notna()]  # layers that were decoded
            if len(rows):
                axes.plot(
                    rows["layer"],
                    rows[name],
                    style,
                    color=COLOURS(0.1 if style == "-" else 0.6),
                    lw=1.5,
                    label=name if i == 0 else None,
                )
    axes.axhline(0, color="0.5", lw=0.8)
    axes.set(xlabel="layer", ylabel="retained information (1 perfect, 0 the mean image)")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=8, frameon=False)
